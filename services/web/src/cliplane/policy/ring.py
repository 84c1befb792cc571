"""Which windows are inferred next, and into which slots others may be decoded. Pure: no clock, no lane, no call is made
here.

The region's slots are a ring: window k lies in slot k mod `slots`. A window is decoded (or left out, where nothing of
it can be), waits, is in a call, is early (inferred before one in front of it), is delivered, in this order; only a lost
call lets its windows wait again. The decoder has *credit*: it may write into the slots of the windows below it. A slot
is written again only when its window has been delivered: Triton reads it until then, once more where a call is lost.
"""

from __future__ import annotations

from collections import deque

from cliplane.policy.schedule import MAX_CALLS, Call

_TOLD_PARTS = 4
"""Credit is told when so large a part of the ring is free again, not with each slot."""


def max_overlap(slots: int) -> int:
    """The most windows that may be begun at once: with more the decoder could wait for credit that never comes."""
    return max(1, slots // 2)


class Ring:
    """One request's windows on their way from the decoder to the client."""

    def __init__(self, slots: int, max_call_windows: int) -> None:
        """
        Args:
            slots: how many windows the region holds.
            max_call_windows: most of one call.
        """
        self.slots = slots
        self.decoded = 0
        """Windows 0 … decoded - 1 are in the region, or left out."""
        self.delivered = 0
        """Windows 0 … delivered - 1 have been delivered, or left out."""
        self._told = slots
        self._max_call_windows = max_call_windows
        self._waiting: deque[int] = deque()  # windows, ascending
        self._calls: dict[int, tuple[int, int]] = {}  # first slot → (first window, windows)
        self._early: set[int] = set()
        self._left_out: set[int] = set()
        self._is_decoding = True
        self._is_lost = False

    def window_decoded(self) -> None:
        """The next window is in its slot."""
        self._waiting.append(self.decoded)
        self.decoded += 1

    def window_left_out(self) -> list[int]:
        """The next window will not come; the windows that can be delivered now, in order: always none, but where this
        was the first in line its slot is free."""
        self._left_out.add(self.decoded)
        self.decoded += 1
        return self._deliver()

    def decoding_ended(self) -> None:
        """No other window will come, and no fault was found in the file."""
        self._is_decoding = False

    def next_call(self) -> Call | None:
        """The next call to make now, if any, by the slots it reads; it is under way from here on."""
        if self._is_lost or len(self._calls) == MAX_CALLS or not self._waiting:
            return None
        first = self._waiting.popleft()
        slot, windows = first % self.slots, 1
        most = min(self._max_call_windows, self.slots - slot)  # what lies together in the region
        while windows < most and self._waiting and self._waiting[0] == first + windows:
            self._waiting.popleft()
            windows += 1
        self._calls[slot] = (first, windows)
        return Call(slot, windows)

    def inferred(self, slot: int) -> tuple[range, list[int]]:
        """The call from this slot on is answered: its windows; and those that can be delivered now, in order."""
        first, windows = self._calls.pop(slot)
        self._early.update(range(first, first + windows))
        return range(first, first + windows), self._deliver()

    def lost(self, slot: int) -> None:
        """The call from this slot on did not find the region: its windows wait again, and no call is made until
        `resume`."""
        first, windows = self._calls.pop(slot)
        self._waiting = deque(sorted([*self._waiting, *range(first, first + windows)]))
        self._is_lost = True

    def is_stranded(self) -> bool:
        """Whether the region was lost and no call is under way any more: time to register it again."""
        return self._is_lost and not self._calls

    def resume(self) -> None:
        """Triton can read the windows again."""
        self._is_lost = False

    def new_credit(self) -> int | None:
        """The decoder may write all windows below this; None: no more than it was told, or hardly more."""
        credit = self.delivered + self.slots
        if credit - self._told < max(1, self.slots // _TOLD_PARTS):
            return None
        self._told = credit
        return credit

    def is_calling(self) -> bool:
        """Whether a call is under way."""
        return bool(self._calls)

    def is_done(self) -> bool:
        """Whether every window is delivered and the decoder has found no fault in the file."""
        return not self._is_decoding and self.delivered == self.decoded

    def _deliver(self) -> list[int]:
        windows: list[int] = []
        while self.delivered in self._early or self.delivered in self._left_out:
            if self.delivered in self._early:
                windows.append(self.delivered)
            self._early.discard(self.delivered)
            self._left_out.discard(self.delivered)
            self.delivered += 1
        return windows
