"""Jobs: videos that are sent now and answered later. `Client.jobs`."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from cliplane_client import asked, segments
from cliplane_client.bodies import Source
from cliplane_client.errors import InvalidResponse, Problem, UnknownJob, problem
from cliplane_client.responses import CLASSIFY, SEGMENTS
from cliplane_client.results import Comparison, Result, comparison, convert, result

if TYPE_CHECKING:
    from cliplane_client.client import Client

FIRST_LOOK_S, LONGEST_LOOK_S = 0.25, 5.0
"""Between two looks at a job that is waited for; each is twice as long as the one before."""

_ID = re.compile(r"[0-9a-f]{32}")

State = Literal["queued", "running", "done", "failed"]


class Later(TypedDict, total=False):
    """How a job is to run; what is left out or None is the server's to choose."""

    priority: Literal["interactive", "batch"] | None
    webhook: str | None
    """Where the server is to say that the job has ended; it must allow that host."""
    idempotency_key: str | None
    """Requests of equal keys are one job. Default: one of its own, so that a repeated request makes no second job."""
    sent: Callable[[int], None]
    """Is told how many bytes are on their way so far."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Views or windows that are done; `planned`: of how many, where that is known."""

    views: int
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server tells it; times in ISO 8601."""

    id: str
    state: State
    operation: Literal["classify", "segments"]
    priority: str
    attempts: int
    created_at: str
    progress: Progress
    started_at: str | None = None
    ended_at: str | None = None
    json: dict[str, Any] = field(default_factory=dict)
    """The server's document: `result` where the job is done, `error` where it failed."""

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "failed")

    def answer(self) -> Result | Comparison | segments.Segments:
        """What the request would have answered.

        Raises:
            Problem: the job failed, of this; InvalidResponse: it has no answer yet.
        """
        told = self.json.get("result")
        if self.state == "failed":
            raise self.problem()
        if not isinstance(told, dict):
            raise InvalidResponse("the job has no result")
        if self.operation == "segments":
            return segments.segments_of(told)
        return comparison(told) if "answers" in told else result(told)

    def problem(self) -> Problem:
        """Why it failed."""
        told = self.json.get("error")
        body = told if isinstance(told, dict) else {}
        status = body.get("status")
        return problem(status if isinstance(status, int) and 400 <= status < 600 else 500, body)


class Jobs:
    """The jobs of one server and key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, source: Source, later: Later | None = None, **what: Unpack[asked.Asked]) -> Job:
        """Have a video classified later. It is on the server's disk when this returns. Raises as `Client.classify`."""
        return self._submit(CLASSIFY.path, source, asked.query_of(what), later or {})

    def submit_segments(self, source: Source, later: Later | None = None, **windows: Unpack[segments.Windows]) -> Job:
        """The same of labels over time."""
        return self._submit(SEGMENTS.path, source, segments.query_of(windows), later or {})

    def get(self, id_: str) -> Job:
        """Raises:
        UnknownJob: there is none of that id, or it is another key's, or forgotten.
        """
        return _job(self._client.exchange("GET", _path(id_)))

    def list(self) -> Sequence[Job]:
        """The newest hundred, without their results."""
        told = self._client.exchange("GET", "/v1/jobs").get("jobs")
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise InvalidResponse("what answers there has no list of jobs")
        return [_job(one) for one in told]

    def cancel(self, id_: str) -> None:
        """End a job wherever it is; its answer is forgotten. Raises as `get`."""
        self._client.exchange("DELETE", _path(id_))

    def wait(self, id_: str, told: Callable[[Job], None] = lambda _: None) -> Job:
        """The job when it has ended, however long that takes. `told` is each look. A server that is away for a while,
        as in an upgrade, is waited for by the client's retries. Raises as `get`."""
        pause_s = FIRST_LOOK_S
        while True:
            job = self.get(id_)
            told(job)
            if job.has_ended:
                return job
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    def _submit(self, path: str, source: Source, query: dict[str, str], later: Later) -> Job:
        named = {name: later.get(name) for name in ("priority", "webhook")}
        query |= {name: str(value) for name, value in named.items() if value is not None}
        headers = {"Prefer": "respond-async", "Idempotency-Key": later.get("idempotency_key") or uuid.uuid4().hex}
        sent = later.get("sent", lambda _: None)
        return _job(self._client.exchange("POST", path, source, query=query, headers=headers, sent=sent))


def _path(id_: str) -> str:
    if not _ID.fullmatch(id_):
        raise UnknownJob(404, {"title": "No such job", "detail": "an id has 32 hexadecimal digits"})
    return f"/v1/jobs/{id_}"


def _job(body: dict[str, Any]) -> Job:
    job = convert(body, Job)
    if not _ID.fullmatch(job.id):
        raise InvalidResponse("a job's id is none")
    return replace(job, json=body)
