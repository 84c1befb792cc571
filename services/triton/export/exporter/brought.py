"""What whoever trained a network has left, read: the one form in which it is compared and installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from cliplane.policy.sampling import Sampling


class CannotBring(Exception):
    """It is not a network that can be served, or not told how; in the words of whoever made it."""


class Graph(Protocol):
    """What is to be served, uint8 frames in and probabilities out, and what it answers as it came."""

    @property
    def library(self) -> str:
        """Whose answers are right."""

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities, (views, classes) float32, of frames, (views, T, H, W, 3) uint8. Raises NoParity."""

    def export(self, frames: np.ndarray, file: Path) -> None:
        """Write it as ONNX. `frames` are of its shape."""


@dataclass(frozen=True, slots=True)
class Brought:
    """`network`: what export.json calls the architecture. `weights`: one file, from which `make engines` builds the
    network again. `source`: the name of the file or folder that it came from.
    """

    network: str
    graph: Graph
    labels: list[str]
    sampling: Sampling
    weights: Path
    source: str
    is_multi_label: bool = False
    """Whether a video may have any number of the labels: its probabilities are a sigmoid's."""
    thresholds: tuple[float, ...] = ()
    """In the order of the labels: the score from which on each is answered; none where the trainer left none."""


def read_labels(path: Path) -> list[str]:
    """The labels of LABELS=file, one a line.

    Raises:
        CannotBring: it is no text.
    """
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotBring(f"LABELS={path.name}: it cannot be read as text") from exc


def read_thresholds(path: Path, labels: int) -> tuple[float, ...]:
    """The numbers of `thresholds.txt`, one a line, in the order of the labels.

    Raises:
        CannotBring: they are not numbers from 0 to 1, or not as many as labels.
    """
    try:
        found = tuple(float(line) for line in path.read_text("utf-8-sig").split())
    except (OSError, ValueError) as exc:
        raise CannotBring(f"{path.name}: it has a number from 0 to 1 a line") from exc
    if not all(0 <= number <= 1 for number in found):
        raise CannotBring(f"{path.name}: it has a number from 0 to 1 a line, and no other")
    if len(found) != labels:
        raise CannotBring(f"{path.name}: {len(found)} thresholds for {labels} labels")
    return found
