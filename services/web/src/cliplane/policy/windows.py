"""Windows that slide over a whole video: which frames make which. Pure arithmetic, as `sampling.py` is for views.

A window is one clip of the model's, its centre crop, at a place in time: the clip that `plan_views` cuts from a video
that is only as long as the window. Window k begins k × `stride_s` after the first picture, on the temporal stride's
grid, so that windows that overlap show the same frames and none is resized twice.

Nothing here grows with the video: a plan is a few numbers, and a window's frames are reckoned when they are asked for.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from cliplane.policy.sampling import Sampling, plan_views


class Shown(NamedTuple):
    """A frame, and each window that it is in, with its places in the window's clip."""

    frame: int
    windows: list[tuple[int, list[int]]]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one video, in the order of time. Window k has the frames `clip`, each `start(k)` later."""

    count: int
    hop: float  # frames from one window's start to the next, at least 1
    grid: int  # frames; a start is a multiple of it
    clip: tuple[int, ...]  # ascending, from 0 on

    def start(self, k: int) -> int:
        """Frame number at which window k begins; never less than that of k - 1."""
        return self.grid * math.floor(k * self.hop / self.grid + 0.5)

    def frames(self, k: int) -> tuple[int, ...]:
        """The frame numbers of window k, ascending."""
        start = self.start(k)
        return tuple(start + number for number in self.clip)

    def overlap(self) -> int:
        """The most windows that are begun and not whole at one time."""
        return min(self.count, math.floor((self.clip[-1] + self.grid) / self.hop) + 1)

    def shown(self) -> Iterator[Shown]:
        """Each frame that a window needs, once and ascending. Holds what the windows that overlap need, and no more."""
        needed: dict[int, dict[int, list[int]]] = {}  # frame → window → places
        ahead: list[int] = []  # the same frames, a heap
        k = 0
        while ahead or k < self.count:
            while k < self.count and (not ahead or self.start(k) + self.clip[0] <= ahead[0]):
                for place, frame in enumerate(self.frames(k)):
                    if frame not in needed:
                        needed[frame] = {}
                        heapq.heappush(ahead, frame)
                    needed[frame].setdefault(k, []).append(place)
                k += 1
            frame = heapq.heappop(ahead)
            yield Shown(frame, list(needed.pop(frame).items()))


def window_frames(frame_rate: float, sampling: Sampling, window_s: float | None) -> int:
    """How many frames a window spans. `window_s` counts for models that spread a clip over all they are given."""
    if sampling.mode == "stride" or window_s is None:
        return (sampling.clip_length - 1) * sampling.temporal_stride + 1
    return max(1, round(window_s * frame_rate))


def plan_windows(
    frame_count: int, frame_rate: float, sampling: Sampling, stride_s: float, window_s: float | None = None
) -> Windows:
    """The windows of a video of `frame_count` frames (at least 1) at `frame_rate` a second.

    As many as lie wholly in the video, so that less than a stride at its end is in none. A video shorter than one
    window has one, spread over its whole length. A stride of less than a frame is one frame.
    """
    span = window_frames(frame_rate, sampling, window_s)
    clip = plan_views(min(frame_count, span), replace(sampling, clips=1, crops=1))[0].frames
    hop = max(1.0, stride_s * frame_rate)
    grid = sampling.temporal_stride if sampling.mode == "stride" and hop >= sampling.temporal_stride else 1
    last_start = max(0, frame_count - span)
    plan = Windows(1, hop, grid, clip)
    count = math.floor(last_start / hop) + 1
    # A start is rounded to the grid, either way.
    while plan.start(count - 1) > last_start:
        count -= 1
    while plan.start(count) <= last_start:
        count += 1
    return Windows(count, hop, grid, clip)
