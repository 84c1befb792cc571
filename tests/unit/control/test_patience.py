"""The control plane waits for others, but not for long, and never with all of its threads."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from cliplane.control import patience
from cliplane.control.patience import MAX_WAITING, Patience
from cliplane.control.readiness import Readiness
from cliplane.errors import NotReady, TritonUnavailable, UnknownModel
from cliplane.settings import Settings


@pytest.fixture
def standing_still() -> Iterator[threading.Event]:
    goes_on = threading.Event()
    yield goes_on
    goes_on.set()


def test_an_answer_and_an_error_are_handed_on() -> None:
    def fails() -> None:
        raise NotReady("why")

    assert Patience().ask(lambda: 3) == 3
    with pytest.raises(NotReady, match="why"):
        Patience().ask(fails)


def test_readyz_is_503_whatever_the_reason() -> None:
    triton = Mock()
    triton.spec.side_effect = UnknownModel("model 'x' is not in the repository")
    readiness = Readiness(Settings(), triton)
    with pytest.raises(UnknownModel, match="'x'") as raised:
        Patience().ask(readiness.check)
    readiness.close()
    assert (raised.value.status, raised.value.retry_after_s) == (503, NotReady.retry_after_s)


def test_what_does_not_answer_is_unavailable_in_time(
    standing_still: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    asked, began = Patience(), time.monotonic()
    for _ in range(2):
        with pytest.raises(TritonUnavailable, match="within"):
            asked.ask(standing_still.wait)
    assert time.monotonic() - began < 10


def test_not_all_threads_may_wait(standing_still: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 60)
    asked = Patience()
    with concurrent.futures.ThreadPoolExecutor(MAX_WAITING + 1) as pool:
        answers = [pool.submit(asked.ask, standing_still.wait) for _ in range(MAX_WAITING + 1)]
        done, waiting = concurrent.futures.wait(answers, 60, concurrent.futures.FIRST_COMPLETED)
        standing_still.set()
        (refused,) = done
        with pytest.raises(TritonUnavailable, match="too many"):
            refused.result()
        assert all(answer.result() for answer in waiting)


def test_the_same_question_about_another_thing_has_an_answer_of_its_own(standing_still: threading.Event) -> None:
    def answer(about: str) -> str:
        if about == "slow":
            standing_still.wait()
        return about

    asked = Patience()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(asked.ask, answer, "slow")
        assert asked.ask(answer, "quick") == "quick"
        standing_still.set()
        assert slow.result() == "slow"
