"""Labels over time, as the server answers them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypedDict

from cliplane_client.results import Predictions, VideoResult, convert


class Windows(TypedDict, total=False):
    """How windows slide and become segments; the server has a default for each that is left out or None."""

    model: str | None
    stride_s: float | None
    """From one window to the next."""
    threshold: float | None
    """Score from which a label holds."""
    min_s: float | None
    """Shortest segment."""
    window_s: float | None
    """A window's length, for models that spread a clip over all they are given."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window, with its best labels."""

    window: int
    start_s: float
    end_s: float
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class Segment:
    """From when to when a label holds; `score` is the mean of its windows'."""

    label: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments(VideoResult):
    """The segments of a video, by start; `windows` is how many there were."""

    model: str
    version: str
    stride_s: float
    windows: int
    segments: tuple[Segment, ...]


def segments_of(body: dict[str, Any]) -> Segments:
    """The result of a video, from its JSON; see `results.convert`."""
    return replace(convert(body, Segments), json=body)


def query_of(asked: Windows) -> dict[str, str]:
    """The parameters of /v1/segments."""
    return {name: str(value) for name, value in asked.items() if value is not None}
