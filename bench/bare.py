"""The bare work of decoding: Cliplane's reader, with nothing around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cliplane.decoder.reader import load_reader
from cliplane.policy.sampling import Sampling, crop_offset, plan_views, scaled_size
from cliplane.settings import Settings

LIMITS = Settings().decoder_limits()


def views_of(path: Path, sampling: Sampling, threads: int) -> Iterator[np.ndarray]:
    """Each view, (T, H, W, C) uint8, as soon as it is decoded."""
    with path.open("rb") as file:
        video = load_reader("pyav")(file.fileno(), None, LIMITS, threads, sampling.frame_rate, sampling.pixels)
        views = plan_views(video.info.frame_count, sampling)
        width, height = scaled_size(video.info.width, video.info.height, sampling)
        wanted = list(dict.fromkeys(number for view in views for number in view.frames))
        x, y = crop_offset(width, height, views[0], sampling)
        frames: dict[int, np.ndarray] = {}
        complete = 0
        for number, frame in video.frames(wanted, width, height):
            frames[number] = frame[y : y + sampling.crop_height, x : x + sampling.crop_width].copy()
            while complete < len(views) and all(n in frames for n in views[complete].frames):
                yield np.stack([frames[n] for n in views[complete].frames])
                complete += 1
        video.close()
