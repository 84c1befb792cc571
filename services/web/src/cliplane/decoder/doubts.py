"""What in a file was doubtful, and how it was taken: the `warnings` of an answer. Pure; empty where all is well."""

from __future__ import annotations

from cliplane.decoder.timeline import Clock, Timeline
from cliplane.decoder.wire import Doubt

_SAME_RATE = 0.05
_PAUSE_S = 2.0
_PAUSE_INTERVALS = 10
_LOST_INTERVALS = 3.5
"""In a recording that is even else. A camera leaves out one or two, and a screen is recorded when it changes."""

_UNREAD = 0.1

_WRONG_BY_S, _WRONG_BY = 1.0, 0.1
"""A duration that is wrong by more than both, the second a part of it."""


def of_timeline(timeline: Timeline, clock: Clock, said_s: float, unread: float) -> list[Doubt]:
    """Where the packets say something else than the headers, or nothing certain. `said_s`: the header's duration, 0
    where it says none; `unread`: the part of the file behind the last packet."""
    found = []
    duration_s = (timeline.end - timeline.start) * clock.time_base_s
    # Where the header says none, FFmpeg's is the mean.
    is_mean = abs(clock.fps * duration_s - timeline.picture_count) <= _SAME_RATE * timeline.picture_count
    if timeline.rate_source == "packets" and clock.fps and not is_mean:
        found.append(
            Doubt("rate-contradicted", f"{timeline.fps:.3g} pictures a second, not {clock.fps:.3g} as the header says")
        )
    if timeline.rate_source == "assumed":
        found.append(Doubt("rate-assumed", f"the file says no rate: {timeline.fps:g} pictures a second"))
    if timeline.late_packets:
        detail = f"{timeline.late_packets} packets before the first keyframe cannot be decoded"
        found.append(Doubt("late-start", f"{detail}: the video begins there"))
    if timeline.leaps:
        times = "once" if timeline.leaps == 1 else f"{timeline.leaps} times"
        found.append(Doubt("clock-leapt", f"times start again or leap {times}: the timeline goes on"))
    pause_s = timeline.longest_gap * clock.time_base_s
    intervals = timeline.longest_gap / timeline.interval
    if (pause_s > _PAUSE_S and intervals > _PAUSE_INTERVALS) or (
        timeline.is_mostly_even and intervals > _LOST_INTERVALS
    ):
        found.append(Doubt("pause", f"one picture stands for {pause_s:.1f} s"))
    if unread > _UNREAD and not timeline.leaps:
        found.append(Doubt("ends-early", f"no picture in the last {unread:.0%} of the file"))
    wrong_s = abs(said_s - duration_s)
    if said_s and not found and wrong_s > max(_WRONG_BY_S, _WRONG_BY * min(said_s, duration_s)):
        found.append(Doubt("duration-contradicted", f"{duration_s:.1f} s, not {said_s:.1f} s as the header says"))
    return found


DAMAGED = Doubt("damaged", "parts of the video cannot be decoded; `damage` says how many of the frames that views need")


def left_out(start_s: float, end_s: float) -> Doubt:
    """Of a view none of whose frames could be decoded."""
    return Doubt("view-left-out", f"no frame from {start_s:.2f} s to {end_s:.2f} s can be decoded")
