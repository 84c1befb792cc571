"""The routes of a lane: an upload in, predictions out. nginx has written the body to a file; here is its path."""

from __future__ import annotations

import mmap
import os
import re
from itertools import chain

from flask import Blueprint, Request, Response, current_app, g, jsonify, request

from cliplane import journal, problems
from cliplane.classification import AUTO, Job
from cliplane.classification import classify as classify_with
from cliplane.errors import BadBody, BadQuery, UnknownModel
from cliplane.lane import Lane
from cliplane.media import HEAD_BYTES, Span, multipart_file, sniff
from cliplane.settings import Settings

blueprint = Blueprint("classify", __name__)

FILE_FIELD = "video"
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@blueprint.post("/v1/classify")
def classify() -> Response:
    lane: Lane = current_app.extensions["lane"]
    job = read_job(request, current_app.extensions["settings"])
    events = journal.recorded(classify_with(lane, job), job)
    # The first event shows that the file can be read: until then an error has a status of its own.
    first = next(events)
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        stream = problems.event_stream(chain([first], events), job.request_id)
        answer = Response(stream, mimetype="text/event-stream")
        answer.call_on_close(events.close)  # a client that leaves ends the work
        answer.headers["X-Accel-Buffering"] = "no"
        answer.headers["Cache-Control"] = "no-store"
        return answer
    *_, last = events
    return jsonify(last.data)


@blueprint.after_request
def tell_spool_time(answer: Response) -> Response:
    """Every answer says how long the body took to arrive, a refusal too: clients measure their line by one."""
    answer.headers["Server-Timing"] = f"spool;dur={_spool_ms(request):.0f}"
    return answer


def read_job(upload: Request, settings: Settings) -> Job:
    """The request as a job.

    Raises:
        BadQuery, UnknownModel: the query is wrong.
        BadBody, NotAVideo: the body is.
    """
    for name, values in upload.args.lists():
        if name not in ("model", "views", "top"):
            raise BadQuery(f"there is no parameter {name!r}; there are model, views and top")
        if len(values) != 1:
            raise BadQuery(f"{name} is given more than once")
    model = upload.args.get("model", settings.default_model)
    if not _MODEL_NAME.fullmatch(model):
        raise UnknownModel("a model's name is letters, digits, _ . and -")
    views = AUTO if upload.args.get("views") == AUTO else _whole_number(upload, "views", settings.max_views)
    top = _whole_number(upload, "top", 1000)
    path = upload.headers.get("X-Spool-Path", "")
    span, container = _locate(path, upload.content_type or "", settings.containers.split(","))
    return Job(path, span, container, model, views, top or 5, g.request_id, _spool_ms(upload))


def _spool_ms(upload: Request) -> float:
    return float(upload.headers.get("X-Spool-Seconds", 0)) * 1000


def _whole_number(upload: Request, name: str, most: int) -> int | None:
    text = upload.args.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= most:
        raise BadQuery(f"{name}: a whole number from 1 to {most}{' or auto' if name == 'views' else ''}")
    return int(text)


def _locate(path: str, content_type: str, containers: list[str]) -> tuple[Span | None, str]:
    """Where in the spool file the video lies, and its container; reads its first bytes and no more."""
    if not path or os.path.getsize(path) == 0:
        raise BadBody("the body is empty")
    with open(path, "rb") as file:
        if not content_type.lower().startswith("multipart/form-data"):
            return None, sniff(file.read(HEAD_BYTES), containers)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as body:
            span = multipart_file(body, content_type, FILE_FIELD)
            if span.start == span.end:
                raise BadBody("the file in the form is empty")
            return span, sniff(body[span.start : min(span.start + HEAD_BYTES, span.end)], containers)
