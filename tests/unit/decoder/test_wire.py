"""What a decoder may say: a lane believes nothing of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from cliplane.decoder import wire
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

JOB = wire.Job(None, Sampling(8, 1, 64, 64, 64, 3, 1), Settings().decoder_limits(), 1, False, 1.0)
FACTS = wire.Facts("h264", 640, 480, wire.Orientation(90, True), 25.0, "header", 100, 4.0)
EFFORT = wire.Effort(20, 0.1)


def transcript(*reports: wire.Report) -> wire.Transcript:
    made = wire.Transcript(JOB)
    for report in reports:
        assert made.read(wire.encode(report)) == report
    return made


def test_an_order_arrives_as_it_was_given() -> None:
    for order in (JOB, wire.Stop()):
        assert wire.read_order(wire.encode(order)) == order


def test_a_job_is_told_from_the_video_to_the_end_and_its_views_come_in_any_order() -> None:
    views = [wire.View(k, k, k + 1.0, EFFORT) for k in (1, 0, 2)]
    assert not transcript(wire.Video(3, FACTS), *views).is_over
    assert transcript(wire.Video(3, FACTS), *views, wire.End(EFFORT)).is_over
    doubt = wire.Doubt("damaged", "a detail")
    assert transcript(wire.Video(3, FACTS), doubt, *views[:2], wire.LeftOut(2), wire.End(EFFORT)).is_over


def test_a_stopped_job_may_end_early() -> None:
    stopped = transcript(wire.Video(3, FACTS))
    stopped.stop()
    stopped.read(wire.encode(wire.End(EFFORT)))
    assert stopped.is_over


VIDEO = wire.Video(3, FACTS)


@pytest.mark.parametrize(
    ("before", "report"),
    [
        ([], wire.View(0, 0, 1, EFFORT)),
        ([], wire.End(EFFORT)),
        ([], wire.Video(4, FACTS)),  # more views than were asked for
        ([VIDEO], VIDEO),
        ([VIDEO], wire.End(EFFORT)),  # with views missing
        ([VIDEO], wire.View(3, 0, 1, EFFORT)),
        ([VIDEO], wire.View(0, 1, 0, EFFORT)),
        ([VIDEO, wire.View(0, 0, 1, EFFORT)], wire.View(0, 0, 1, EFFORT)),
        ([], wire.Doubt("damaged", "")),
        ([VIDEO], wire.LeftOut(3)),
        ([VIDEO, wire.LeftOut(0)], wire.View(0, 0, 1, EFFORT)),
        ([VIDEO, *[wire.Doubt("damaged", "")] * 19], wire.Doubt("damaged", "")),
        ([], wire.Fault("triton-unavailable", "")),
        ([wire.Fault("undecodable-video", "")], wire.End(EFFORT)),
    ],
)
def test_what_may_not_come_now_is_nonsense(before: list[wire.Report], report: wire.Report) -> None:
    held = transcript(*before)
    with pytest.raises(wire.Nonsense):
        held.read(wire.encode(report))


def facts(**wrong: object) -> bytes:
    told: dict[str, Any] = json.loads(wire.encode(VIDEO))
    told["facts"] |= wrong
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    "packet",
    [
        facts(codec="<script>"),
        facts(codec="h264\n"),
        facts(codec="not_in_the_settings"),
        facts(codec="x" * 5000),
        facts(codec=1),
        facts(width=0),
        facts(width=-5),
        facts(height=2**31),
        facts(fps=float("inf")),
        facts(frames=1.5),
        facts(duration_s="long"),
        b'{"type":"video","views":3}',
        b'{"type":"result"}',
        b"[" * 60_000,
        b"\xff\xfe",
        wire.encode(wire.Stop()),
    ],
)
def test_a_wrong_type_length_or_range_is_nonsense(packet: bytes) -> None:
    with pytest.raises(wire.Nonsense):
        wire.Transcript(JOB).read(packet)


@given(st.text())
def test_a_fault_s_words_are_one_short_line_of_plain_letters(text: str) -> None:
    fault = wire.Transcript(JOB).read(wire.encode(wire.Fault("over-limit", text, text)))
    assert isinstance(fault, wire.Fault)
    for words in (fault.detail, fault.where):
        assert len(words) <= wire.DETAIL_LENGTH
        assert words.isascii()
        assert words.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_nonsense(packet: bytes) -> None:
    with contextlib.suppress(wire.Nonsense):
        wire.Transcript(JOB).read(packet)


SLIDING = msgspec.structs.replace(JOB, sliding=wire.Sliding(1.0, None, slots=4, max_windows=100, max_overlap=2))


def windows(count: int, *reports: wire.Report) -> wire.Transcript:
    held = wire.Transcript(SLIDING)
    for report in (wire.Video(count, FACTS), *reports):
        held.read(wire.encode(report))
    return held


def test_windows_come_in_the_order_of_time_and_only_as_far_as_there_is_credit() -> None:
    held = windows(6, *(wire.View(k, k, k + 1, EFFORT) for k in range(3)), wire.LeftOut(3))
    held.credit(6)
    for k in (4, 5):
        held.read(wire.encode(wire.View(k, k, k + 1, EFFORT)))
    held.read(wire.encode(wire.End(EFFORT)))
    assert held.is_over


@pytest.mark.parametrize(
    ("before", "report"),
    [
        ([], wire.View(1, 1, 2, EFFORT)),  # the first is missing
        ([wire.View(0, 0, 1, EFFORT)], wire.View(0, 0, 1, EFFORT)),
        ([wire.View(k, k, k + 1, EFFORT) for k in range(4)], wire.View(4, 4, 5, EFFORT)),  # without credit
        ([wire.View(k, k, k + 1, EFFORT) for k in range(4)], wire.LeftOut(4)),
        ([], wire.End(EFFORT)),
        ([wire.Doubt("pause", "")] * 32, wire.Doubt("pause", "")),
    ],
)
def test_a_window_that_may_not_come_now_is_nonsense(before: list[wire.Report], report: wire.Report) -> None:
    held = windows(6, *before)
    with pytest.raises(wire.Nonsense):
        held.read(wire.encode(report))


def test_more_windows_than_may_be_are_nonsense() -> None:
    with pytest.raises(wire.Nonsense):
        windows(101)


def test_orders_are_read_as_they_were_given() -> None:
    for order in (SLIDING, wire.Credit(7), wire.Stop()):
        assert wire.read_order(wire.encode(order)) == order
