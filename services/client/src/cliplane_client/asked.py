"""What is asked of a video, as parameters of /v1/classify."""

from __future__ import annotations

from typing import TypedDict


class Asked(TypedDict, total=False):
    """What is asked of a video; what is not given is the server's to choose."""

    model: str | None
    """Or several, with commas between, of `compare` and `stream`."""
    views: int | str | None
    """How many views, or "auto"."""
    top: int | None
    """How many labels at most: 5, or all that reach `min_score` or the model's own thresholds."""
    min_score: float | None
    """What a label's score must reach, in place of the model's own thresholds."""


def query_of(asked: Asked) -> dict[str, str]:
    """The parameters of /v1/classify."""
    return {
        name: f"{value:.9f}" if name == "min_score" else str(value)
        for name, value in asked.items()
        if value is not None
    }
