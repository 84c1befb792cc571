"""Test videos, made when they are needed: a camera moved over a drawn picture, so that the right label is known.

Only numpy and PyAV; nothing of Cliplane.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.packet import Packet


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
    blend: np.ndarray = (top * (1 - fy) + bottom * fy).astype(np.uint8)
    return blend


def encode(
    frames: Iterator[np.ndarray],
    *,
    container: str = "mp4",
    codec: str = "libx264",
    fps: int | Fraction = 25,
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    muxer: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
) -> bytes:
    """A file of these frames; `options` are the encoder's, `muxer` the container's."""
    with (
        tempfile.NamedTemporaryFile() as file,  # some of the containers' options need a real one
        av.open(file.name, "w", format=container, options=muxer or {}) as output,
    ):
        output.metadata.update(metadata or {})
        stream = None
        for frame in frames:
            if stream is None:
                stream = cast(av.VideoStream, output.add_stream(codec, rate=Fraction(fps), options=options or {}))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = pixels
                if pixel_aspect:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        assert stream is not None
        output.mux(stream.encode())
        output.close()
        return file.read()


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


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """[start, end) of every box of an MP4, and of every box inside one that holds boxes (ISO/IEC 14496-12, 4.2)."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        stop = min(start + size, end) if size >= 8 else end
        yield start, stop
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf"):
            yield from boxes(data, start + 8, stop)
        start = stop


def timed(
    frames: Iterator[np.ndarray],
    times_ms: list[int],
    *,
    container: str = "matroska",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> bytes:
    """A file whose frames are shown at these times."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=muxer or {}) as output:
        stream: Any = output.add_stream(codec, rate=25, options=options or {})
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.pix_fmt = "yuv420p"
        for time_ms, frame in zip(times_ms, frames, strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.shape[:2]
            picture_ = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture_.pts, picture_.time_base = time_ms, Fraction(1, 1000)
            output.mux(stream.encode(picture_))
        output.mux(stream.encode())
    return file.getvalue()


def irregular(times_ms: list[int], **move: object) -> bytes:
    """A Matroska file of a pan whose frames are shown at these times."""
    return timed(moving_camera("pan_right", frames=len(times_ms), **move), times_ms)  # type: ignore[arg-type]


def turned(degrees: int, **move: Any) -> bytes:
    """A short MP4 with a display matrix: it was filmed with the camera on its side."""
    plain = io.BytesIO(clip(**move))
    file = io.BytesIO()
    with av.open(plain, "r") as source, av.open(file, "w", format="mp4") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return file.getvalue()


def remuxed(
    source: bytes,
    container: str = "mp4",
    matrix: list[int] | None = None,
    change: Callable[[Packet[Any]], object] = bool,
) -> bytes:
    """The same packets in another file, but for what `change` does to them; those it returns None for are left out."""
    file = io.BytesIO()
    with av.open(io.BytesIO(source), "r") as read, av.open(file, "w", format=container) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        if matrix:
            stream.set_display_matrix(matrix)
        for packet in read.demux(video=0):
            if packet.dts is not None and change(packet) is not None:
                packet.stream = stream
                written.mux(packet)
    return file.getvalue()


def looped(source: bytes, times: int) -> bytes:
    """An MP4 of the same packets over and over, each time later: long, and made at once."""
    file = io.BytesIO()
    with av.open(io.BytesIO(source), "r") as read, av.open(file, "w", format="mp4") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.dts is not None]
        length = sum(packet.duration or 0 for packet in packets)
        stamps = [(cast(int, packet.pts), cast(int, packet.dts)) for packet in packets]
        for time in range(times):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.time_base = read.streams.video[0].time_base
                packet.pts, packet.dts = pts + time * length, dts + time * length
                packet.stream = stream
                written.mux(packet)
    return file.getvalue()


def leaping(packet: Packet[Any]) -> bool:
    """For `remuxed`: after its first second the file's clock leaps by five."""
    leap = round(5 / packet.time_base)
    if packet.pts is not None and packet.dts is not None and packet.pts * packet.time_base >= 1:
        packet.pts, packet.dts = packet.pts + leap, packet.dts + leap
    return True


def covered(source: bytes) -> bytes:
    """A Matroska file of the same packets, with a cover before them."""
    picture = next(moving_camera("static", frames=1))
    cover = encode(iter([picture]), container="image2pipe", codec="mjpeg", pixels="yuvj420p")
    file = io.BytesIO()
    with av.open(io.BytesIO(source), "r") as read, av.open(file, "w", format="matroska") as written:
        still = written.add_stream("mjpeg", rate=25)
        still.height, still.width = picture.shape[:2]
        still.pix_fmt, still.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        stream = written.add_stream_from_template(read.streams.video[0])
        written.start_encoding()
        only: Packet[Any] = Packet(cover)
        only.stream, only.pts, only.dts = still, 0, 0
        written.mux(only)
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return file.getvalue()


def many_streams(count: int) -> bytes:
    """A Matroska file of so many short video streams."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("mjpeg", rate=25) for _ in range(count)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for stream in streams:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
            output.mux(stream.encode())
    return file.getvalue()
