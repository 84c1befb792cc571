"""What the server answers, as values. `json` of a `Result` is the answer as it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class View:
    """One clip and crop of the video."""

    start_s: float
    end_s: float
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Video:
    """What the server read; `width` and `height` in pixels, as displayed."""

    container: str
    codec: str
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Labels of a video, best first."""

    request_id: str
    model: str
    version: str
    predictions: tuple[Prediction, ...]
    views: tuple[View, ...]
    video: Video
    timing_ms: dict[str, float]
    json: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server offers; `short_side` in pixels."""

    name: str
    version: str
    description: str
    labels: tuple[str, ...]
    short_side: int
    views: int
    is_default: bool


def predictions(rows: list[dict[str, Any]]) -> tuple[Prediction, ...]:
    return tuple(Prediction(row["label"], row["score"]) for row in rows)


def result(body: dict[str, Any]) -> Result:
    """A `Result` from the server's JSON."""
    video = {name: body["video"][name] for name in Video.__dataclass_fields__}
    views = tuple(View(v["start_s"], v["end_s"], predictions(v["predictions"])) for v in body["views"])
    return Result(
        body["request_id"],
        body["model"],
        body["version"],
        predictions(body["predictions"]),
        views,
        Video(**video),
        body["timing_ms"],
        body,
    )


def models(body: dict[str, Any]) -> list[Model]:
    """The models from /v1/models."""
    return [
        Model(
            m["name"],
            m["version"],
            m["description"],
            tuple(m["labels"]),
            m["sampling"]["short_side"],
            m["sampling"]["views"],
            m["name"] == body["default"],
        )
        for m in body["models"]
    ]
