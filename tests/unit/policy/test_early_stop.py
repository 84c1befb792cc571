"""When `views=auto` has seen enough."""

from __future__ import annotations

import numpy as np
from cliplane.policy.early_stop import are_labels_decided, is_decided
from hypothesis import given
from hypothesis import strategies as st


def scores(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, np.float32) for row in rows]


def test_views_that_agree_are_soon_enough() -> None:
    assert is_decided(scores([0.97, 0.02, 0.01], [0.95, 0.03, 0.02], [0.96, 0.02, 0.02]), planned=10)
    assert not is_decided(scores([0.40, 0.35, 0.25]), planned=10)


def test_views_that_contradict_each_other_are_not_enough() -> None:
    assert not is_decided(scores([0.9, 0.1], [0.1, 0.9], [0.8, 0.2]), planned=10)
    assert is_decided(scores([0.9, 0.1], [0.1, 0.9], [0.8, 0.2]), planned=3)


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=4, max_size=4), min_size=1, max_size=10))
def test_all_views_always_decide(rows: list[list[float]]) -> None:
    assert is_decided(scores(*rows), planned=len(rows))


def test_of_several_labels_each_must_be_clear_of_its_least_score() -> None:
    views = scores([0.9, 0.8, 0.1], [0.9, 0.9, 0.1], [0.9, 0.8, 0.1], [0.9, 0.9, 0.1], [0.9, 0.8, 0.1])
    assert are_labels_decided(views, 6, [0.5, 0.5, 0.5])
    assert not are_labels_decided(views, 6, [0.5, 0.5, 0.15])
    assert not are_labels_decided(views, 6, 0.85)
    assert are_labels_decided(views, 5, 0.85)
