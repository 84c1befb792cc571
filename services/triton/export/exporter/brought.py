"""What whoever trained a network has left, read: the one form in which it is compared and installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .sampling import Sampling

if TYPE_CHECKING:
    from .served import Served  # and PyTorch


class CannotBring(Exception):
    """It is not a network that can be served, or not told how; in the words of whoever made it."""


@dataclass(frozen=True, slots=True)
class Brought:
    """`network`: what export.json calls the architecture. `weights`: one file, from which `make engines` builds the
    network again. `source`: the name of the file or folder that it came from.
    """

    network: str
    served: Served
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
