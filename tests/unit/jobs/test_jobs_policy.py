"""What becomes of a job next."""

from __future__ import annotations

import itertools

import pytest
from cliplane import errors
from cliplane.jobs.policy import (
    MAX_ATTEMPTS,
    WEBHOOK_PAUSES_S,
    Retry,
    Turns,
    after_crash,
    after_failure,
    webhook_pause_s,
)
from hypothesis import given
from hypothesis import strategies as st

FINAL = (
    errors.UndecodableVideo,
    errors.OverLimit,
    errors.UnsupportedCodec,
    errors.NotAVideo,
    errors.PathNotFound,
    errors.PathOutside,
    errors.UnknownModel,
    errors.NotAVideoModel,
    errors.DecodeTimeout,
)


@pytest.mark.parametrize("error", FINAL)
def test_what_another_attempt_would_not_change_is_the_answer(error: type[errors.CliplaneError]) -> None:
    assert after_failure(error(), 1) is None


@pytest.mark.parametrize("error", [errors.TritonUnavailable, errors.NotReady])
def test_a_stack_that_is_not_ready_is_waited_for_however_long(error: type[errors.CliplaneError]) -> None:
    for attempts in (1, MAX_ATTEMPTS, 10 * MAX_ATTEMPTS):
        retry = after_failure(error(), attempts)
        assert retry is not None
        assert not retry.is_counted


@pytest.mark.parametrize("error", [errors.DecoderCrashed, errors.DecoderOutOfMemory, errors.CliplaneError])
def test_what_may_be_the_videos_fault_is_tried_so_often_and_no_more(error: type[errors.CliplaneError]) -> None:
    pauses = []
    for attempts in itertools.count(1):
        retry = after_failure(error(), attempts)
        assert retry == after_crash(attempts)
        if retry is None:
            break
        assert isinstance(retry, Retry)
        assert retry.is_counted
        pauses.append(retry.pause_s)
    assert attempts == MAX_ATTEMPTS
    assert pauses == sorted(pauses)


def test_a_webhook_is_sent_again_ever_later_and_then_given_up() -> None:
    assert [webhook_pause_s(n) for n in range(1, len(WEBHOOK_PAUSES_S) + 1)] == list(WEBHOOK_PAUSES_S)
    assert webhook_pause_s(len(WEBHOOK_PAUSES_S) + 1) is None


STEP_S = 0.02


@given(st.lists(st.booleans(), min_size=1, max_size=3000))
def test_a_job_makes_way_at_once_and_is_never_starved(busy: list[bool]) -> None:
    turns, waited, worked, quiet = Turns(), 0.0, 0.0, 1e9
    for step, is_busy in enumerate(busy):
        may_work = turns.may_work(step * STEP_S, is_busy=is_busy)
        quiet = 0.0 if is_busy else quiet + STEP_S
        if not may_work:
            assert quiet < Turns.QUIET_S + STEP_S  # it waits only for somebody
            waited, worked = waited + STEP_S, 0.0
            assert waited <= Turns.MAX_WAIT_S + 2 * STEP_S
        elif is_busy:
            worked += STEP_S
            assert worked <= Turns.TURN_S + 2 * STEP_S  # in the midst of requests its turn is short
            assert waited == 0.0 or waited >= Turns.MAX_WAIT_S - 2 * STEP_S
            if worked >= Turns.TURN_S:
                waited = 0.0
        else:
            waited = worked = 0.0


def test_without_requests_a_job_works_always_and_among_them_at_least_a_thirtieth_of_the_time() -> None:
    alone, among = Turns(), Turns()
    times = [step * STEP_S for step in range(10_000)]
    assert all(alone.may_work(now, is_busy=False) for now in times)
    share = sum(among.may_work(now, is_busy=True) for now in times) / len(times)
    assert 1 / 30 < share < 1 / 15
