"""What is asked of a video, as values: what every request has, and that of `classification.py` and `comparison.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from cliplane.decoder.media import Span
from cliplane.intake.spool import open_upload

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path`: the file's, as `open_file` takes it. `span`: where in the file the video lies, None for all of it."""

    path: str
    container: str
    model: str
    request_id: str
    span: Span | None = None
    spool_ms: float = 0.0
    client: int | None = None
    """The client's connection, a file descriptor: readable when the client has left; None where none is known."""
    began: float = field(default_factory=time.monotonic)
    """When the lane took the request, by the monotonic clock: its deadline counts from then."""
    open_file: Callable[[str], BinaryIO] = open_upload
    """May raise, as the file may have gone since it was looked at."""
    key: str = ""
    """The name of the request's key, for the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Request):
    """`views`: None for the model's own number, `AUTO` for as many as it takes. `min_score`: what an answered label
    must reach; None: the model's own thresholds, where it has some. `top`: None for all of those, or five where nothing
    has to be reached. `model`: a name, or several with commas between.
    """

    views: int | Literal["auto"] | None = None
    top: int | None = None
    min_score: float | None = None

    @property
    def models(self) -> list[str]:
        return self.model.split(",")
