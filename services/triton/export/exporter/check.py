"""Are the frames that will be served those that the trainer's own sampler takes? CHECK=file says what these are:

- `frames.json`, recorded: [{"frames": 250, "fps": 30, "clips": [[0, 4, …], …]}, …]
- `train_sampler.py`, which is run: its `sample(frames, fps)` gives a video's clips, or its only one, as frame numbers.

Not one number may differ.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cliplane.policy.sampling import Sampling, plan_views

from .brought import CannotBring
from .clips import on_file

FRAME_COUNTS = (*range(1, 200, 7), 249, 250, 251, 299, 300, 301, 599, 1800, 3600)
"""Of the videos that a sampler is asked for, less those that are shorter than a clip at the stride: how a trainer fills
one up is its own affair, and the service spreads what there is."""

FPS = 30.0  # Kinetics', where the sampling names no rate

Case = tuple[int, float, list[list[int]]]


def check(file: Path, sampling: Sampling) -> dict[str, Any]:
    """What was compared, for export.json.

    Raises:
        CannotBring: a number differs, and which; or the file is not of that form.
    """
    cases = list(_recorded(file) if file.suffix == ".json" else _sampled(file, sampling, sampling.frame_rate or FPS))
    for frames, fps, expected in cases:
        found = planned(frames, fps, sampling)
        if found != expected:
            where = f"CHECK={file.name}: of a video of {frames} frames at {fps:g} a second"
            raise CannotBring(f"{where} {_difference(expected, found)}; nothing is installed")
    if not cases:
        raise CannotBring(f"CHECK={file.name}: it has no videos")
    return {"file": file.name, "videos": len(cases), "clips": sum(len(clips) for _, _, clips in cases), "differ": 0}


def planned(frames: int, fps: float, sampling: Sampling) -> list[list[int]]:
    """The frame numbers of each clip that the service takes of a video, in the numbers of its file."""
    cut = replace(sampling, crops=1)
    count, step = on_file(frames, fps, sampling)
    return [[min(round(n * step), frames - 1) for n in view.frames] for view in plan_views(count, cut)]


def _difference(expected: list[list[int]], found: list[list[int]]) -> str:
    if len(expected) != len(found):
        return f"the trainer takes {len(expected)} clips, this sampling {len(found)}"
    clip, theirs, ours = next((k, a, b) for k, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
    if len(theirs) != len(ours):
        return f"the trainer's clip {clip} has {len(theirs)} frames, this sampling's {len(ours)}"
    place = next(k for k, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
    return f"the trainer takes frame {theirs[place]} where this sampling takes {ours[place]} (clip {clip}, its {place})"


def _recorded(file: Path) -> Iterable[Case]:
    try:
        for video in json.loads(file.read_text("utf-8")):
            yield int(video["frames"]), float(video["fps"]), _clips(video["clips"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CannotBring(
            f'CHECK={file.name}: it is a list of {{"frames": 250, "fps": 30, "clips": [[0, 4]]}}'
        ) from exc


def _sampled(file: Path, sampling: Sampling, fps: float) -> Iterable[Case]:
    strided = (sampling.clip_length - 1) * sampling.temporal_stride + sampling.clips
    shortest = strided if sampling.mode == "stride" else sampling.clip_length
    try:
        sample: Callable[[int, float], Any] = runpy.run_path(str(file))["sample"]
        return [(frames, fps, _clips(sample(frames, fps))) for frames in FRAME_COUNTS if frames >= shortest]
    except Exception as exc:  # whatever the trainer's code raises
        raise CannotBring(f"CHECK={file.name}: its sample(frames, fps) fails: {type(exc).__name__}: {exc}") from exc


def _clips(found: Any) -> list[list[int]]:
    """Clips, or the only one, of anything that holds whole numbers: lists, NumPy's arrays, tensors."""
    clips = [clip.tolist() if hasattr(clip, "tolist") else clip for clip in found]
    if clips and not isinstance(clips[0], list | tuple):
        clips = [clips]
    if not clips or any(int(n) != n for clip in clips for n in clip):
        raise ValueError("these are no frame numbers")
    return [[int(n) for n in clip] for clip in clips]
