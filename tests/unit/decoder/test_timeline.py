"""From packets to the times of pictures: the packets outrank the headers, and the timeline goes on."""

from __future__ import annotations

import numpy as np
import pytest
from cliplane.decoder import timeline
from cliplane.decoder.doubts import of_timeline
from cliplane.decoder.timeline import UNKNOWN, Clock, Packets, Timeline
from hypothesis import given
from hypothesis import strategies as st

TICK_S = 1 / 90000
INTERVAL = 3600  # 25 a second
GOP = 25


def recording(
    pictures: int = 100, *, start: int = 0, first: int = 0, b_frames: bool = False, at: int = 0, gop: int = GOP
) -> Packets:
    """Packets of 1000 bytes from byte `at` on, cut off before the packet `first`; a keyframe every `gop`."""
    numbers = np.arange(first, pictures)
    in_gop = numbers % gop
    # Every second picture behind a keyframe is decoded before the one that is shown before it.
    later = np.where((in_gop > 0) & (gop % 2 == 1), np.where(in_gop % 2 == 1, 1, -1), 0) if b_frames else 0
    dts = start + numbers * INTERVAL
    pos = at + np.arange(len(numbers)) * 1000
    return Packets(dts + later * INTERVAL, dts, pos, in_gop == 0, np.zeros(len(numbers), bool))


def joined(*parts: Packets) -> Packets:
    """One file behind another."""
    return Packets(*(np.concatenate([getattr(part, name) for part in parts]) for name in Packets.__slots__))


def read(packets: Packets, *, fps: float = 25.0, may_leap: bool = True, in_order: bool = False) -> Timeline:
    found = timeline.read(packets, Clock(TICK_S, fps, may_leap, in_order))
    assert found is not None
    return found


def seconds(found: Timeline) -> float:
    return (found.end - found.start) * TICK_S


@pytest.mark.parametrize("said", [0.0, 1000.0, 50.0, 12.5, 25.0])
def test_the_rate_is_that_of_the_packets_whatever_the_header_says(said: float) -> None:
    found = read(recording(), fps=said)
    assert found.fps == pytest.approx(25)
    assert found.picture_count == 100
    assert seconds(found) == pytest.approx(4)
    assert found.rate_source == ("header" if said == 25 else "packets")


def test_the_header_s_exact_rate_stands_where_times_are_rounded() -> None:
    pts = np.round(np.arange(300) * 1001 / 30).astype(np.int64)
    packets = Packets(pts, pts, np.arange(300), np.arange(300) % 30 == 0, np.zeros(300, bool))
    found = timeline.read(packets, Clock(1 / 1000, 30000 / 1001))
    assert found is not None
    assert (found.fps, found.rate_source, found.is_even) == (30000 / 1001, "header", True)


@given(st.lists(st.integers(0, 28), min_size=100, max_size=100))
def test_a_browser_s_uneven_times_are_about_25_a_second(jitter_ms: list[int]) -> None:
    pts = np.array([40 * n + late for n, late in enumerate(jitter_ms)], np.int64)
    packets = Packets(pts, pts, np.arange(100), np.arange(100) == 0, np.zeros(100, bool))
    found = timeline.read(packets, Clock(1 / 1000, 1000.0))
    assert found is not None
    assert 18 < found.fps < 36
    assert found.picture_count == 100


def test_pictures_that_come_by_a_screen_s_clock_are_as_many_a_second_as_there_are() -> None:
    """A camera of 24 a second on a screen of 60: two ticks, three ticks."""
    pts = np.cumsum([0, *[33, 50] * 50]).astype(np.int64)
    packets = Packets(pts, pts, np.arange(101), np.arange(101) == 0, np.zeros(101, bool))
    found = timeline.read(packets, Clock(1 / 1000, 1000.0))
    assert found is not None
    assert found.fps == pytest.approx(24.1, abs=0.1)


@pytest.mark.parametrize("late_s", [370, -370])
def test_one_time_that_is_damaged_moves_nothing(late_s: int) -> None:
    packets = recording()
    packets.pts[60] += round(late_s / TICK_S)
    found = read(packets)
    assert (found.start, found.leaps) == (0, 0)
    assert seconds(found) == pytest.approx(4)
    assert found.told(int(packets.pts[60]), int(packets.dts[60])) == 60 * INTERVAL
    assert found.told(int(packets.pts[61]), int(packets.dts[61])) == 61 * INTERVAL


def test_times_of_decoding_that_are_made_up_make_one_join_and_no_more() -> None:
    first, second = recording(b_frames=True), recording(b_frames=True)
    second = Packets(second.pts, second.pts, second.pos + 10**6, second.is_keyframe, second.is_hidden)
    found = timeline.read(joined(first, second), Clock(TICK_S, 25.0, has_decoding_times=False))
    assert found is not None
    assert (found.picture_count, found.leaps) == (200, 1)


def test_a_pause_does_not_change_the_rate_and_is_kept() -> None:
    found = read(joined(recording(), recording(start=13 * 90000, at=100_000)), may_leap=False)
    assert found.fps == 25
    assert seconds(found) == pytest.approx(17)


def kinds(found: Timeline, unread: float = 0.0) -> list[str]:
    return [doubt.kind for doubt in of_timeline(found, Clock(TICK_S, 25.0), 0.0, unread)]


@pytest.mark.parametrize(("missing", "doubts"), [(0, []), (2, []), (3, ["pause"]), (10, ["pause"])])
def test_pictures_that_an_even_recording_has_lost_are_told(missing: int, doubts: list[str]) -> None:
    rest = recording(100, start=(100 + missing) * INTERVAL, at=100_000)
    assert kinds(read(joined(recording(), rest))) == doubts


def test_a_recording_of_a_screen_leaves_pictures_out_and_nothing_is_doubtful() -> None:
    found = read(joined(*(recording(10, start=14 * k * INTERVAL, at=10_000 * k, gop=10) for k in range(10))))
    assert kinds(found) == []


@pytest.mark.parametrize(("unread", "doubts"), [(0.0, []), (0.05, []), (0.5, ["ends-early"])])
def test_a_stream_that_goes_on_without_its_video_is_told(unread: float, doubts: list[str]) -> None:
    assert kinds(read(recording()), unread) == doubts


@pytest.mark.parametrize("b_frames", [False, True])
@pytest.mark.parametrize(
    "start_s",
    [0, 2, 60, 30 * 3600, -1000],
    ids=["again", "overlaps", "gap", "leaps a day", "goes back"],
)
def test_where_the_clock_leaps_the_timeline_goes_on(start_s: int, b_frames: bool) -> None:
    second = recording(start=start_s * 90000, at=100_000, b_frames=b_frames)
    found = read(joined(recording(b_frames=b_frames), second))
    assert found.picture_count == 200
    assert seconds(found) == pytest.approx(8)
    assert found.is_even
    assert found.place(100_000, start_s * 90000) == 100 * INTERVAL


def test_a_clock_of_33_bits_that_wraps_goes_on() -> None:
    whole = recording(start=2**33 - 50 * INTERVAL)
    wrapped = Packets(whole.pts % 2**33, whole.dts % 2**33, whole.pos, whole.is_keyframe, whole.is_hidden)
    assert seconds(read(wrapped)) == pytest.approx(4)
    assert read(wrapped).is_even


@pytest.mark.parametrize("first", [1, 10, 24])
def test_the_video_begins_at_its_first_keyframe(first: int) -> None:
    found = read(recording(first=first))
    assert found.start == GOP * INTERVAL
    assert found.picture_count == 75
    assert found.place(0, first * INTERVAL) is None
    assert found.place((GOP - first) * 1000, GOP * INTERVAL) == GOP * INTERVAL


def test_a_second_recording_too_begins_at_its_first_keyframe() -> None:
    found = read(joined(recording(), recording(first=10, at=100_000)))
    assert found.picture_count == 175
    assert found.is_even
    assert found.place(100_000, 10 * INTERVAL) is None


def test_what_an_edit_list_hides_is_not_shown() -> None:
    packets = recording(start=-20 * INTERVAL)
    hidden = Packets(packets.pts, packets.dts, packets.pos, packets.is_keyframe, packets.pts < 0)
    assert (read(hidden).start, read(hidden).picture_count) == (0, 80)


def test_times_of_decoding_alone_are_times_of_showing_in_order() -> None:
    whole = recording(b_frames=True)
    found = read(Packets(whole.pts + 7, whole.dts, whole.pos, whole.is_keyframe, whole.is_hidden), in_order=True)
    assert (found.start, found.picture_count, found.is_even) == (0, 100, True)


def test_a_stream_without_times_or_packets_has_no_timeline() -> None:
    whole = recording()
    nothing = np.full(100, UNKNOWN)
    assert (
        timeline.read(Packets(nothing, nothing, *(getattr(whole, n) for n in Packets.__slots__[2:])), Clock(1, 25))
        is None
    )
    assert timeline.read(recording(0), Clock(TICK_S, 25)) is None


def test_a_single_picture_lasts_as_long_as_the_header_says() -> None:
    assert (read(recording(1), fps=10).fps, read(recording(1), fps=10).rate_source) == (10, "header")
    assert (read(recording(1), fps=0).fps, read(recording(1), fps=0).rate_source) == (25, "assumed")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.data())
def test_the_picture_of_any_time_is_the_last_one_before_it(gaps: list[int], data: st.DataObject) -> None:
    pts = np.cumsum([0, *gaps]).astype(np.int64) * 400
    packets = Packets(pts, pts, np.arange(len(pts)), np.arange(len(pts)) == 0, np.zeros(len(pts), bool))
    found = read(packets, may_leap=False)
    time = data.draw(st.integers(0, int(pts[-1]) + 10_000))
    expected = max(t for t in pts if t <= time + found.interval / 2)
    assert found.shown_at(time) == expected


@pytest.mark.parametrize("absurd", [2**62, -(2**62)])
def test_a_time_that_no_video_has_is_none(absurd: int) -> None:
    found = read(recording())
    assert found.told(absurd, None) is None
    assert found.told(None, absurd) is None
