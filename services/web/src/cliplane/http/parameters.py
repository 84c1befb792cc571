"""What a query or a form asks for, read and checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from cliplane.errors import BadQuery, UnknownModel
from cliplane.lane.comparison import MAX_MODELS
from cliplane.lane.requests import AUTO
from cliplane.lane.segmentation import MAX_S, MIN_S, STRIDE_S
from cliplane.settings import Settings

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_NUMBER = re.compile(r"-?([0-9]{1,32}(\.[0-9]{0,32})?|\.[0-9]{1,32})([eE][+-]?[0-9]{1,3})?", re.ASCII)
"""As JSON has it; `float` alone takes more."""

CLASSIFY_FIELDS = ("model", "views", "top", "min_score")
SEGMENTS_FIELDS = ("model", "stride_s", "window_s", "threshold", "min_s")
"""Parameters of the query, or fields of a form."""


class Choices(NamedTuple):
    """Of /v1/classify, as `Job` has them."""

    model: str
    views: int | Literal["auto"] | None
    top: int | None
    min_score: float | None


def choices(asked: Mapping[str, str], settings: Settings) -> Choices:
    model = _models(asked, settings)
    views = AUTO if asked.get("views") == AUTO else _whole_number(asked, "views", settings.max_views)
    return Choices(model, views, _whole_number(asked, "top", 1000), _number(asked, "min_score", 0, 1))


class SegmentsChoices(NamedTuple):
    """Of /v1/segments, as `SegmentsJob` has them."""

    model: str
    stride_s: float
    window_s: float | None
    threshold: float | None
    min_s: float


def segments_choices(asked: Mapping[str, str], settings: Settings) -> SegmentsChoices:
    return SegmentsChoices(
        _model(asked, settings),
        _number(asked, "stride_s", 0.01, MAX_S) or STRIDE_S,
        _number(asked, "window_s", 0.01, MAX_S),
        _number(asked, "threshold", 0.01, 1),
        _number(asked, "min_s", 0, MAX_S) or MIN_S,
    )


def _models(asked: Mapping[str, str], settings: Settings) -> str:
    names = asked.get("model", settings.default_model).split(",")
    if len(names) > MAX_MODELS:
        raise BadQuery(f"model: at most {MAX_MODELS} of them")
    return ",".join(_model({"model": name}, settings) for name in names)


def _model(asked: Mapping[str, str], settings: Settings) -> str:
    model = asked.get("model", settings.default_model)
    if not _MODEL_NAME.fullmatch(model):
        raise UnknownModel("a model's name is letters, digits, _ . and -")
    return model


def _whole_number(asked: Mapping[str, str], name: str, max_value: int) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= max_value:
        raise BadQuery(f"{name}: a whole number from 1 to {max_value}{' or auto' if name == 'views' else ''}")
    return int(text)


def _number(asked: Mapping[str, str], name: str, min_value: float, max_value: float) -> float | None:
    text = asked.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or not min_value <= float(text) <= max_value:
        raise BadQuery(f"{name}: a number from {min_value:g} to {max_value:g}, such as 0.25")
    return float(text)
