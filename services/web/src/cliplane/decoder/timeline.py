"""What is shown when: from a stream's packets to its pictures' times. Pure arithmetic; no file is read here.

The packets outrank the headers. A video begins at its first picture that can be decoded, and where its clock starts
again or leaps the timeline goes on. Times are whole numbers in units of the stream's time base.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
RateSource = Literal["header", "packets", "assumed"]

UNKNOWN = -(2**63)
"""A time that a packet does not have."""

MAX_TIME = 2**53
"""A time beyond it is damaged: 285 years in microseconds, and what floats count exactly."""

ASSUMED_FPS = 25.0
"""Where neither packets nor headers tell of a rate: a single picture, a stream without times."""

_PAUSE_INTERVALS = 3
"""More than a picture that was dropped here and there."""

_USUAL_INTERVALS = 10
_LEAP_S = 1.0
_ABSURD_LEAP_S = 600.0
"""No picture for so long, and for `_USUAL_INTERVALS`: the clock has leapt. The shorter time is for containers whose
clock may leap (a transport stream's, cut out of a broadcast); in others a picture may be shown for minutes."""

_MAX_DELAY_S, _MAX_DELAY_INTERVALS = 10.0, 64
"""From a picture's decoding to its showing; codecs reorder 16. Beyond both of these its time is damaged."""

_FEW = 0.02

_SAME_RATE = 0.05
"""Rates that differ by less are the same: the header's is believed, for it is exact, and times may be rounded."""


@dataclass(frozen=True, slots=True)
class Packets:
    """One stream's packets in the order of the file, all arrays of one length.

    `pts`, `dts`: `UNKNOWN` where there is none. `pos`: place in the file, bytes. `is_hidden`: an edit list hides it.
    """

    pts: Times
    dts: Times
    pos: Times
    is_keyframe: Marks
    is_hidden: Marks


@dataclass(frozen=True, slots=True)
class Clock:
    """What a container and its headers say of a stream's times."""

    time_base_s: float
    fps: float  # 0: nothing
    may_leap: bool = False
    is_in_order_of_decoding: bool = False
    """Only times of decoding are in the file: pictures are shown in the order in which the decoder gives them."""
    has_times: bool = True
    has_decoding_times: bool = True
    """Matroska has none: those that FFmpeg makes up go back and forth where two recordings are joined."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the file with one clock: from byte `pos` on. `shift` is added to its times, and what would be shown
    before `since`, its first keyframe, cannot be decoded. None: it has no keyframe, and nothing of it is shown."""

    pos: int
    key_pos: int
    shift: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The pictures of a video. `interval` is the usual time from one to the next, `end` when the last one ends.

    `times`: when each is shown, ascending, as far as the packets were read; None: evenly, or unevenly and not known.
    `keyframes`: (time shown, byte) of each, where the packets were read; else the container's own index has them,
    with times of decoding, which are earlier by `delay`. `leaps`: how often the clock leapt; `late_packets`: how many
    come before the first keyframe; `longest_gap`: the longest time of one picture; `is_mostly_even`: hardly a picture
    is shown for another time than the others; `max_delay`: the longest from a
    picture's decoding to its showing that is believed, where the packets were read.
    """

    start: int
    end: int
    interval: float
    fps: float
    rate_source: RateSource
    picture_count: int
    is_even: bool
    times: Times | None = None
    pieces: tuple[Piece, ...] = ()
    keyframes: tuple[tuple[int, int], ...] = ()
    delay: int = 0
    is_in_order_of_decoding: bool = False
    leaps: int = 0
    late_packets: int = 0
    longest_gap: int = 0
    is_mostly_even: bool = False
    max_delay: int | None = None

    def told(self, pts: int | None, dts: int | None) -> int | None:
        """When a packet's picture is shown by its own times, of which one may be missing, or damaged beyond belief."""
        if pts is not None and dts is not None and self.max_delay is not None and abs(pts - dts) > self.max_delay:
            pts = None
        told = dts if pts is None else pts
        return None if told is None or abs(told) > MAX_TIME else told

    def place(self, pos: int, time: int) -> int | None:
        """When the picture of the packet at byte `pos` is shown, whose own time is `time`; None: never."""
        if not self.pieces:
            return time
        nearest = bisect.bisect_right(self.pieces, pos, key=lambda piece: piece.pos) - 1
        piece = self.pieces[max(nearest, 0)]
        if piece.since is None or pos < piece.key_pos:
            return None
        shown = time + piece.shift
        return None if nearest > 0 and shown < piece.since else shown

    def shown_at(self, time: float) -> float | None:
        """The time of the picture that is shown at `time`, the last one after the end; None: it is not known."""
        latest = time + self.interval / 2
        if self.times is not None:
            return float(self.times[max(int(np.searchsorted(self.times, latest, side="right")) - 1, 0)])
        if not self.is_even:
            return None
        number = min(int((latest - self.start) / self.interval), self.picture_count - 1)
        return self.start + number * self.interval


def read(packets: Packets, clock: Clock) -> Timeline | None:
    """The timeline of a stream whose packets were all read; None: nothing of it can be shown."""
    decoded = np.where(packets.dts == UNKNOWN, packets.pts, packets.dts)
    if clock.is_in_order_of_decoding and (decoded == UNKNOWN).all():  # a raw stream
        decoded = np.round(np.arange(len(decoded)) * _said_interval(clock)).astype(np.int64)
    known = np.flatnonzero(decoded != UNKNOWN)
    if not known.size:
        return None
    are_marked = bool(packets.is_keyframe.any())
    is_key = packets.is_keyframe if are_marked else np.ones_like(packets.is_keyframe)
    usual = _usual_interval(np.diff(decoded[known])) or _said_interval(clock)
    max_delay = round(max(_MAX_DELAY_S / clock.time_base_s, _MAX_DELAY_INTERVALS * usual))
    shown = packets.pts if not clock.is_in_order_of_decoding else decoded
    shown = np.where((shown == UNKNOWN) | (np.abs(shown - decoded) > max_delay), decoded, shown)
    pieces: list[Piece] = []
    times: list[Times] = []
    keyframes: list[tuple[int, int]] = []
    end = 0.0
    for part in np.split(
        known, _breaks(decoded[known], clock.has_decoding_times & (packets.dts[known] != UNKNOWN), usual, clock)
    ):
        keys, pos = part[is_key[part]], int(packets.pos[part[0]])
        if not keys.size:
            pieces.append(Piece(pos, 0, 0, None))
            continue
        part = part[part >= keys[0]]
        since = int(shown[keys[0]])
        shift = round(end) - since if times else 0
        of_part = shown[part][~packets.is_hidden[part] & (shown[part] >= since)] + shift
        pieces.append(Piece(pos, int(packets.pos[keys[0]]), shift, since + shift))
        keyframes += [(int(shown[key]) + shift, int(packets.pos[key])) for key in keys if shown[key] >= since]
        if of_part.size:
            times.append(np.unique(of_part))
            end = float(times[-1][-1]) + usual
    if not times:
        return None
    late = int(np.argmax(is_key))
    marked = sorted(keyframes) if are_marked else []
    found = _of_times(np.unique(np.concatenate(times)), clock, pieces, marked, late)
    return replace(found, max_delay=max_delay)


def _from_first(pieces: list[Piece]) -> list[Piece]:
    """One piece that needs no shift and has its keyframe first is as good as none."""
    if len(pieces) == 1 and pieces[0].shift == 0 and pieces[0].pos == pieces[0].key_pos:
        return []
    return pieces


def _of_times(
    times: Times, clock: Clock, pieces: list[Piece], keyframes: list[tuple[int, int]], late_packets: int
) -> Timeline:
    gaps = np.diff(times)
    interval, fps, source = rate(gaps, clock)
    return Timeline(
        start=int(times[0]),
        end=round(float(times[-1]) + interval),
        interval=interval,
        fps=fps,
        rate_source=source,
        picture_count=len(times),
        is_even=are_even(gaps, interval),
        times=times,
        pieces=tuple(_from_first(pieces)),
        keyframes=tuple(keyframes),
        is_in_order_of_decoding=clock.is_in_order_of_decoding,
        leaps=len(pieces) - 1,
        late_packets=late_packets,
        longest_gap=int(gaps.max()) if gaps.size else 0,
        is_mostly_even=are_mostly_even(gaps, interval),
    )


def rate(gaps: npt.NDArray[np.int64], clock: Clock) -> tuple[float, float, RateSource]:
    """(usual interval, fps, where it is from) of the times from each picture to the next: the header's rate if the
    packets agree, else theirs: the mean of the times that are about the median, for a recording may pause."""
    usual = _usual_interval(gaps)
    said = 1 / (clock.fps * clock.time_base_s) if clock.fps > 0 else 0.0
    if usual is None:
        source: RateSource = "header" if said else "assumed"
        interval = said or 1 / (ASSUMED_FPS * clock.time_base_s)
        return interval, 1 / (interval * clock.time_base_s), source
    interval = float(np.mean(gaps[gaps < _PAUSE_INTERVALS * usual]))
    if said and min(abs(said - interval), abs(said - usual)) <= _SAME_RATE * said:
        return said, clock.fps, "header" if clock.has_times else "assumed"
    return interval, 1 / (interval * clock.time_base_s), "packets"


def _said_interval(clock: Clock) -> float:
    return 1 / ((clock.fps or ASSUMED_FPS) * clock.time_base_s)


def are_even(gaps: npt.NDArray[np.int64], interval: float) -> bool:
    """Whether pictures follow each other at `interval`, but for the rounding of their times."""
    return bool(np.all(np.abs(gaps - interval) < max(1.0, interval / 4)))


def are_mostly_even(gaps: npt.NDArray[np.int64], interval: float) -> bool:
    """Whether they do, but for a few: what such a recording leaves out, it has lost."""
    return bool(np.mean(np.abs(gaps - interval) >= max(1.0, interval / 4)) < _FEW) if gaps.size else False


def _usual_interval(gaps: npt.NDArray[np.int64]) -> float | None:
    forward = gaps[gaps > 0]
    return float(np.median(forward)) if forward.size else None


def _breaks(decoded: Times, is_dts: Marks, usual: float, clock: Clock) -> npt.NDArray[np.intp]:
    """Where in `decoded` another clock begins."""
    steps = np.diff(decoded)
    leap_s = _LEAP_S if clock.may_leap else _ABSURD_LEAP_S
    leapt = steps > max(_USUAL_INTERVALS * usual, leap_s / clock.time_base_s)
    # Times of showing go back and forth by themselves, those of decoding do not.
    certain = is_dts[1:] & is_dts[:-1]
    back = np.where(certain, steps < -usual / 2, steps < -max(_USUAL_INTERVALS * usual, _LEAP_S / clock.time_base_s))
    return np.flatnonzero(leapt | back) + 1
