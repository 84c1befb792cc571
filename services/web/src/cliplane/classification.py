"""The use case: decode, hand over, infer, average; one job at a time through one lane.

Knows neither Flask nor gRPC: it yields events, and Triton is behind `triton.py`.

While some views are inferred, those after them are decoded. One thread waits for both: for the decoder's socket, and
for an eventfd that gRPC's thread writes to when an inference has ended. Which views go into which call is decided in
`schedule.py`, what is known of the video is gathered in `findings.py`.

Views are decoded in the order of time, unless the request leaves their number to us (`views=auto`): then they come
coarse to fine, and end when enough are known.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Literal, NamedTuple

from msgspec import structs, to_builtins

from cliplane.decoder import wire
from cliplane.errors import BadQuery, ClientGone, CliplaneError, DecoderCrashed, DecodeTimeout, InferTimeout, RegionLost
from cliplane.findings import Findings
from cliplane.lane import Lane
from cliplane.media import Span
from cliplane.model_spec import ModelSpec
from cliplane.sampling import split_views
from cliplane.schedule import Call, Schedule
from cliplane.spool import open_upload
from cliplane.triton_responses import Probabilities

AUTO: Literal["auto"] = "auto"
TOP = 5
"""How many labels are answered where neither the request nor a least score says which."""

AUTO_VIEWS = 10
"""Most views of `views=auto`: the usual count of clips in the literature."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    `path`: the file's, as `open_file` takes it. `span`: where in the file the video lies, None for all of it. `views`:
    None for the model's own number, `AUTO` for as many as it takes. `min_score`: what an answered label must reach;
    None: the model's own thresholds, where it has some. `top`: None for all of those, or `TOP` where nothing has to be
    reached.
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


class Event(NamedTuple):
    """One step of an answer: "video", "warning" (where something is doubtful), "view" (one each), then "result"; data
    as in the HTTP contract."""

    name: str
    data: dict[str, Any]


def classify(lane: Lane, job: Job) -> Generator[Event]:
    """Classify one video, step by step.

    Raises:
        CliplaneError: every failure, at any step.
        ClientGone: nobody waits for the rest.
    """
    spec = lane.triton.spec(job.model)
    max_views = min(lane.settings.max_views, lane.settings.region_bytes // spec.sampling.view_bytes)
    asked = spec.sampling.views if job.views is None else job.views
    wanted = min(AUTO_VIEWS, max_views) if asked == AUTO else asked
    clips, crops = split_views(wanted, spec.sampling.crops)
    sampling = replace(spec.sampling, clips=clips, crops=crops)
    if sampling.views > max_views:
        raise BadQuery(f"views={sampling.views}: at most {max_views} of this model")
    run = _Run(lane, job, replace(spec, sampling=sampling))
    try:
        yield from run.events()
    finally:
        run.close()


@dataclass(frozen=True, slots=True)
class _Response:
    """A call to Triton that has ended: one of `probabilities` and `error` is there."""

    first: int  # slot
    probabilities: Probabilities | None
    version: str
    error: CliplaneError | None


class _Clock:
    """When a request began, when it must end, and what its time went into."""

    def __init__(self, began: float, timeout_s: float) -> None:
        self._started = began
        self._deadline = self._started + timeout_s
        self._calls_since: float | None = None
        self.decode_ms: float | None = None
        self._infer_ms = 0.0

    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def decoding_ended(self) -> None:
        self.decode_ms = _ms_since(self._started)

    def calling(self, *, is_calling: bool) -> None:
        """Whether a call is under way from now on; time with two of them counts once."""
        if is_calling and self._calls_since is None:
            self._calls_since = time.monotonic()
        elif not is_calling and self._calls_since is not None:
            self._infer_ms += _ms_since(self._calls_since)
            self._calls_since = None

    def timing_ms(self, spool_ms: float) -> dict[str, float]:
        total_ms = _ms_since(self._started)
        timing = {
            "spool": spool_ms,
            "decode": total_ms if self.decode_ms is None else self.decode_ms,
            "infer": self._infer_ms + (0.0 if self._calls_since is None else _ms_since(self._calls_since)),
            "total": spool_ms + total_ms,
        }
        return {stage: round(ms, 2) for stage, ms in timing.items()}


class _Run:
    """One job's way through a lane. Which view comes next is `schedule.py`'s to say."""

    def __init__(self, lane: Lane, job: Job, spec: ModelSpec) -> None:
        self._lane, self._job, self._spec = lane, job, spec
        self._clock = _Clock(job.began, lane.settings.request_timeout_s)
        requests = lane.requests()
        self._threads = lane.decoder_threads(requests)
        self._region, self._handoff = lane.hand_over()
        self._decoder = lane.decoder()
        self._schedule = Schedule(
            spec.sampling.views, spec.max_batch_size, is_auto=job.views == AUTO, is_shared=requests > 1
        )
        self._findings = _findings(job, spec)
        self._version = spec.version
        self._calls: dict[int, float] = {}  # under way, by their first slot: when their time is up
        self._responses: deque[_Response] = deque()  # gRPC's thread adds to it
        self._has_timed_out = False

    def events(self) -> Generator[Event]:
        self._start_decoder()
        with selectors.DefaultSelector() as selector:
            selector.register(self._decoder.fileno(), selectors.EVENT_READ)
            selector.register(self._lane.wake, selectors.EVENT_READ)
            if self._job.client is not None:
                selector.register(self._job.client, selectors.EVENT_READ)
            while not self._schedule.is_done():
                while call := self._schedule.next_call():
                    self._infer(call)
                ready = selector.select(self._left_s())
                if not ready:
                    self._check_time()
                for key, _ in ready:
                    if key.fd == self._lane.wake:
                        yield from self._take_responses()
                        continue
                    if key.fd == self._job.client:
                        raise ClientGone
                    yield from self._take_report()
                    if not self._decoder.busy:
                        selector.unregister(self._decoder.fileno())
        yield Event("result", self._result())

    def close(self) -> None:
        """Leave the lane fit for its next request, whatever became of this one.

        A call that nobody waits for any more is left out by the engine, or may still read the region: what it makes of
        the next request's frames is thrown away. One whose time was up is another matter, for Triton may never let go.
        """
        self._region.end_turn()
        if self._has_timed_out and self._handoff == "system_shm":
            self._lane.quarantine()
        if self._decoder.busy:
            self._let_go_of_decoder()
        self._lane.renew_worn_decoder()

    def _start_decoder(self) -> None:
        job, settings = self._job, self._lane.settings
        self._decoder.start(
            wire.Job(
                span=job.span,
                sampling=self._spec.sampling,
                limits=settings.decoder_limits(),
                threads=self._threads,
                coarse_to_fine=job.views == AUTO,
                cpu_s=settings.request_timeout_s * self._threads,
            ),
            job.open_file(job.path),
        )

    def _let_go_of_decoder(self) -> None:
        if not self._decoder.is_alive():
            self._lane.replace_decoder("crashed")
        elif self._clock.left_s() == 0:
            self._lane.replace_decoder("timeout")
        else:
            with contextlib.suppress(DecoderCrashed):
                self._decoder.stop()  # the next request sees whether it obeyed

    def _left_s(self) -> float:
        """Until the next of this request's deadlines."""
        calls = (deadline - time.monotonic() for deadline in self._calls.values())
        return max(0.0, min([self._clock.left_s(), *calls]))

    def _check_time(self) -> None:
        if self._left_s() > 0:
            return
        self._has_timed_out = self._schedule.is_calling()
        if self._clock.left_s() > 0:
            raise InferTimeout("CLIPLANE_INFER_TIMEOUT_S")
        limit = f"CLIPLANE_REQUEST_TIMEOUT_S={self._lane.settings.request_timeout_s:g}"
        raise DecodeTimeout(limit) if self._decoder.busy else InferTimeout(limit)

    def _take_report(self) -> Iterator[Event]:
        match report := self._decoder.report():
            case wire.Video():
                self._schedule.plan(report.views)
                self._findings.video = {"container": self._job.container, **to_builtins(report.facts)}
                yield Event("video", dict(self._findings.video))
            case wire.Doubt():
                self._findings.warnings.append({"type": report.kind, "detail": report.detail})
                yield Event("warning", self._findings.warnings[-1])
            case wire.View():
                self._schedule.view_decoded()
                self._findings.add_view(report)
                self._findings.video |= structs.asdict(report.effort)
            case wire.LeftOut():
                self._schedule.plan(self._schedule.views - 1)
            case wire.End():
                self._findings.video |= structs.asdict(report.effort)
                self._schedule.decoding_ended()
                self._clock.decoding_ended()

    def _infer(self, call: Call) -> None:
        responses, wake = self._responses, self._lane.wake

        def on_inferred(probabilities: Probabilities | None, version: str, error: CliplaneError | None) -> None:
            responses.append(_Response(call.first, probabilities, version, error))
            os.eventfd_write(wake, 1)

        self._clock.calling(is_calling=True)
        self._calls[call.first] = time.monotonic() + self._lane.settings.infer_timeout_s
        self._lane.triton.infer(
            self._spec,
            self._region,
            call.first,
            call.views,
            shared=self._handoff == "system_shm",
            request_id=self._job.request_id,
            on_inferred=on_inferred,
        )

    def _take_responses(self) -> Iterator[Event]:
        os.eventfd_read(self._lane.wake)  # perhaps for an inference of an earlier request, that was given up
        while self._responses:
            response = self._responses.popleft()
            del self._calls[response.first]
            if response.probabilities is not None:
                yield from self._take_views(response.first, response.probabilities, response.version)
            elif isinstance(response.error, RegionLost):
                self._schedule.lost(response.first)
            elif response.error is not None:
                raise response.error
            self._clock.calling(is_calling=self._schedule.is_calling())
        if self._schedule.is_stranded():
            # Triton has restarted since. The views are still in the region: once more, by either way.
            self._handoff = "system_shm" if self._lane.register_again() else "grpc"
            self._schedule.resume()

    def _take_views(self, first: int, probabilities: Probabilities, version: str) -> Iterator[Event]:
        self._version = version
        self._findings.add_probabilities(first, probabilities)
        for slot in self._schedule.inferred(first):
            yield Event("view", self._findings.view_event(slot))
        known, planned = self._schedule.delivered, self._schedule.views
        if self._job.views == AUTO and known and self._findings.is_decided(known, planned):
            self._schedule.stop()

    def _result(self) -> dict[str, Any]:
        known, planned = self._schedule.delivered, self._schedule.views
        result = {
            "request_id": self._job.request_id,
            "model": self._spec.name,
            "version": self._version,
            "handoff": self._handoff,
            **self._findings.result(known),
            "timing_ms": self._clock.timing_ms(self._job.spool_ms),
        }
        if self._job.views == AUTO:
            reason = "all" if known == planned else "decided"
            result["auto"] = {"planned": planned, "used": known, "reason": reason}
        return result


def _findings(job: Job, spec: ModelSpec) -> Findings:
    min_scores = spec.thresholds if job.min_score is None else job.min_score
    top = job.top or (TOP if min_scores is None else len(spec.labels))
    return Findings(spec.labels, top, min_scores, is_multi_label=spec.is_multi_label)


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
