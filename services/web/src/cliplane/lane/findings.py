"""What is known of one video so far, and the answer's data made of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cliplane.decoder.wire import View
from cliplane.policy.averaging import MinScores, Prediction, average, top_predictions
from cliplane.policy.early_stop import are_labels_decided, is_decided
from cliplane.triton.model_spec import ModelSpec

TOP = 5
"""How many labels are answered where neither the request nor a least score says which."""


class Wanted(Protocol):
    """What a request says of labels: see `requests.Job`."""

    @property
    def top(self) -> int | None: ...
    @property
    def min_score(self) -> float | None: ...


class Findings:
    """The views' times and probabilities, by slot (see `schedule.py`)."""

    def __init__(
        self, labels: Sequence[str], top: int, min_scores: MinScores | None = None, *, is_multi_label: bool = False
    ) -> None:
        """
        Args:
            labels: by class index.
            top: how many of them a prediction has at most.
            min_scores: what a label's score must reach; None: nothing.
            is_multi_label: a video may have any number of the labels.
        """
        self._labels, self._top = labels, top
        self._min_scores, self._is_multi_label = min_scores, is_multi_label
        self.video: dict[str, Any] = {}
        self.warnings: list[dict[str, str]] = []
        self._shown: list[View] = []  # in slot 0, 1, …
        self._probabilities: dict[int, npt.NDArray[np.float32]] = {}  # (classes,) by slot

    def add_view(self, view: View) -> None:
        """The next slot shows this one."""
        self._shown.append(view)

    def add_probabilities(self, first: int, probabilities: npt.NDArray[np.float32]) -> None:
        """(views, classes) of the slots from `first` on."""
        self._probabilities.update(enumerate(probabilities, first))

    def is_decided(self, known: int, planned: int) -> bool:
        """Whether the first `known` slots tell the top label of all `planned` views; or, where a video may have several
        labels, which of them reach their least score."""
        probabilities = [self._probabilities[slot] for slot in range(known)]
        if self._is_multi_label and self._min_scores is not None:
            return are_labels_decided(probabilities, planned, self._min_scores)
        return is_decided(probabilities, planned)

    def view_event(self, slot: int) -> dict[str, Any]:
        return {"view": self._shown[slot].view, **self._view(slot)}

    def result(self, known: int) -> dict[str, Any]:
        """`answer`, and what is known of the video."""
        return {**self.answer(known), "video": self.video, "warnings": self.warnings}

    def answer(self, known: int) -> dict[str, Any]:
        """The predictions of the first `known` slots, at least one; the views by time, whichever way they came, so that
        equal views give equal bits."""
        slots = sorted(range(known), key=lambda slot: self._shown[slot].view)
        mean = average([self._probabilities[slot] for slot in slots])
        return {
            "predictions": self._predictions(mean),
            "views": [self._view(slot) for slot in slots],
        }

    def _view(self, slot: int) -> dict[str, Any]:
        shown = self._shown[slot]
        predictions = self._predictions(self._probabilities[slot])
        return {"start_s": shown.start_s, "end_s": shown.end_s, "predictions": predictions}

    def _predictions(self, probabilities: npt.NDArray[Any]) -> list[Prediction]:
        return top_predictions(probabilities, self._labels, self._top, self._min_scores or 0.0)


def findings(wanted: Wanted, spec: ModelSpec) -> Findings:
    """Of a model, for a request."""
    min_scores = spec.thresholds if wanted.min_score is None else wanted.min_score
    top = wanted.top or (TOP if min_scores is None else len(spec.labels))
    return Findings(spec.labels, top, min_scores, is_multi_label=spec.is_multi_label)
