"""What a run of chaos came to: every request's end, every fault's recovery, and what was left behind."""

from __future__ import annotations

import collections
import statistics
import threading
from dataclasses import dataclass, field

RIGHT, LEFT = "right", "left"
"""A right answer; a client that meant to leave and left."""

WRONG, BROKEN = "wrong", "broken"
"""An answer for another video, or in no form that is promised; a connection that broke without an answer."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A request's end. `outcome` is one of the four above, or a problem's type."""

    client: str
    began: float
    ended: float
    outcome: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was put in and taken away.

    `front`: the web container or its nginx ended meanwhile: connections broke. `recovery_s`: from the end of the
    fault, or from the beginning of one that is borne, to a right answer through shared memory; None: not in time.
    `lanes`: a lane ended meanwhile. nginx says so to whoever waits for an answer; in a stream that has begun nothing
    can be said any more.
    """

    name: str
    began: float
    healed: float
    recovery_s: float | None
    front: bool
    lanes: bool = False

    def had_broken(self, request: Ended) -> bool:
        """Whether this fault ended the connection of that request: both were there at one time."""
        until = self.healed + (self.recovery_s or 0)
        is_of_it = self.front or (self.lanes and request.client == "streaming")
        return is_of_it and request.began <= until and request.ended >= self.began


@dataclass(slots=True)
class Bill:
    """Filled from several threads."""

    requests: list[Ended] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ended(self, request: Ended) -> None:
        with self._lock:
            self.requests.append(request)

    def wrong(self) -> list[Ended]:
        return [request for request in self.requests if request.outcome == WRONG]

    def broken(self) -> list[Ended]:
        """Connections that broke while a fault ended the front, or a stream's lane: nobody could have answered them."""
        return [request for request in self.requests if request.outcome == BROKEN and self._excused(request)]

    def lost(self) -> list[Ended]:
        """Connections that broke for no such reason."""
        return [request for request in self.requests if request.outcome == BROKEN and not self._excused(request)]

    def never_well(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.recovery_s is None]

    def text(self) -> str:
        outcomes = collections.Counter(request.outcome for request in self.requests)
        by_name = collections.defaultdict(list)
        for fault in self.faults:
            by_name[fault.name].append(fault.recovery_s)
        lines = [f"{len(self.faults)} faults, {len(self.requests)} requests"]
        lines += [f"  {count:6} {outcome}" for outcome, count in outcomes.most_common()]
        lines.append(f"{len(self.wrong())} wrong, {len(self.lost())} lost, {len(self.broken())} broken with the front")
        lines += [f"  {request}" for request in (*self.wrong(), *self.lost())]
        lines.append(f"{'recovery, s':40} {'times':>5} {'p50':>6} {'worst':>6}")
        for name, all_times in sorted(by_name.items()):
            times = [time for time in all_times if time is not None]
            figures = f"{statistics.median(times):6.1f} {max(times):6.1f}" if times else f"{'-':>6} {'-':>6}"
            never = f"  never {len(all_times) - len(times)}" if len(times) < len(all_times) else ""
            lines.append(f"  {name:38} {len(all_times):5} {figures}{never}")
        return "\n".join(lines)

    def _excused(self, request: Ended) -> bool:
        return any(fault.had_broken(request) for fault in self.faults)
