"""What the bill of a chaos run calls lost, and what it lets pass."""

from __future__ import annotations

import pytest

from tests.chaos.bill import BROKEN, RIGHT, Bill, Ended, Fault
from tests.chaos.clients import judged

FRONT_ENDED = Fault("containers: restart", began=10, healed=14, recovery_s=6, front=True)


@pytest.mark.parametrize(
    ("began", "ended", "lost"), [(5, 9, True), (5, 12, False), (15, 19, False), (21, 22, True)], ids=str
)
def test_a_broken_connection_is_lost_unless_the_front_ended_meanwhile(began: float, ended: float, lost: bool) -> None:
    bill = Bill(faults=[FRONT_ENDED])
    bill.ended(Ended("whole", began, ended, BROKEN))
    assert (len(bill.lost()), len(bill.broken())) == ((1, 0) if lost else (0, 1))


def test_a_connection_that_breaks_while_a_decoder_dies_is_lost() -> None:
    bill = Bill(faults=[Fault("decoder killed", 10, 14, 6, front=False)])
    bill.ended(Ended("whole", 5, 12, BROKEN))
    assert len(bill.lost()) == 1


@pytest.mark.parametrize(("client", "lost"), [("streaming", 0), ("whole", 1)])
def test_only_a_stream_may_break_with_its_lane_for_nginx_answers_the_others(client: str, lost: int) -> None:
    bill = Bill(faults=[Fault("lane killed", 10, 14, 6, front=False, lanes=True)])
    bill.ended(Ended(client, 5, 12, BROKEN))
    assert len(bill.lost()) == lost


def test_an_answer_is_right_a_problem_or_wrong() -> None:
    assert judged(200, '{"predictions": [{"label": "zoom_in"}]}', "zoom_in") == (RIGHT, "")
    assert judged(200, '{"predictions": [{"label": "zoom_in"}]}', "tilt_up")[0] == "wrong"
    assert judged(503, '{"type": "urn:cliplane:problem:busy", "status": 503}', "tilt_up") == ("busy", "")
    assert judged(500, "<html>Internal Server Error</html>", "tilt_up")[0] == "wrong"
    assert judged(200, '{"type": "urn:cliplane:problem:busy", "status": 503}', "tilt_up")[0] == "wrong"


def test_the_text_has_every_fault_and_says_which_never_healed() -> None:
    bill = Bill(faults=[FRONT_ENDED, Fault("spool filled", 30, 31, None, front=False)])
    assert "never 1" in bill.text()
    assert [fault.name for fault in bill.never_well()] == ["spool filled"]
