"""When have enough views been seen? Pure.

The views of a video are few, and they are taken in an order that is spread over all of it, so those seen so far are
treated as a sample of them without replacement. For each class that is not on top, let d_i be the lead of the top
class in view i. If m of n views are known, the mean lead over all n differs from the mean over the m by an error whose
standard deviation is s · sqrt((n - m) / (n · m)) (Cochran, Sampling Techniques, 3rd ed., 2.6), s being that of d_i.
When the mean lead is more than `SURE` times as much for every other class, the top class is taken as decided.

s cannot be known from one or two views, so it is as if `PRIOR_VIEWS` views with a deviation of `PRIOR_STD` had
been seen before. How often the answer differs from that of all views: docs/sampling.md, by bench/early_stop.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SURE = 4.0
"""Standard deviations. Were leads normally distributed, 2.5 would be wrong in 0.6 % of the cases; scores are not, they
jump from 0 to 1 between views, and 2.5 was wrong in 2 % of 400 videos, 4 in 0.5 % (docs/sampling.md)."""

PRIOR_VIEWS = 2.0
PRIOR_STD = 0.25


def is_decided(probabilities: Sequence[npt.NDArray[np.float32]], planned: int) -> bool:
    """Whether the mean over all `planned` views can hardly have another top class than the mean over these.

    Args:
        probabilities: (classes,) of each view known so far, at least one.
        planned: how many views there are in all.
    """
    scores = np.stack(probabilities).astype(np.float64)  # (known, classes)
    top = int(scores.mean(axis=0).argmax())
    return _are_decided(scores[:, [top]] - np.delete(scores, top, axis=1), planned)


def are_labels_decided(
    probabilities: Sequence[npt.NDArray[np.float32]], planned: int, min_scores: float | Sequence[float]
) -> bool:
    """Whether the mean over all `planned` views can hardly have other labels at or above their least score than the
    mean over these: what a label is above its least score is its lead, on either side of 0."""
    scores = np.stack(probabilities).astype(np.float64)
    return _are_decided(scores - np.asarray(min_scores, np.float64), planned)


def _are_decided(leads: npt.NDArray[np.float64], planned: int) -> bool:
    """Whether no mean of these leads, (known, leads), can hardly come to the other side of 0."""
    known = len(leads)
    if known >= planned:
        return True
    mean = leads.mean(axis=0)
    squares = ((leads - mean) ** 2).sum(axis=0) + PRIOR_VIEWS * PRIOR_STD**2
    std = np.sqrt(squares / (known - 1 + PRIOR_VIEWS))
    return bool((np.abs(mean) > SURE * std * math.sqrt((planned - known) / (planned * known))).all())
