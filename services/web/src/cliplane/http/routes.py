"""The routes of a lane: a video in, predictions out. nginx has written the body to a file; here is its
path. A body of JSON names a file beneath the media root instead.

The control plane has them too, for bodies that are a digest (`uploads.lua`): those need no lane."""

from __future__ import annotations

import mmap
import os
import re
import select
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from itertools import chain
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple

import msgspec
from flask import Blueprint, Request, Response, current_app, g, jsonify, request
from werkzeug.datastructures import Headers

from cliplane.decoder.media import HEAD_BYTES, Span, sniff
from cliplane.errors import BadBody, BadQuery, ClientGone, EncodedBody, UnknownDigest, UnknownModel
from cliplane.http import problems
from cliplane.intake.forms import read_form
from cliplane.intake.media_root import open_media
from cliplane.intake.spool import open_upload
from cliplane.lane import journal
from cliplane.lane.classification import classify as classify_with
from cliplane.lane.comparison import MAX_MODELS, compare
from cliplane.lane.lane import Lane
from cliplane.lane.requests import AUTO, Job
from cliplane.lane.run import Event
from cliplane.lane.segmentation import MAX_S, MIN_S, STRIDE_S, SegmentsJob, segment
from cliplane.settings import Settings

blueprint = Blueprint("classify", __name__)

LATER = ("priority", "webhook")
"""Parameters of a request that wants its answer later."""

MAX_JSON_BYTES = 32 * 1024
"""A path of the most bytes, each of them escaped."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_NUMBER = re.compile(r"-?([0-9]{1,32}(\.[0-9]{0,32})?|\.[0-9]{1,32})([eE][+-]?[0-9]{1,3})?", re.ASCII)
"""As JSON has it; `float` alone takes more."""
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip (RFC 1952), zstd (RFC 8878)


CLASSIFY_FIELDS = ("model", "views", "top", "min_score")
SEGMENTS_FIELDS = ("model", "stride_s", "window_s", "threshold", "min_s")
"""Parameters of the query, or fields of a form."""


@blueprint.post("/v1/classify")
def classify() -> Response:
    with journal.refusals(_key(request)):
        job = read_job(request, current_app.extensions["settings"], time.monotonic())
        if response := _without_work(job):
            return response
    lane: Lane = current_app.extensions["lane"]
    events = compare(lane, job) if len(job.models) > 1 else classify_with(lane, job)
    return _answer(journal.recorded(events, job, lane.triton.knows), job.request_id)


@blueprint.post("/v1/segments")
def segments() -> Response:
    with journal.refusals(_key(request)):
        job = read_segments_job(request, current_app.extensions["settings"], time.monotonic())
        if response := _without_work(job):
            return response
    lane: Lane = current_app.extensions["lane"]
    return _answer(journal.recorded(segment(lane, job), job, lane.triton.knows), job.request_id)


def _without_work(job: Job | SegmentsJob) -> Response | None:
    """The response where nothing is decoded for it now: what is known already, or a job accepted for later."""
    if job.open_file is not by_digest and not _is_for_later(request):
        return None
    from cliplane.jobs import acceptance  # what no request has used is not loaded

    if job.open_file is by_digest:
        return _answer(acceptance.known(current_app.extensions["spec_of"], job), job.request_id)
    return acceptance.accept(current_app.extensions["lane"], job, request.args)


def _answer(events: Generator[Event], request_id: str) -> Response:
    # The first event shows that the file can be read: until then an error has a status of its own.
    first = next(events)
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        stream = problems.event_stream(chain([first], events), request_id)
        response = Response(stream, mimetype="text/event-stream")
        response.call_on_close(events.close)  # a client that leaves ends the work
        response.headers["X-Accel-Buffering"] = "no"
        response.headers["Cache-Control"] = "no-store"
        return response
    (last,) = deque(events, maxlen=1)  # of an hour's events none is kept
    return jsonify(last.data)


@blueprint.after_request
def tell_spool_time(response: Response) -> Response:
    """Every answer says how long the body took to arrive, a refusal too: clients measure their line by one."""
    response.headers["Server-Timing"] = f"spool;dur={_spool_ms(request):.0f}"
    return response


def read_job(upload: Request, settings: Settings, began: float) -> Job:
    """The request as a job; `began` by the monotonic clock, since reading the form is part of its time.

    Raises:
        BadQuery, UnknownModel: the query, or a field of the form, is wrong.
        BadBody, EncodedBody, NotAVideo: the body is.
        ClientGone: the client has left while its request waited for a lane.
    """
    client = _client(upload)
    body, chosen = _read(upload, settings, CLASSIFY_FIELDS, _choices)
    return Job(**chosen._asdict(), **_shared(upload, body), client=client, began=began)


def read_segments_job(upload: Request, settings: Settings, began: float) -> SegmentsJob:
    """As `read_job`, and raises as it does."""
    client = _client(upload)
    body, chosen = _read(upload, settings, SEGMENTS_FIELDS, _segments_choices)
    return SegmentsJob(**chosen._asdict(), **_shared(upload, body), client=client, began=began)


def _shared(upload: Request, body: _Body) -> dict[str, Any]:
    """What all jobs have."""
    return {
        "path": body.path,
        "span": body.span,
        "container": body.container,
        "request_id": g.request_id,
        "spool_ms": _spool_ms(upload),
        "open_file": body.open_file,
        "key": _key(upload),
    }


def _read[Choices](
    upload: Request,
    settings: Settings,
    fields: Collection[str],
    choices: Callable[[Mapping[str, str], Settings], Choices],
) -> tuple[_Body, Choices]:
    """What the body is, and what the query and a form ask for."""
    query = {}
    for name, values in upload.args.lists():
        if name not in fields and not (name in LATER and _is_for_later(upload)):
            *others, last = fields
            raise BadQuery(f"there is no parameter {name!r}; there are {', '.join(others)} and {last}")
        if len(values) != 1:
            raise BadQuery(f"{name} is given more than once")
        query[name] = values[0]
    choices(query, settings)  # before the body: it may be long
    path = upload.headers.get("X-Spool-Path", "")
    body = _look_into(path, upload.headers, settings.containers.split(","), fields)
    for name in query.keys() & body.fields.keys():
        if query[name] != body.fields[name]:
            raise BadQuery(f"{name} is one thing in the query and another in the form")
    return body, choices(query | body.fields, settings)


def _key(upload: Request) -> str:
    """The name of the request's key, which nginx has checked; nothing where there is none."""
    return upload.headers.get("X-Key-Name", "")


def _is_for_later(upload: Request) -> bool:
    """Whether it says `Prefer: respond-async` (RFC 7240)."""
    preferences = upload.headers.get("Prefer", "").split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


def _client(upload: Request) -> int | None:
    """The client's connection. nginx sends nothing after a request, so what can be read of it is its end."""
    connection = upload.environ.get("gunicorn.socket")
    if connection is None:
        return None
    if select.select([connection], [], [], 0)[0]:
        raise ClientGone
    return int(connection.fileno())


class _Choices(NamedTuple):
    """Of a query or a form, as `Job` has them."""

    model: str
    views: int | Literal["auto"] | None
    top: int | None
    min_score: float | None


def _choices(asked: Mapping[str, str], settings: Settings) -> _Choices:
    model = _models(asked, settings)
    views = AUTO if asked.get("views") == AUTO else _whole_number(asked, "views", settings.max_views)
    return _Choices(model, views, _whole_number(asked, "top", 1000), _number(asked, "min_score", 0, 1))


class _SegmentsChoices(NamedTuple):
    """The same of `SegmentsJob`."""

    model: str
    stride_s: float
    window_s: float | None
    threshold: float | None
    min_s: float


def _segments_choices(asked: Mapping[str, str], settings: Settings) -> _SegmentsChoices:
    return _SegmentsChoices(
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


def _spool_ms(upload: Request) -> float:
    return float(upload.headers.get("X-Spool-Seconds", 0)) * 1000


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


_NAMES = 'a JSON body is {"path": "a video beneath MEDIA_ROOT"} or {"sha256": "a video that was a job"}'


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    """A body that is no video but says which: one of the two."""

    path: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


def by_digest(_sha256: str) -> BinaryIO:
    """How a video is opened of which only the digest is known: not at all."""
    raise UnknownDigest("send the video")


class _Body(NamedTuple):
    path: str
    open_file: Callable[[str], BinaryIO]
    span: Span | None
    container: str
    fields: dict[str, str]


def _look_into(path: str, headers: Headers, containers: list[str], fields: Collection[str]) -> _Body:
    """The file that has the video, where in it, its container, and what a form says beside it."""
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise EncodedBody("there is a Content-Encoding, which is not undone: send the video as it is")
    if not path:
        raise BadBody("the body is empty")
    content_type = headers.get("Content-Type", "")
    with open_upload(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise BadBody("the body is empty")
        if content_type.partition(";")[0].strip().lower() == "application/json":
            return _named(file.read(MAX_JSON_BYTES + 1), containers)
        if not content_type.lower().startswith("multipart/form-data"):
            return _Body(path, open_upload, None, _container(file.read(HEAD_BYTES), containers), {})
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as body:
            span, values = read_form(body, content_type, fields)
            head = body[span.start : min(span.start + HEAD_BYTES, span.end)]
            return _Body(path, open_upload, span, _container(head, containers), values)


def _named(document: bytes, containers: list[str]) -> _Body:
    """The video that a JSON body names."""
    if len(document) > MAX_JSON_BYTES:
        raise BadBody(f"a JSON body has at most {MAX_JSON_BYTES} bytes")
    try:
        named = msgspec.json.decode(document, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadBody(_NAMES) from exc
    if named.sha256 is not None and named.path is None:
        return _Body(named.sha256, by_digest, None, "", {})
    if named.path is None or named.sha256 is not None:
        raise BadBody(_NAMES)
    with open_media(named.path) as file:
        head = file.read(HEAD_BYTES)
    return _Body(named.path, open_media, None, _container(head, containers), {})


def _container(head: bytes, allowed: list[str]) -> str:
    if head.startswith(_COMPRESSED):
        raise EncodedBody("it is gzip or zstd, which is not undone: send the video as it is")
    return sniff(head, allowed)
