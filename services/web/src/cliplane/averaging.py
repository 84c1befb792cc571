"""From the probabilities of views to predictions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

SCORE_DECIMALS = 6


class Prediction(TypedDict):
    label: str
    score: float


def average(views: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """The mean over views of their (classes,) probabilities, in float64 and in the order of the views, so that
    equal views give equal bits however they were batched."""
    mean: npt.NDArray[np.float64] = np.mean(np.stack(views), axis=0, dtype=np.float64)
    return mean


def top_predictions(probabilities: npt.NDArray[Any], labels: Sequence[str], top: int) -> list[Prediction]:
    """The `top` best labels, best first; equal scores in the order of the labels.

    Scores are rounded down, so that they never sum to more than 1.
    """
    scale = 10**SCORE_DECIMALS
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [{"label": labels[i], "score": math.floor(float(probabilities[i]) * scale) / scale} for i in order]
