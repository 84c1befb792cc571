"""What the server answers, as values, held to these types. `json` of a `Result` is the answer as it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import msgspec

from cliplane_client.errors import InvalidResponse
from cliplane_client.text import clean


@dataclass(frozen=True, slots=True)
class Prediction:
    label: str
    score: float


Predictions = tuple[Prediction, ...]
"""Best first; none where no label reaches its least score."""


@dataclass(frozen=True, slots=True)
class View:
    """One clip and crop of the video."""

    start_s: float
    end_s: float
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pictures are displayed: mirrored left to right first, then turned by `rotate` degrees clockwise."""

    rotate: int
    mirror: bool


@dataclass(frozen=True, slots=True)
class FileWarning:
    """What was doubtful in a file: the answer may be wrong for it."""

    type: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Video:
    """What the server read; `width` and `height` in pixels, as displayed.

    `rate_source`: where `fps` is from, "header", "packets" or "assumed". `damage`: part of the frames that views need
    which could not be decoded. What an older server, or a video whose views are not yet read, does not say is None.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    orientation: Orientation | None = None
    rate_source: str | None = None
    frames_decoded: int | None = None
    damage: float | None = None


class Timing(TypedDict):
    """Where the time went, in milliseconds."""

    spool: float
    decode: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResult:
    """What every result of a video has; `json` is the whole of it, as the server wrote it."""

    request_id: str
    video: Video
    timing_ms: Timing
    warnings: tuple[FileWarning, ...] = ()
    json: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(VideoResult):
    """Labels of a video, best first."""

    model: str
    version: str
    predictions: Predictions
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's of several."""

    model: str
    version: str
    predictions: Predictions
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(VideoResult):
    """Several models' results of one video, in the order in which they were asked for."""

    answers: tuple[ModelResult, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model wants its views cut; `short_side` in pixels. `frame_rate`: its stride counts frames of a video of so
    many a second; None: the video's own. `mode`: "stride", or how else a clip's frames are chosen."""

    clip_length: int
    temporal_stride: int
    short_side: int
    views: int
    frame_rate: float | None = None
    mode: str = "stride"

    def in_words(self) -> str:
        """For example "16 frames, every 4th at 30 a second: 2.1 s"."""
        steps = f"{self.clip_length} frames"
        if self.mode != "stride":
            return f"{steps}, spread over the whole video"
        steps += " in a row" if self.temporal_stride == 1 else f", every {_ordinal(self.temporal_stride)}"
        if not self.frame_rate:
            return steps
        seconds = self.clip_length * self.temporal_stride / self.frame_rate
        return f"{steps} at {self.frame_rate:g} a second: {seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Measured:
    """What `make engines` found of the engine that serves a model, on the machine where it was run. `agreement`: the
    part of the clips whose top label is that of the trainer's framework."""

    engine: str
    view_ms: float
    agreement: float
    clips: int

    def in_words(self) -> str:
        """For example "openvino_bf16, 24 ms a view, 99.2 % as trained"."""
        return f"{self.engine}, {self.view_ms:.3g} ms a view, {self.agreement:.1%} as trained"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server offers; `descriptions`: what a label means, where the model says.

    `multi_label`: a video may have any number of the labels. `thresholds`: from which score on each is answered.
    """

    name: str
    version: str
    description: str
    labels: tuple[str, ...]
    sampling: Sampling
    descriptions: dict[str, str] = field(default_factory=dict)
    multi_label: bool = False
    thresholds: dict[str, float] | None = None
    measured: Measured | None = None
    is_default: bool = False

    @property
    def short_side(self) -> int:
        return self.sampling.short_side

    @property
    def views(self) -> int:
        return self.sampling.views


@dataclass(frozen=True, slots=True)
class Health:
    """What answers if a video comes now, and how its frames are handed over."""

    status: str
    model: str
    version: str
    handoff: str


@dataclass(frozen=True, slots=True)
class _Models:
    default: str
    models: tuple[Model, ...]


def _ordinal(number: int) -> str:
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def decoded(document: bytes) -> dict[str, Any]:
    """The JSON object of a response.

    Raises:
        InvalidResponse: it is none.
    """
    with _refused():
        return msgspec.json.decode(document, type=dict[str, Any])


def convert[T](body: dict[str, Any], kind: type[T]) -> T:
    """A JSON object as a value of this type; fields that the type has not are passed over.

    Raises:
        InvalidResponse: a field is missing, or of another type.
    """
    with _refused():
        return msgspec.convert(body, kind)


def result(body: dict[str, Any]) -> Result:
    """The result of a video, from its JSON; see `convert`."""
    return replace(convert(body, Result), json=body)


def comparison(body: dict[str, Any]) -> Comparison:
    """Several models' results, from their JSON; see `convert`."""
    return replace(convert(body, Comparison), json=body)


def models(body: dict[str, Any]) -> list[Model]:
    """The models from /v1/models; see `convert`."""
    response = convert(body, _Models)
    return [replace(model, is_default=model.name == response.default) for model in response.models]


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidResponse(f"what answers there is no Cliplane server: {clean(str(exc))}") from exc
