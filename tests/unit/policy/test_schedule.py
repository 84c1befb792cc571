"""Which views are inferred next: whatever happens in whichever order, each is delivered once, in order."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from cliplane.policy import schedule as module
from cliplane.policy.schedule import MAX_CALLS, Call, Schedule
from hypothesis import given
from hypothesis import strategies as st


def test_the_schedule_does_no_io() -> None:
    """It cannot wait, read a clock or know a lane: its source imports nothing but types."""
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "typing"}


class Request:
    """A request whose decoder, Triton and top label act at random."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        planned = self.draw(st.integers(1, 12), "planned")
        self.views = self.draw(st.integers(1, planned), "of which the video has")
        self.max_call_views = self.draw(st.integers(1, 12), "most of a call")
        self.is_auto = self.draw(st.booleans(), "auto")
        is_shared = self.draw(st.booleans(), "shared")
        self.schedule = Schedule(planned, self.max_call_views, is_auto=self.is_auto, is_shared=is_shared)
        self.is_decoding = True
        self.calls: list[Call] = []
        self.delivered: list[int] = []
        self.losses = 0

    def run(self) -> None:
        self.schedule.plan(self.views)
        while not self.schedule.is_done():
            while call := self.schedule.next_call():
                self.calls.append(call)
                self.check(call)
            if self.schedule.is_stranded():
                self.schedule.resume()
                continue
            steps = [*([self.decode] if self.is_decoding else []), *([self.answer] if self.calls else [])]
            assert steps, "nothing is under way, and the end is not reached"
            self.draw(st.sampled_from(steps), "step")()

    def check(self, call: Call) -> None:
        assert len(self.calls) <= MAX_CALLS
        assert 1 <= call.views <= self.max_call_views
        assert call.first + call.views <= self.schedule.decoded
        slots = [slot for one in self.calls for slot in range(one.first, one.first + one.views)]
        assert len(slots) == len(set(slots)), "a view is in two calls"
        assert not set(slots) & set(self.delivered), "a view is inferred again"
        if self.is_auto:
            assert len(slots) <= max(1, self.schedule.decoded - len(slots)), "more in vain than are known"

    def decode(self) -> None:
        if self.schedule.decoded < self.views:
            self.schedule.view_decoded()
        else:
            self.schedule.decoding_ended()
            self.is_decoding = False

    def answer(self) -> None:
        call = self.calls.pop(self.draw(st.integers(0, len(self.calls) - 1), "call"))
        if self.losses < 5 and self.draw(st.booleans(), "lost"):
            self.losses += 1
            self.schedule.lost(call.first)
            return
        self.delivered += self.schedule.inferred(call.first)
        if self.is_auto and self.delivered and self.draw(st.booleans(), "decided"):
            self.schedule.stop()


@given(st.data())
def test_every_view_is_delivered_once_and_in_order_and_the_end_is_reached(data: st.DataObject) -> None:
    request = Request(data)
    request.run()
    assert request.delivered == list(range(request.schedule.delivered))
    if not request.is_auto:
        assert len(request.delivered) == request.views


def decoded(schedule: Schedule, views: int) -> None:
    for _ in range(views):
        schedule.view_decoded()


def test_what_is_decoded_goes_into_two_calls_and_then_gathers() -> None:
    schedule = Schedule(10, 8)
    decoded(schedule, 1)
    assert schedule.next_call() == Call(0, 1)
    decoded(schedule, 2)
    assert schedule.next_call() == Call(1, 2)
    decoded(schedule, 3)
    assert schedule.next_call() is None
    assert schedule.inferred(1) == range(0)
    assert schedule.next_call() == Call(3, 3)
    assert schedule.inferred(0) == range(3)


def test_no_call_is_larger_than_the_model_takes() -> None:
    schedule = Schedule(10, 4)
    decoded(schedule, 10)
    assert [schedule.next_call(), schedule.next_call()] == [Call(0, 4), Call(4, 4)]


def test_where_the_cpus_are_shared_half_of_the_views_are_waited_for() -> None:
    schedule = Schedule(4, 8, is_shared=True)
    decoded(schedule, 1)
    assert schedule.next_call() is None
    decoded(schedule, 1)
    assert schedule.next_call() == Call(0, 2)
    decoded(schedule, 1)
    schedule.decoding_ended()
    assert schedule.next_call() == Call(2, 1)


def test_of_auto_views_no_more_are_under_way_than_are_known() -> None:
    schedule = Schedule(10, 8, is_auto=True)
    decoded(schedule, 10)
    assert schedule.next_call() == Call(0, 1)
    assert schedule.next_call() is None
    schedule.inferred(0)
    assert schedule.next_call() == Call(1, 1)
    schedule.inferred(1)
    assert schedule.next_call() == Call(2, 2)


def test_after_a_loss_no_call_is_made_until_the_region_is_there_again() -> None:
    schedule = Schedule(3, 1)
    decoded(schedule, 3)
    first, second = schedule.next_call(), schedule.next_call()
    assert (first, second) == (Call(0, 1), Call(1, 1))
    schedule.lost(0)
    assert schedule.next_call() is None
    assert not schedule.is_stranded()
    schedule.inferred(1)
    assert schedule.is_stranded()
    schedule.resume()
    assert [schedule.next_call(), schedule.next_call()] == [Call(0, 1), Call(2, 1)]


@pytest.mark.parametrize("decoder_first", [True, False], ids=["decoder first", "engine first"])
def test_a_request_is_done_when_both_the_decoder_and_the_engine_are(decoder_first: bool) -> None:
    schedule = Schedule(1, 8)
    decoded(schedule, 1)
    schedule.next_call()
    steps: list[Callable[[], object]] = [schedule.decoding_ended, lambda: schedule.inferred(0)]
    for step in steps if decoder_first else reversed(steps):
        assert not schedule.is_done()
        step()
    assert schedule.is_done()
