"""The region as a ring: whatever happens in whichever order, each window is delivered once, in order, and no slot is
written while its window is wanted."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from cliplane.policy import ring as module
from cliplane.policy.ring import Ring, max_overlap
from cliplane.policy.schedule import MAX_CALLS, Call
from hypothesis import given
from hypothesis import strategies as st


def test_the_ring_does_no_io() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "collections", "cliplane.policy.schedule"}


class Request:
    """A request whose decoder and Triton act at random. The decoder begins windows before those in front of them are
    whole, as far as they overlap, and waits for credit as the real one does."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        slots = self.draw(st.integers(1, 9), "slots")
        self.windows = self.draw(st.integers(1, 40), "windows")
        self.overlap = self.draw(st.integers(1, max_overlap(slots)), "overlap")
        self.max_call_windows = self.draw(st.integers(1, 6), "most of a call")
        self.ring = Ring(slots, self.max_call_windows)
        self.credit = slots
        self.begun = 0
        self.memory: list[int | None] = [None] * slots  # which window was written last
        self.calls: dict[int, list[int]] = {}
        self.left_out: list[int] = []
        self.delivered: list[int] = []
        self.is_decoding = True
        self.losses = 0

    def run(self) -> None:
        while not self.ring.is_done():
            while call := self.ring.next_call():
                self.check(call)
            if self.ring.is_stranded():
                self.ring.resume()
                continue
            steps: list[Callable[[], None]] = []
            if self.is_decoding and self.may_decode():
                steps.append(self.decode)
            if self.calls:
                steps.append(self.answer)
            assert steps, "nothing is under way, and the end is not reached"
            self.draw(st.sampled_from(steps), "step")()

    def may_decode(self) -> bool:
        """The next window is whole only when all that overlap it are begun."""
        return self.ring.decoded == self.windows or self.last_begun() < self.credit

    def last_begun(self) -> int:
        return min(self.ring.decoded + self.overlap, self.windows) - 1

    def decode(self) -> None:
        if self.ring.decoded == self.windows:
            self.ring.decoding_ended()
            self.is_decoding = False
            return
        while self.begun <= self.last_begun():
            slot = self.begun % self.ring.slots
            before = self.memory[slot]
            assert before is None or before in self.delivered or before in self.left_out, "a wanted slot is written"
            self.memory[slot] = self.begun
            self.begun += 1
        if self.draw(st.integers(0, 9), "sound") == 0:
            self.left_out.append(self.ring.decoded)
            self.take(self.ring.window_left_out())
        else:
            self.ring.window_decoded()

    def check(self, call: Call) -> None:
        windows = [self.memory[slot] for slot in range(call.first, call.first + call.views)]
        assert 1 <= call.views <= self.max_call_windows
        assert call.first + call.views <= self.ring.slots
        first = windows[0]
        assert first is not None
        assert windows == list(range(first, first + call.views))
        assert first + call.views <= self.ring.decoded
        assert not {*windows} & {*self.delivered, *self.left_out}
        self.calls[call.first] = [window for window in windows if window is not None]
        assert len(self.calls) <= MAX_CALLS

    def answer(self) -> None:
        slot = self.draw(st.sampled_from(sorted(self.calls)), "answered call")
        windows = self.calls.pop(slot)
        assert [self.memory[place % self.ring.slots] for place in windows] == windows, "read while it was written"
        if self.losses < 3 and self.draw(st.integers(0, 9), "lost") == 0:
            self.losses += 1
            self.ring.lost(slot)
            return
        answered, deliverable = self.ring.inferred(slot)
        assert list(answered) == windows
        self.take(deliverable)

    def take(self, deliverable: list[int]) -> None:
        self.delivered += deliverable
        if (credit := self.ring.new_credit()) is not None:
            assert credit > self.credit
            self.credit = credit


@given(st.data())
def test_whatever_comes_in_whichever_order_each_window_is_delivered_once_and_in_order(data: st.DataObject) -> None:
    request = Request(data)
    request.run()
    assert sorted([*request.delivered, *request.left_out]) == list(range(request.windows))
    assert request.delivered == sorted(request.delivered)
    assert not request.calls


def test_credit_is_told_in_quarters_of_the_ring() -> None:
    ring = Ring(8, 1)
    told = []
    for _ in range(8):
        ring.window_decoded()
    while call := ring.next_call():
        ring.inferred(call.first)
        told.append(ring.new_credit())
    assert told == [None, 10, None, 12, None, 14, None, 16]
