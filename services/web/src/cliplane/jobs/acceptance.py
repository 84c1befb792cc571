"""A request that wants its answer later (RFC 7240, respond-async): its video goes to the volume of jobs, and its job is
accepted when both are on the disk. In a lane, which has read the request already."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal

import msgspec
from flask import Response, request
from werkzeug.datastructures import Headers

from cliplane.errors import BadQuery, CliplaneError, UnknownDigest, UnknownModel
from cliplane.intake.media_root import open_media
from cliplane.jobs import files, webhook_rules
from cliplane.jobs.asked import CHOICES, PRIORITIES, Asked, document, known_as
from cliplane.jobs.store import Store
from cliplane.jobs.wake import wake_runner
from cliplane.jobs.webhook import read_secret
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Job
from cliplane.lane.run import Event
from cliplane.lane.segmentation import SegmentsJob
from cliplane.triton.model_spec import ModelSpec

MAX_KEY_CHARACTERS = 255


def accept(lane: Lane, job: Job | SegmentsJob, asked_for: Mapping[str, str]) -> Response:
    """202 with the job's address; the same job again where the idempotency key is that of one.

    Raises:
        CliplaneError: it is not accepted, and nothing is left of it.
    """
    settings, store = lane.settings, Store()
    priority = _priority(asked_for)
    webhook = asked_for.get("webhook", "")
    if webhook:
        webhook_rules.target(webhook, settings.webhook_hosts)
        read_secret()
    for model in job.model.split(","):
        _check_model(lane, model)
    idempotency_key = _idempotency_key(request.headers)
    id_, sha256 = secrets.token_hex(16), ""
    is_path = job.open_file is open_media
    try:
        if is_path:
            files.check_room(0, settings.jobs_min_free_bytes)
        else:
            with job.open_file(job.path) as video:
                files.check_room(files.size(video, job.span), settings.jobs_min_free_bytes)
                sha256 = files.take_in(video, job.span, id_)
        operation, choices = _asked_for(job)
        asked = Asked(operation, job.container, choices, job.path if is_path else "", sha256, webhook)
        row = store.add(
            id_,
            job.key,
            asked,
            priority,
            request_id=job.request_id,
            idempotency_key=idempotency_key,
            max_jobs=settings.max_jobs,
        )
    except BaseException:
        files.remove(id_)
        raise
    if row.id == id_:
        wake_runner()
    else:
        files.remove(id_)  # it is there already
    answer = Response(msgspec.json.encode(document(row)), 202, mimetype="application/json")
    answer.headers["Location"] = f"/v1/jobs/{row.id}"
    answer.headers["Preference-Applied"] = "respond-async"
    return answer


def known(spec_of: Callable[[str], ModelSpec], job: Job | SegmentsJob) -> Generator[Event]:
    """The answer that a job of the same key, for the same bytes and the same parameters, has had from the same model.
    `job.path` is the video's SHA-256. No lane is needed.

    Raises:
        UnknownDigest: none is kept.
    """
    if "," in job.model:
        raise UnknownDigest("of several models send the video")
    operation, choices = _asked_for(job)
    served = spec_of(job.model).fingerprint()
    result = Store().answer(known_as(job.key, job.path, operation, choices, served))
    if result is None:
        raise UnknownDigest("send the video; with Prefer: respond-async its answer will be known")
    yield Event("video", msgspec.json.decode(result["video"]))
    yield Event("result", {**result, "request_id": job.request_id})


def _asked_for(job: Job | SegmentsJob) -> tuple[Literal["classify", "segments"], dict[str, Any]]:
    operation: Literal["classify", "segments"] = "classify" if isinstance(job, Job) else "segments"
    return operation, {name: getattr(job, name) for name in CHOICES[operation]}


def _priority(asked_for: Mapping[str, str]) -> int:
    of_key = request.headers.get("X-Key-Priority") or "interactive"
    priority = asked_for.get("priority", of_key)
    if priority not in PRIORITIES:
        raise BadQuery(f"priority: {' or '.join(PRIORITIES)}")
    return min(PRIORITIES[priority], PRIORITIES.get(of_key, 0))  # a key for batches stays one


def _idempotency_key(headers: Headers) -> str | None:
    key = headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise BadQuery(f"Idempotency-Key: 1 to {MAX_KEY_CHARACTERS} printable characters of ASCII")
    return key


def _check_model(lane: Lane, model: str) -> None:
    """A model that is not there is told now; a Triton that is not there is waited for later."""
    try:
        lane.triton.spec(model)
    except UnknownModel:
        raise
    except CliplaneError:
        pass
