"""From the scores of the views to the labels of the video."""

from __future__ import annotations

import numpy as np
from cliplane.averaging import average, top_predictions
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
