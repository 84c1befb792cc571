"""What is asked of a video: the request of `classification.py` and `comparison.py`, as a value."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from cliplane.decoder.media import Span
from cliplane.intake.spool import open_upload

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    `path`: the file's, as `open_file` takes it. `span`: where in the file the video lies, None for all of it. `views`:
    None for the model's own number, `AUTO` for as many as it takes. `min_score`: what an answered label must reach;
    None: the model's own thresholds, where it has some. `top`: None for all of those, or five where nothing has to be
    reached. `model`: a name, or several with commas between.
    """

    path: str
    span: Span | None
    container: str
    model: str
    views: int | Literal["auto"] | None
    top: int | None
    request_id: str
    spool_ms: float
    client: int | None = None
    """The client's connection, a file descriptor: readable when the client has left; None where none is known."""
    began: float = field(default_factory=time.monotonic)
    """When the lane took the request, by the monotonic clock: its deadline counts from then."""
    open_file: Callable[[str], BinaryIO] = open_upload
    """May raise, as the file may have gone since it was looked at."""
    key: str = ""
    """The name of the request's key, for the count."""
    min_score: float | None = None

    @property
    def models(self) -> list[str]:
        return self.model.split(",")
