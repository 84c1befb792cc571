"""The routes of the control plane that tell of jobs. No lane is asked: all that is known is in the store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Blueprint, Response, current_app, jsonify, request

from cliplane.errors import CliplaneError, TooManyWatchers, UnknownJob
from cliplane.jobs import files
from cliplane.jobs.asked import ENDED, Row, document

if TYPE_CHECKING:
    from cliplane.jobs.store import Store

blueprint = Blueprint("jobs", __name__)

MAX_LISTED = 100

MAX_WATCHERS = 4
"""Who follows events holds one of the control plane's threads."""

LOOK_S = 0.3
ALIVE_S = 10.0
FOLLOW_S = 600.0
"""After so long a stream of events ends; a client asks again."""

_watchers = threading.BoundedSemaphore(MAX_WATCHERS)


@blueprint.get("/v1/jobs")
def jobs() -> Response:
    rows = _store().of_key(_key(), MAX_LISTED)
    return jsonify(jobs=[{name: told for name, told in document(row).items() if name != "result"} for row in rows])


@blueprint.get("/v1/jobs/<id_>")
def job(id_: str) -> Response:
    return Response(msgspec.json.encode(document(_find(id_))), mimetype="application/json")


@blueprint.delete("/v1/jobs/<id_>")
def remove(id_: str) -> Response:
    row = _find(id_)
    _store().remove(row.id, row.key)
    if row.state == "queued":
        files.remove(row.id)
    return Response(status=204)


@blueprint.get("/v1/jobs/<id_>/events")
def events(id_: str) -> Response:
    row = _find(id_)
    if not _watchers.acquire(blocking=False):
        raise TooManyWatchers(f"{MAX_WATCHERS} do already")
    answer = Response(_follow(row, _is_leaving()), mimetype="text/event-stream")
    answer.call_on_close(_watchers.release)
    answer.headers["X-Accel-Buffering"] = "no"
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _follow(row: Row, is_leaving: Callable[[], bool]) -> Iterator[str]:
    """`job` for each change, then `result` or `error`."""
    store, told, told_at, ends = _store(), "", time.monotonic(), time.monotonic() + FOLLOW_S
    while True:
        state = document(row)
        result, error = state.pop("result", None), state.pop("error", None)
        if (text := json.dumps(state)) != told:
            told, told_at = text, time.monotonic()
            yield f"event: job\ndata: {text}\n\n"
        if row.state in ENDED:
            name, data = ("error", error) if result is None else ("result", result)
            yield f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"
            return
        if is_leaving() or time.monotonic() > ends:
            return
        if time.monotonic() - told_at > ALIVE_S:
            told_at = time.monotonic()
            yield ": still\n\n"  # so that a client that has left is noticed, and a gateway waits on
        time.sleep(LOOK_S)
        try:
            row = store.get(row.id, row.key)
        except UnknownJob:
            return
        except CliplaneError:
            continue


def _is_leaving() -> Callable[[], bool]:
    """Whether this process is to end: it waits for its threads."""
    worker: Any = current_app.extensions.get("worker")
    return lambda: worker is not None and not worker.alive


def _find(id_: str) -> Row:
    if not files.ID.fullmatch(id_):
        raise UnknownJob
    return _store().get(id_, _key())


def _store() -> Store:
    from cliplane.jobs.store import Store  # where there are no jobs SQLite is not loaded

    return Store()


def _key() -> str:
    """The name of the request's key; nginx says it."""
    return request.headers.get("X-Key-Name", "")
