"""The routes of a lane: a video in, predictions out. nginx has written the body to a file; here is its
path. A body of JSON names a file beneath the media root instead.

The control plane has them too, for bodies that are a digest (`uploads.lua`): those need no lane."""

from __future__ import annotations

import mmap
import os
import select
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from itertools import chain
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec
from flask import Blueprint, Request, Response, current_app, g, request
from werkzeug.datastructures import Headers

from cliplane.decoder.media import HEAD_BYTES, Span, sniff
from cliplane.errors import BadBody, BadQuery, ClientGone, EncodedBody, UnknownDigest
from cliplane.http import parameters, problems
from cliplane.intake.forms import read_form
from cliplane.intake.media_root import open_media
from cliplane.intake.spool import open_upload
from cliplane.lane import journal
from cliplane.lane.classification import classify as classify_with
from cliplane.lane.comparison import compare
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Job
from cliplane.lane.run import Event
from cliplane.lane.segmentation import SegmentsJob, segment
from cliplane.settings import Settings

blueprint = Blueprint("classify", __name__)

LATER = ("priority", "webhook")
"""Parameters of a request that wants its answer later."""

MAX_JSON_BYTES = 32 * 1024
"""A path of the most bytes, each of them escaped."""

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip (RFC 1952), zstd (RFC 8878)


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
    return Response(msgspec.json.encode(last.data), mimetype="application/json")


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
    body, chosen = _read(upload, settings, parameters.CLASSIFY_FIELDS, parameters.choices)
    return Job(**chosen._asdict(), **_shared(upload, body), client=client, began=began)


def read_segments_job(upload: Request, settings: Settings, began: float) -> SegmentsJob:
    """As `read_job`, and raises as it does."""
    client = _client(upload)
    body, chosen = _read(upload, settings, parameters.SEGMENTS_FIELDS, parameters.segments_choices)
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


def _spool_ms(upload: Request) -> float:
    return float(upload.headers.get("X-Spool-Seconds", 0)) * 1000


_NAMES = (
    'a JSON body is {"path": "a video beneath MEDIA_ROOT"}, {"sha256": "a video that was a job"} '
    'or {"upload": "a whole upload"}'
)


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
