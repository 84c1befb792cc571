"""Writes the views of several models into the region, out of one pass through the video: each picture is decoded once,
and scaled and cut for each model that shows it. The models' views lie in parts of the region of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cliplane.decoder import wire
from cliplane.decoder.doubts import DAMAGED, left_out
from cliplane.decoder.effort import check_damage, effort
from cliplane.decoder.pyav_reader import Grid, PyavReader
from cliplane.decoder.scaler import Scaler
from cliplane.errors import UndecodableVideo
from cliplane.policy.sampling import Sampling, View, crop_offset, plan_views, scaled_size


@dataclass(slots=True)
class Part:
    """One model's views, and how far they are."""

    model: int
    sampling: Sampling
    grid: Grid
    scaler: Scaler
    views: list[View]
    region: npt.NDArray[np.uint8]  # (views, T, H, W, C)
    width: int
    height: int
    missing: list[int]  # frames, of each view
    moments: list[frozenset[int]] = field(default_factory=list)  # of each view
    complete: int = 0
    written: int = 0

    def cut(self, frame: npt.NDArray[np.uint8], view: int, place: int) -> None:
        """The frame, in this part's size, is that of this place in the view's clip."""
        x, y = crop_offset(self.width, self.height, self.views[view], self.sampling)
        height, width = self.sampling.crop_height, self.sampling.crop_width
        self.region[view, place] = frame[y : y + height, x : x + width]
        self.missing[view] -= 1


def plan(video: PyavReader, job: wire.Job, memory: npt.NDArray[np.uint8]) -> list[Part]:
    """The parts of a job, in the order of its models."""
    parts = []
    for model, cut in enumerate((wire.Cut(job.sampling, 0), *job.others)):
        sampling = cut.sampling
        grid, scaler = video.grid(sampling.frame_rate), video.scaler(sampling.pixels)
        views = plan_views(grid.frame_count, sampling)
        shape = (len(views), sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
        region = memory[cut.offset : cut.offset + len(views) * sampling.view_bytes].reshape(shape)
        width, height = scaled_size(scaler.width, scaler.height, sampling)
        missing = [sampling.clip_length] * len(views)
        parts.append(Part(model, sampling, grid, scaler, views, region, width, height, missing))
    return parts


def write_parts(
    video: PyavReader, parts: list[Part], job: wire.Job, is_stopped: Callable[[], bool]
) -> Iterator[wire.Report]:
    """Decode in the order of time, until stopped; of each model its views are reported in order, when they are whole.

    One that has no sound frame is left out, and those behind it move up.
    """
    times = sorted({number * part.grid.step for part in parts for view in part.views for number in view.frames})
    places = {time: place for place, time in enumerate(times)}
    shown: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        for k, view in enumerate(part.views):
            moments = [places[number * part.grid.step] for number in view.frames]
            part.moments.append(frozenset(moments))
            for t, moment in enumerate(moments):
                shown[moment][part.model].append((k, t))
    is_damaged = False
    for moment, picture in video.pictures(times):
        for model, places_in in shown[moment].items():
            part = parts[model]
            frame = part.scaler.scaled(picture, part.width, part.height)
            for k, t in places_in:
                part.cut(frame, k, t)
        check_damage(video, len(times), job.limits.max_damage)
        if not is_damaged and (video.lost or video.broken_packets):
            is_damaged = True
            yield DAMAGED
        for part in parts:
            yield from _whole(part, video, len(times))
        if is_stopped():
            break
    if not is_damaged and video.broken_packets:
        yield DAMAGED
    if any(part.complete and not part.written for part in parts):
        raise UndecodableVideo("no frame that a view needs can be decoded")
    yield wire.End(effort(video, len(times)))


def _whole(part: Part, video: PyavReader, needed: int) -> Iterator[wire.Report]:
    """Those of its views that are whole now."""
    while part.complete < len(part.views) and part.missing[part.complete] == 0:
        k = part.complete
        frames = part.views[k].frames
        start_s, end_s = (round(n / part.grid.frame_rate, 3) for n in (frames[0], frames[-1] + 1))
        if video.lost.issuperset(part.moments[k]):
            yield left_out(start_s, end_s)
            yield wire.LeftOut(k, part.model)
        else:
            if part.written != k:
                part.region[part.written] = part.region[k]
            part.written += 1
            yield wire.View(k, start_s, end_s, effort(video, needed), part.model)
        part.complete += 1
