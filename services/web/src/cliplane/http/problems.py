"""Errors as RFC 9457 problem+json, once: as the answer, or as the last event of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from cliplane.errors import BodyTooLarge, ClientGone, CliplaneError, MethodNotAllowed, NotFound, problem
from cliplane.lane.run import Event

log = structlog.get_logger()

_HTTP_ERRORS: dict[int | None, type[CliplaneError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}


def install(app: Flask) -> None:
    """Make every failure of this app a problem+json answer."""

    @app.errorhandler(Exception)
    def respond(exc: Exception) -> Response:
        if isinstance(exc, ClientGone):
            return Response(status=499)  # as nginx has it in its log; nobody reads this
        error = _as_ours(exc)
        response = Response(
            json.dumps(problem(error, g.request_id)), status=error.status, mimetype="application/problem+json"
        )
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(exc, HTTPException) and exc.code == 405:
            response.headers["Allow"] = dict(exc.get_headers()).get("Allow", "")
        return response


def event_stream(events: Iterator[Event], request_id: str) -> Iterator[str]:
    """The events as server-sent events; an error is the last of them."""
    try:
        for event in events:
            yield _server_sent(event.name, event.data)
    except ClientGone:
        return
    except Exception as exc:
        yield _server_sent("error", problem(_as_ours(exc), request_id))


def _server_sent(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"


def _as_ours(exc: Exception) -> CliplaneError:
    if isinstance(exc, CliplaneError):
        return exc
    if isinstance(exc, HTTPException) and exc.code in _HTTP_ERRORS:
        return _HTTP_ERRORS[exc.code]()
    log.error("unexpected_error", exc_info=exc)
    return CliplaneError()
