"""Which views of which model are inferred next, where several models look at one video. Pure, as `schedule.py`, which
has the rule for each of them.

Each model's slots follow those of the model before it, so that a slot's number says whose it is. The models take
turns; no more calls are under way in all than one model may have alone, since they share the CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from cliplane.policy.schedule import MAX_CALLS, Call, Schedule


class Delivered(NamedTuple):
    """Slots of the model's own that can be delivered now."""

    model: int
    slots: range


class Schedules:
    """One request's views of several models."""

    def __init__(self, views: Sequence[int], max_call_views: Sequence[int], *, is_shared: bool = False) -> None:
        """
        Args:
            views: how many there will be at most, by model; `plan` corrects it.
            max_call_views: most of one call, by model.
            is_shared: other requests share the CPUs.
        """
        self.models = [
            Schedule(count, most, is_shared=is_shared) for count, most in zip(views, max_call_views, strict=True)
        ]
        self._starts = list(accumulate(views, initial=0))
        self._turn = 0  # the model that is asked first for the next call
        self._under_way = 0
        self._is_lost = False

    def place(self, slot: int) -> tuple[int, int]:
        """(model, its own slot)."""
        model = next(k for k in range(len(self.models)) if slot < self._starts[k + 1])
        return model, slot - self._starts[model]

    def decoding_ended(self) -> None:
        """No other view will come, and no fault was found in the file."""
        for model in self.models:
            model.decoding_ended()

    def next_call(self) -> Call | None:
        """The next call to make now, if any; it is under way from here on."""
        if self._is_lost or self._under_way == MAX_CALLS:
            return None
        for k in range(len(self.models)):
            model = (self._turn + k) % len(self.models)
            if call := self.models[model].next_call():
                self._turn = model + 1
                self._under_way += 1
                return Call(self._starts[model] + call.first, call.views)
        return None

    def inferred(self, first: int) -> Delivered:
        """The call from slot `first` on is answered."""
        model, own = self.place(first)
        self._under_way -= 1
        return Delivered(model, self.models[model].inferred(own))

    def lost(self, first: int) -> None:
        """The call from slot `first` on did not find the region: no call is made until `resume`."""
        model, own = self.place(first)
        self._under_way -= 1
        self.models[model].lost(own)
        self._is_lost = True

    def is_stranded(self) -> bool:
        """Whether the region was lost and no call is under way any more: time to register it again."""
        return self._is_lost and not self._under_way

    def resume(self) -> None:
        """Triton can read the views again."""
        self._is_lost = False
        for model in self.models:
            model.resume()

    def is_calling(self) -> bool:
        """Whether a call is under way."""
        return self._under_way > 0

    def is_done(self) -> bool:
        """Whether every view of each model is delivered, and the decoder has found no fault in the file."""
        return all(model.is_done() for model in self.models)
