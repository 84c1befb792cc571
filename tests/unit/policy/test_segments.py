"""From windows' scores to segments: on truth that is made, bounds are right within a stride."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from cliplane.policy.segments import Segment, Segmenter
from hypothesis import given, settings
from hypothesis import strategies as st

WINDOW_S = 2.0


class Truth(NamedTuple):
    start_s: float
    end_s: float


def scores_of(truth: list[list[Truth]], stride_s: float, duration_s: float) -> list[tuple[float, float, list[float]]]:
    """(start_s, end_s, scores) of windows whose score is the part of them in which the label holds."""
    windows = []
    for k in range(int((duration_s - WINDOW_S) / stride_s) + 1):
        start_s = k * stride_s
        end_s = start_s + WINDOW_S
        parts = [
            sum(max(0.0, min(end_s, one.end_s) - max(start_s, one.start_s)) for one in label) / WINDOW_S
            for label in truth
        ]
        windows.append((start_s, end_s, parts))
    return windows


def segments(
    windows: list[tuple[float, float, list[float]]], stride_s: float, duration_s: float, **more: float
) -> list[Segment]:
    asked = {"thresholds": 0.5, "min_s": 0.0} | more
    segmenter = Segmenter(len(windows[0][2]), stride_s=stride_s, **asked)
    found = [one for k, window in enumerate(windows) for one in segmenter.add(k, *window)]
    return found + segmenter.end(len(windows), duration_s)


@settings(max_examples=40)
@given(
    stride_s=st.sampled_from([0.2, 0.5, 1.0]),
    starts=st.lists(st.floats(0, 30), min_size=2, max_size=2),
    lengths=st.lists(st.floats(4, 20), min_size=2, max_size=2),
)
def test_bounds_are_within_one_stride_of_the_truth_and_labels_overlap(
    stride_s: float, starts: list[float], lengths: list[float]
) -> None:
    truth = [[Truth(start, start + length)] for start, length in zip(starts, lengths, strict=True)]
    found = segments(scores_of(truth, stride_s, 60.0), stride_s, 60.0)
    assert sorted(one.label for one in found) == [0, 1]
    for one in found:
        (true,) = truth[one.label]
        # A window that reaches over the video's beginning does not exist: a segment there begins with the video.
        assert abs(one.start_s - true.start_s) <= stride_s or (one.start_s == 0 and true.start_s <= WINDOW_S / 2)
        assert abs(one.end_s - true.end_s) <= stride_s


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_noise_makes_no_segment_and_splits_none(seed: int) -> None:
    """A single window away from the bounds may say anything; scores are otherwise wrong by up to 0.1."""
    random = np.random.default_rng(seed)
    windows = scores_of([[Truth(10, 30)], []], 0.5, 60.0)
    noisy = [(start, end, [s * 0.6 + 0.1 + random.uniform(-0.1, 0.1) for s in each]) for start, end, each in windows]
    for k in [*range(2, 14, 4), *range(25, 52, 4), *range(67, len(noisy), 4)]:
        noisy[k][2][int(random.integers(2))] = float(random.uniform())
    found = segments(noisy, 0.5, 60.0, thresholds=0.4)
    assert [one.label for one in found] == [0]
    assert abs(found[0].start_s - 10) <= 1.0
    assert abs(found[0].end_s - 30) <= 1.0


def flat(*scores: float) -> list[tuple[float, float, list[float]]]:
    return [(float(k), k + 1.0, [score]) for k, score in enumerate(scores)]


def test_a_dip_that_stays_above_half_of_the_threshold_splits_nothing() -> None:
    found = segments(flat(0, 0, 0.9, 0.9, 0.3, 0.3, 0.9, 0.9, 0, 0), 1, 10)
    assert [(one.start_s, one.end_s) for one in found] == [(2, 8)]
    assert found[0].score == pytest.approx(0.7)


def test_a_segment_ends_where_the_threshold_was_last_reached() -> None:
    found = segments(flat(0.9, 0.9, 0.9, 0.3, 0.3, 0.3), 1, 6)
    assert [(one.start_s, one.end_s) for one in found] == [(0, 3)]
    assert found[0].score == pytest.approx(0.9)


def test_a_deep_dip_splits() -> None:
    found = segments(flat(0.9, 0.9, 0.1, 0.1, 0.9, 0.9), 1, 6)
    assert [(one.start_s, one.end_s) for one in found] == [(0, 2), (4, 6)]


def test_what_is_shorter_than_asked_for_is_dropped() -> None:
    scores = flat(0.9, 0.9, 0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0)
    assert [one.start_s for one in segments(scores, 1, 10, min_s=3)] == [4]
    assert [one.start_s for one in segments(scores, 1, 10, min_s=5)] == []


def test_what_holds_all_the_time_is_one_segment_from_end_to_end() -> None:
    assert [(one.start_s, one.end_s) for one in segments(flat(1, 1, 1), 1, 3.7)] == [(0, 3.7)]
    assert [(one.start_s, one.end_s) for one in segments(flat(1), 1, 1.5)] == [(0, 1.5)]


def test_a_gap_of_windows_closes_what_is_open() -> None:
    segmenter = Segmenter(1, stride_s=1, thresholds=0.5, min_s=0)
    found = []
    for k in (0, 1, 2, 6, 7):
        found += segmenter.add(k, k, k + 1, [1.0])
    found += segmenter.end(10, 10.0)
    assert [(one.start_s, one.end_s) for one in found] == [(0, 3), (6, 8)]


def test_a_segment_is_told_as_soon_as_it_has_closed() -> None:
    segmenter = Segmenter(1, stride_s=1, thresholds=0.5, min_s=0)
    told = [len(segmenter.add(k, start, end, scores)) for k, (start, end, scores) in enumerate(flat(1, 1, 0, 0, 0))]
    assert told == [0, 0, 0, 1, 0]


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=40))
def test_any_scores_give_segments_that_lie_in_the_video_one_after_the_other(scores: list[list[float]]) -> None:
    windows = [(float(k), k + 2.0, each) for k, each in enumerate(scores)]
    found = segments(windows, 1, len(scores) + 1.0)
    for label in range(3):
        bounds = [bound for one in found if one.label == label for bound in (one.start_s, one.end_s)]
        assert bounds == sorted(bounds)
        assert all(0 <= bound <= len(scores) + 1.0 for bound in bounds)
    assert all(0 <= one.score <= 1 for one in found)


def test_its_memory_does_not_grow_with_the_windows() -> None:
    def held(segmenter: Segmenter) -> int:
        values: list[npt.NDArray[np.float64]] = [v for v in vars(segmenter).values() if isinstance(v, np.ndarray)]
        return sum(value.nbytes for value in values) + len(segmenter._last)

    segmenter = Segmenter(1, stride_s=1, thresholds=0.5, min_s=0)
    for k in range(3):
        segmenter.add(k, k, k + 1, [1.0])
    before = held(segmenter)
    for k in range(3, 5000):
        segmenter.add(k, k, k + 1, [1.0])
    assert held(segmenter) == before


def test_each_label_may_have_a_threshold_of_its_own() -> None:
    windows = [(float(k), k + 1.0, [0.4, 0.4]) for k in range(4)]
    segmenter = Segmenter(2, stride_s=1, thresholds=(0.3, 0.5), min_s=0)
    found = [one for k, window in enumerate(windows) for one in segmenter.add(k, *window)]
    assert [one.label for one in found + segmenter.end(4, 4.0)] == [0]
