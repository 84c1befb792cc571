"""From the scores of windows to segments: from when to when a label holds. Pure.

Each label by itself, so that segments of different labels overlap where the model is multi-label:

1. *Smoothing*: each window's score becomes the median of its own and its two neighbours' (an end's neighbour is
   itself). A median takes away what only one window says and leaves a step where it is, as no mean does (Tukey,
   Exploratory Data Analysis, 1977, ch. 7; the usual post-processing of sound events, e.g. in DCASE's baselines).
2. *Hysteresis* (Canny, IEEE PAMI 8(6), 1986; for events in time Dinkel et al., "Towards duration robust weakly
   supervised sound event detection", 2021): a segment begins where the score reaches `threshold`. It lives through a
   dip that stays at or above `LOW` × `threshold`, and ends behind the last window that reached `threshold`. Both bounds
   are thus places where the score crosses `threshold`: at the lower one they would lie part of a window outside.
3. *Minimum length*: what is shorter than `min_s` is dropped.

A window speaks for the time around its middle: up to half-way to the next window's middle; the first from the video's
beginning, the last to its end. Where windows are missing it is half a stride. So a bound is wrong by at most half a
stride where scores step with the truth. A segment's score is the mean of its windows' own scores.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LOW = 0.5
"""Part of `threshold` that a dip inside a segment may fall to."""

SCORE_DECIMALS = 6


class Segment(NamedTuple):
    """`label`, by class index, holds from `start_s` to `end_s` with this mean score."""

    label: int
    start_s: float
    end_s: float
    score: float


class _Window(NamedTuple):
    middle_s: float
    scores: npt.NDArray[np.float64]  # (classes,)


class Segmenter:
    """Windows in the order of time in, segments out as they close. Its memory does not grow with their number."""

    def __init__(self, classes: int, *, stride_s: float, thresholds: float | Sequence[float], min_s: float) -> None:
        """
        Args:
            classes: how many scores a window has.
            stride_s: from one window to the next.
            thresholds: score from which a label holds, above 0: one for all, or one each.
            min_s: shortest segment.
        """
        self._stride_s, self._thresholds, self._min_s = stride_s, np.asarray(thresholds, np.float64), min_s
        self._next: int | None = None  # window that follows without a gap
        self._start_s = 0.0  # where the time of the next smoothed window begins
        self._last: deque[_Window] = deque(maxlen=3)
        self._opened = np.full(classes, np.nan)  # start_s of a segment that is open, by class
        self._reached = np.zeros(classes)  # where the last window that reached `threshold` ends
        self._sum, self._count = np.zeros(classes), np.zeros(classes)  # of the scores up to there
        self._dip_sum, self._dip_count = np.zeros(classes), np.zeros(classes)  # of those behind it

    def add(self, window: int, start_s: float, end_s: float, scores: npt.ArrayLike) -> list[Segment]:
        """The next window: its number, its time, its scores. The segments that have closed by it, by label."""
        new = _Window((start_s + end_s) / 2, np.asarray(scores, np.float64))
        closed: list[Segment] = []
        if self._next is not None and window != self._next:
            closed = self._break_off(self._last[-1].middle_s + self._stride_s / 2)
        if not self._last:
            self._start_s = 0.0 if self._next is None and window == 0 else new.middle_s - self._stride_s / 2
        self._next = window + 1
        self._last.append(new)
        if len(self._last) >= 2:
            between_s = (self._last[-2].middle_s + new.middle_s) / 2
            closed += self._step(self._last[-2], [self._last[0], self._last[-2], new], between_s)
        return closed

    def end(self, windows: int, duration_s: float) -> list[Segment]:
        """There were so many windows; the rest of the segments, by label."""
        if not self._last:
            return []
        last_s = self._last[-1].middle_s + self._stride_s / 2
        return self._break_off(duration_s if self._next == windows else min(last_s, duration_s))

    def _break_off(self, end_s: float) -> list[Segment]:
        """Nothing is known from `end_s` on."""
        last = self._last[-1]
        closed = self._step(last, [self._last[max(len(self._last) - 2, 0)], last, last], end_s)
        closed += self._close(~np.isnan(self._opened))
        self._last.clear()
        return sorted(closed)

    def _step(self, window: _Window, neighbours: Sequence[_Window], end_s: float) -> list[Segment]:
        """The smoothed window from `_start_s` to `end_s`."""
        smooth = np.median([each.scores for each in neighbours], axis=0)
        holds, is_open = smooth >= self._thresholds, ~np.isnan(self._opened)
        closed = self._close(is_open & (smooth < LOW * self._thresholds))
        is_open = ~np.isnan(self._opened)
        begins = holds & ~is_open
        self._opened[begins] = self._start_s
        for sums in (self._sum, self._count, self._dip_sum, self._dip_count):
            sums[begins] = 0.0
        self._dip_sum += window.scores
        self._dip_count += 1
        self._sum[holds] += self._dip_sum[holds]
        self._count[holds] += self._dip_count[holds]
        self._dip_sum[holds] = self._dip_count[holds] = 0.0
        self._reached[holds] = end_s
        self._start_s = end_s
        return closed

    def _close(self, which: npt.NDArray[np.bool_]) -> list[Segment]:
        scale = 10**SCORE_DECIMALS
        segments = []
        for label in np.flatnonzero(which):
            start_s, end_s = round(float(self._opened[label]), 3), round(float(self._reached[label]), 3)
            if end_s - start_s >= self._min_s:
                score = math.floor(float(self._sum[label] / self._count[label]) * scale) / scale
                segments.append(Segment(int(label), start_s, end_s, score))
            self._opened[label] = np.nan
        return segments
