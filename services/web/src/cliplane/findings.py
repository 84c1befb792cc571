"""What is known of one video so far, and the answer's data made of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplane.averaging import average, top_predictions
from cliplane.decoder.wire import View
from cliplane.early_stop import is_decided


class Findings:
    """The views' times and probabilities, by slot (see `schedule.py`)."""

    def __init__(self, labels: Sequence[str], top: int) -> None:
        """
        Args:
            labels: by class index.
            top: how many of them a prediction has.
        """
        self._labels, self._top = labels, top
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
        """Whether the first `known` slots tell the top label of all `planned` views."""
        return is_decided([self._probabilities[slot] for slot in range(known)], planned)

    def view_event(self, slot: int) -> dict[str, Any]:
        return {"view": self._shown[slot].view, **self._view(slot)}

    def result(self, known: int) -> dict[str, Any]:
        """The predictions of the first `known` slots, at least one; the views by time, whichever way they came, so that
        equal views give equal bits."""
        slots = sorted(range(known), key=lambda slot: self._shown[slot].view)
        mean = average([self._probabilities[slot] for slot in slots])
        return {
            "predictions": top_predictions(mean, self._labels, self._top),
            "views": [self._view(slot) for slot in slots],
            "video": self.video,
            "warnings": self.warnings,
        }

    def _view(self, slot: int) -> dict[str, Any]:
        shown = self._shown[slot]
        predictions = top_predictions(self._probabilities[slot], self._labels, self._top)
        return {"start_s": shown.start_s, "end_s": shown.end_s, "predictions": predictions}
