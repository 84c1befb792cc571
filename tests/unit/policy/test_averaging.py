"""From the scores of the views to the labels of the video."""

from __future__ import annotations

import numpy as np
from cliplane.policy.averaging import average, top_predictions
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), min_size=1, max_size=9))
def test_scores_are_sorted_and_never_sum_to_more_than_one(rows: list[list[float]]) -> None:
    views = [np.array(row, np.float32) / np.float32(sum(row)) for row in rows]
    found = top_predictions(average(views), "abcde", 5)
    scores = [prediction["score"] for prediction in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) <= 1 + 1e-9


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    assert [p["label"] for p in top_predictions(np.full(4, 0.25), "wxyz", 3)] == ["w", "x", "y"]


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9),
    st.integers(1, 9),
    st.lists(st.floats(0, 1), min_size=9),
)
def test_labels_that_reach_their_least_score_are_answered_and_no_others(
    scores: list[float], top: int, least: list[float]
) -> None:
    labels = [str(k) for k in range(len(scores))]
    found = top_predictions(np.array(scores, np.float32), labels, top, least[: len(scores)])
    reaching = {label for label, score, bound in zip(labels, scores, least, strict=False) if score >= bound}
    assert {one["label"] for one in found} <= reaching
    assert len(found) == min(top, len(reaching))


def test_no_label_may_be_answered() -> None:
    assert top_predictions(np.array([0.2, 0.3]), "ab", 5, 0.4) == []
    assert top_predictions(np.array([0.2, 0.3]), "ab", 5, 0.3) == [{"label": "b", "score": 0.3}]
