"""What whoever trained a network has left, read: the one form in which it is compared and installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from cliplane.sampling import Sampling


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


def read_labels(path: Path) -> list[str]:
    """The labels of LABELS=file, one a line.

    Raises:
        CannotBring: it is no text.
    """
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotBring(f"LABELS={path.name}: it cannot be read as text") from exc
