"""What a job is: what was asked for, and what is told of it. Types and their JSON; no I/O."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

PRIORITIES = {"interactive": 1, "batch": 0}
"""Names of the API, and their rank: a higher one runs first."""

CHOICES = {
    "classify": ("model", "views", "top", "min_score"),
    "segments": ("model", "stride_s", "window_s", "threshold", "min_s"),
}
"""Of each operation."""

State = Literal["queued", "running", "done", "failed"]

ENDED: tuple[State, ...] = ("done", "failed")


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What shall be done with which video. `path`: beneath the media root; "" for a video that was sent."""

    operation: Literal["classify", "segments"]
    container: str
    choices: dict[str, Any]
    """The operation's own parameters, as its job (`requests.Job`, `segmentation.SegmentsJob`) has them."""
    path: str = ""
    sha256: str = ""
    """Of the video that was sent."""
    webhook: str = ""

    def fingerprint(self) -> str:
        """Equal where the same is asked of the same video."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def known_as(key: str, sha256: str, operation: str, choices: dict[str, Any], served: str) -> str:
    """Equal where the same key asks for the same of the same bytes, and the same model answers.

    `served`: what the answer depends on beside the request: the model's version, sampling, labels, thresholds.
    """
    return hashlib.sha256(msgspec.json.encode([key, sha256, operation, choices, served])).hexdigest()


class Row(NamedTuple):
    """A job as it is kept; times in seconds since the epoch."""

    id: str
    key: str
    request_id: str
    fingerprint: str
    asked: Asked
    priority: int
    state: State
    attempts: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    views_done: int
    views_planned: int | None
    result: msgspec.Raw | None
    """As it is kept: that of a long video is some MB, and half a second to read and write again."""
    error: dict[str, Any] | None
    webhook_state: str | None
    webhook_attempts: int


def document(row: Row) -> dict[str, Any]:
    """A job as a client sees it: `result` where it is done, `error` (a problem) where it failed."""
    told: dict[str, Any] = {
        "id": row.id,
        "state": row.state,
        "operation": row.asked.operation,
        "priority": next(name for name, rank in PRIORITIES.items() if rank == row.priority),
        "attempts": row.attempts,
        "created_at": _iso(row.created_at),
        "started_at": _iso(row.started_at),
        "ended_at": _iso(row.ended_at),
        "progress": {"views": row.views_done, "planned": row.views_planned},
        "request_id": row.request_id,
    }
    if row.webhook_state is not None:
        told["webhook"] = {"state": row.webhook_state, "attempts": row.webhook_attempts}
    if row.result is not None:
        told["result"] = row.result
    if row.error is not None:
        told["error"] = row.error
    return told


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
