"""Which views are inferred next, and which can be delivered. Pure: no clock, no lane, no call is made here.

A view has a *slot*: its place in the region and in the order of decoding. A slot is decoded, waits, is in a call, is
early (inferred before one in front of it), is delivered, in this order; only a lost call lets its slots wait again.

Two calls may be under way, so that the engine has the next views when it is done with the last; what is decoded
meanwhile gathers for the call after them.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_CALLS = 2
"""Calls under way at once."""


class Call(NamedTuple):
    """`views` views that lie together in the region, from slot `first` on."""

    first: int
    views: int


class Schedule:
    """One request's views on their way from the decoder to the client."""

    def __init__(self, views: int, max_call_views: int, *, is_auto: bool = False, is_shared: bool = False) -> None:
        """
        Args:
            views: how many there will be; `plan` corrects it.
            max_call_views: most of one call.
            is_auto: the number of views is ours to choose, `stop` may come before all are inferred.
            is_shared: other requests share the CPUs.
        """
        self.views = views
        self.decoded = 0
        """Slots 0 … decoded - 1 are in the region."""
        self.delivered = 0
        """Slots 0 … delivered - 1 have been delivered."""
        self._max_call_views, self._is_auto, self._is_shared = max_call_views, is_auto, is_shared
        self._waiting: list[int] = []  # slots, ascending
        self._calls: dict[int, Call] = {}  # by their first slot
        self._early: set[int] = set()
        self._is_decoding = True
        self._is_stopped = self._is_lost = False

    def plan(self, views: int) -> None:
        """The video has room for so many views; at least as many as are decoded."""
        self.views = views

    def view_decoded(self) -> None:
        """The next slot is in the region."""
        self._waiting.append(self.decoded)
        self.decoded += 1

    def decoding_ended(self) -> None:
        """No other view will come, and no fault was found in the file."""
        self._is_decoding = False

    def next_call(self) -> Call | None:
        """The next call to make now, if any; it is under way from here on."""
        if self._is_lost or self._is_stopped or len(self._calls) == MAX_CALLS or not (views := self._next_views()):
            return None
        call = Call(self._waiting[0], views)
        del self._waiting[:views]
        self._calls[call.first] = call
        return call

    def inferred(self, first: int) -> range:
        """The call from slot `first` on is answered; the slots that can be delivered now, in order."""
        call = self._calls.pop(first)
        self._early.update(range(first, first + call.views))
        start = self.delivered
        while self.delivered in self._early:
            self._early.remove(self.delivered)
            self.delivered += 1
        return range(start, self.delivered)

    def lost(self, first: int) -> None:
        """The call from slot `first` on did not find the region: its views wait again, and no call is made until
        `resume`."""
        call = self._calls.pop(first)
        self._waiting = sorted([*self._waiting, *range(first, first + call.views)])
        self._is_lost = True

    def is_stranded(self) -> bool:
        """Whether the region was lost and no call is under way any more: time to register it again."""
        return self._is_lost and not self._calls

    def resume(self) -> None:
        """Triton can read the views again."""
        self._is_lost = False

    def stop(self) -> None:
        """Enough views are known."""
        self._is_stopped = True

    def is_calling(self) -> bool:
        """Whether a call is under way."""
        return bool(self._calls)

    def is_done(self) -> bool:
        """Whether every view is delivered and the decoder has found no fault in the file; or enough views are known."""
        if self.delivered == self.views:
            return not self._is_decoding
        return self._is_stopped

    def _next_views(self) -> int:
        """How many of the waiting views go into one call: those that lie together in the region.

        Where the number of views is ours to choose, no more are under way than are known: at most half of them are then
        in vain. Where other requests share the CPUs, half of the views are waited for: a call costs CPU time of its
        own, and what waits here lets another request go on.
        """
        limit = self._max_call_views
        if self._is_auto:
            known = self.delivered + len(self._early)
            under_way = self.decoded - len(self._waiting) - known
            limit = min(limit, max(known, 1) - under_way)
        elif self._is_shared and self._is_decoding and 2 * len(self._waiting) < self.views:
            return 0
        together = sum(slot == self._waiting[0] + place for place, slot in enumerate(self._waiting))
        return max(0, min(together, limit))
