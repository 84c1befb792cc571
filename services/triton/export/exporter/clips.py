"""Clips to compare engines on: cut from real videos as the service cuts them, and made ones where there are too few."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from cliplane.decoder.container import open_container
from cliplane.decoder.media import CODECS, Limits
from cliplane.errors import CliplaneError
from cliplane.policy.sampling import Sampling, crop_offset, plan_views, scaled_size

MAX_FRAMES = 600  # of one video: it is decoded whole
LIMITS = Limits(4096 * 2304, 7200.0, 1_000_000, 16, 1.0, ",".join(CODECS))  # the service's own, with no word for damage


@dataclass(frozen=True, slots=True)
class Clips:
    """`frames`: (count, T, H, W, 3) uint8, the first `real` of them from `videos`."""

    frames: np.ndarray
    real: int
    videos: tuple[str, ...]


def clips(sampling: Sampling, count: int, videos: Path | None) -> Clips:
    """`count` clips, in turns from the videos of a folder that can be read; made ones fill up."""
    cut: dict[str, list[np.ndarray]] = {}
    files = sorted(path for path in videos.iterdir() if path.is_file()) if videos and videos.is_dir() else []
    for path in files:
        try:
            cut[path.name] = _of_video(path, sampling, count)
        except (av.error.FFmpegError, CliplaneError):  # no video, or a broken one
            continue
    found: list[np.ndarray] = []
    while len(found) < count and any(cut.values()):
        found += [views.pop(0) for views in cut.values() if views]
    found = found[:count]
    made = made_clips(sampling, count - len(found))
    return Clips(np.stack([*found, *made]), len(found), tuple(cut))


def _of_video(path: Path, sampling: Sampling, max_views: int) -> list[np.ndarray]:
    """Views of one video, spread over it; crops in turns, so that few views show different pictures."""
    cut = replace(sampling, clips=max(max_views // sampling.crops, 1))
    with path.open("rb") as file:
        container, stream = open_container(file.fileno(), None, LIMITS)
        with container:
            width, height = scaled_size(stream.codec_context.width, stream.codec_context.height, cut)
            frames = [
                frame.to_ndarray(width=width, height=height, format="rgb24")
                for frame, _ in zip(container.decode(stream), range(MAX_FRAMES), strict=False)
            ]
            count, step = on_file(len(frames), float(stream.average_rate or sampling.frame_rate), sampling)
    views = []
    for view in plan_views(count, cut):
        x, y = crop_offset(width, height, view, cut)
        shown = [frames[min(round(n * step), len(frames) - 1)] for n in view.frames]
        views.append(np.stack([frame[y : y + cut.crop_height, x : x + cut.crop_width] for frame in shown]))
    order = np.random.default_rng(0).permutation(len(views))
    return [views[k] for k in order]


def on_file(frames: int, fps: float, sampling: Sampling) -> tuple[int, float]:
    """How many frames a video has for the sampling, and how many of its file's go by from one of those to the next."""
    step = fps / sampling.frame_rate if sampling.frame_rate else 1.0
    return max(round(frames / step), 1), step


def made_clips(sampling: Sampling, count: int) -> list[np.ndarray]:
    """(T, H, W, 3) uint8 with edges, gradients and motion: noise alone would leave most features dark."""
    made = []
    side, length = sampling.crop_height, sampling.clip_length
    y, x = np.mgrid[0:side, 0:side] / side
    for seed in range(count):
        rng = np.random.default_rng(seed)
        waves = rng.uniform(2, 20, (3, 2))
        frames = np.empty((length, side, side, 3))
        for t in range(length):
            for channel, (fx, fy) in enumerate(waves):
                frames[t, :, :, channel] = 128 + 100 * np.sin(fx * (x + 0.05 * t) * 6) * np.cos(fy * y * 6)
        at = rng.integers(0, side // 2, 2)
        frames[:, at[0] : at[0] + side // 3, at[1] : at[1] + side // 3] = rng.integers(0, 256, 3)
        made.append(np.clip(frames + rng.normal(0, 8, frames.shape), 0, 255).astype(np.uint8))
    return made
