"""From the probabilities of views to predictions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

SCORE_DECIMALS = 6

MinScores = float | Sequence[float]
"""The least score of an answered label: one for all, or one each."""


class Prediction(TypedDict):
    label: str
    score: float


def average(views: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """The mean over views of their (classes,) probabilities, in float64 and in the order of the views, so that
    equal views give equal bits however they were batched."""
    mean: npt.NDArray[np.float64] = np.mean(np.stack(views), axis=0, dtype=np.float64)
    return mean


def top_predictions(
    probabilities: npt.NDArray[Any], labels: Sequence[str], top: int, min_scores: MinScores = 0.0
) -> list[Prediction]:
    """The `top` best labels of those that reach their least score, best first; equal scores in the order of the labels.
    None may reach it.

    Scores are rounded down, so that those of a softmax never sum to more than 1.
    """
    scale = 10**SCORE_DECIMALS
    reached = probabilities >= np.asarray(min_scores, np.float64)
    order = [i for i in np.argsort(-probabilities, kind="stable") if reached[i]][:top]
    return [{"label": labels[i], "score": math.floor(float(probabilities[i]) * scale) / scale} for i in order]
