"""Test videos, made when they are needed: a camera moved over a drawn picture, so that the right label is known.

Only numpy and PyAV; nothing of Cliplane.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np


def picture(seed: int, side: int = 1200) -> np.ndarray:
    """(side, side, 3) uint8: noise of several sizes with hard-edged blocks, textured everywhere."""
    rng = np.random.default_rng(seed)
    out = np.zeros((side, side, 3))
    for cells, weight in ((8, 60), (24, 50), (80, 40), (240, 20)):
        grain = rng.random((cells, cells, 3)) - 0.5
        index = np.arange(side) * cells // side
        out += weight * 2 * grain[index][:, index]
    for _ in range(40):
        x, y = rng.integers(0, side - 120, 2)
        w, h = rng.integers(20, 120, 2)
        out[y : y + h, x : x + w] = rng.integers(-120, 120, 3)
    return np.clip(out + 128, 0, 255).astype(np.uint8)


def moving_camera(
    label: str, *, seed: int = 0, frames: int = 60, width: int = 320, height: int = 240, speed: float = 0.006
) -> Iterator[np.ndarray]:
    """Frames of one move; `speed` is the part of the height (or the radians, or the log of the scale) a frame."""
    source = picture(seed)
    kind, _, direction = label.partition("_")
    sign = 1 if direction in ("right", "down", "in", "cw") else -1
    ys, xs = np.mgrid[0:height, 0:width].astype(float)
    xs, ys = xs - width / 2, ys - height / 2
    for t in range(frames):
        s = sign * speed * (t - frames / 2)
        dx = s * height if kind == "pan" else 0.0
        dy = s * height if kind == "tilt" else 0.0
        scale = np.exp(-s) if kind == "zoom" else 1.0
        angle = s if kind == "roll" else 0.0
        x = scale * (np.cos(angle) * xs - np.sin(angle) * ys) + dx + source.shape[1] / 2
        y = scale * (np.sin(angle) * xs + np.cos(angle) * ys) + dy + source.shape[0] / 2
        yield _bilinear(source, x, y)


def _bilinear(source: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.clip(x, 0, source.shape[1] - 2), np.clip(y, 0, source.shape[0] - 2)
    x0, y0 = x.astype(int), y.astype(int)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = source[y0, x0] * (1 - fx) + source[y0, x0 + 1] * fx
    bottom = source[y0 + 1, x0] * (1 - fx) + source[y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.uint8)


def encode(
    frames: Iterator[np.ndarray],
    *,
    container: str = "mp4",
    codec: str = "libx264",
    fps: int | Fraction = 25,
    options: dict[str, str] | None = None,
) -> bytes:
    """A file of these frames."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = None
        for frame in frames:
            if stream is None:
                stream = output.add_stream(codec, rate=Fraction(fps), options=options or {})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        assert stream is not None
        output.mux(stream.encode())
    return file.getvalue()


def clip(label: str = "pan_right", **move: object) -> bytes:
    """A short H.264 MP4 of one move."""
    return encode(moving_camera(label, **move))  # type: ignore[arg-type]


def audio_only() -> bytes:
    """An MP4 without a video stream."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()
