"""The use case: decode, hand over, infer, average; one job at a time through one lane.

Knows neither Flask nor gRPC: it yields events, and Triton is behind `triton.py`.

While some views are inferred, those after them are decoded. One thread waits for both: for the decoder's pipe, and
for an eventfd that gRPC's thread writes to when an inference has ended.

A view has a *slot*: its place in the region and in the order of decoding. That is the order of time, unless the
request leaves the number of views to us (`views=auto`): then they come coarse to fine, and end when enough are known.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from cliplane.averaging import average, top_predictions
from cliplane.early_stop import is_decided
from cliplane.errors import BadQuery, CliplaneError, DecoderCrashed, DecodeTimeout, InferTimeout, RegionLost
from cliplane.lane import Lane
from cliplane.media import Span
from cliplane.sampling import split_views
from cliplane.triton import ModelSpec, Probabilities

AUTO: Literal["auto"] = "auto"
AUTO_VIEWS = 10
"""Most views of `views=auto`, where the model's own number is not more: the usual count of clips in the literature."""

SETTLE_S = 2.0
"""How long a failed request waits for its last inference before its region goes into quarantine."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    `span`: where in the file the video lies, None for all of it. `views`: None for the model's own number, `AUTO`
    for as many as it takes.
    """

    path: str
    span: Span | None
    container: str
    model: str
    views: int | Literal["auto"] | None
    top: int
    request_id: str
    spool_ms: float


class Event(NamedTuple):
    """One step of an answer: "video", "view" (one each), then "result"; data as in the HTTP contract."""

    name: str
    data: dict[str, Any]


def classify(lane: Lane, job: Job) -> Generator[Event]:
    """Classify one video, step by step.

    Raises:
        CliplaneError: every failure, at any step.
    """
    spec = lane.triton.spec(job.model)
    most = min(lane.settings.max_views, lane.settings.region_bytes // spec.sampling.view_bytes)
    if job.views == AUTO:
        wanted = min(max(AUTO_VIEWS, spec.sampling.views), most)
    else:
        wanted = spec.sampling.views if job.views is None else job.views
    clips, crops = split_views(wanted, spec.sampling.crops)
    sampling = replace(spec.sampling, clips=clips, crops=crops)
    if sampling.views > most:
        raise BadQuery(f"views={sampling.views}: at most {most} of this model")
    run = _Run(lane, job, replace(spec, sampling=sampling))
    try:
        yield from run.events()
    finally:
        run.close()


@dataclass(slots=True)
class _InFlight:
    """An inference that has been started."""

    started: float
    call: Any


@dataclass(frozen=True, slots=True)
class _Answer:
    """An inference that has ended: one of `probabilities` and `error` is there."""

    probabilities: Probabilities | None
    version: str
    error: CliplaneError | None


class _Run:
    """One job's way through a lane: how far decoding and inference have come."""

    def __init__(self, lane: Lane, job: Job, spec: ModelSpec) -> None:
        self._lane, self._job, self._spec = lane, job, spec
        self._started = time.monotonic()
        self._deadline = self._started + lane.settings.request_timeout_s
        self._requests = lane.requests()
        self._region, self._handoff = lane.hand_over()
        self._decoder = lane.decoder()
        self._expected = spec.sampling.views
        self._decoded: list[dict[str, Any]] = []  # view, start_s and end_s of slot 0, 1, …
        self._probabilities: list[np.ndarray[Any, np.dtype[np.float32]]] = []  # of slot 0, 1, …
        self._in_flight: _InFlight | None = None
        self._answers: list[_Answer] = []
        self._version = spec.version
        self._decode_ms = self._infer_ms = 0.0

    def events(self) -> Generator[Event]:
        job, spec = self._job, self._spec
        settings = self._lane.settings
        threads = self._lane.decoder_threads(self._requests)
        self._decoder.start(
            {
                "path": job.path,
                "span": job.span,
                "sampling": asdict(spec.sampling),
                "limits": settings.decoder_limits(),
                "threads": threads,
                "reader": settings.reader,
                "coarse_to_fine": job.views == AUTO,
                "cpu_s": settings.request_timeout_s * threads,
            }
        )
        video: dict[str, Any] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._decoder.fileno(), selectors.EVENT_READ)
            selector.register(self._lane.wake, selectors.EVENT_READ)
            while not self._is_done():
                self._infer_what_is_decoded()
                ready = selector.select(max(0.0, self._deadline - time.monotonic()))
                if not ready:
                    limit = f"CLIPLANE_REQUEST_TIMEOUT_S={settings.request_timeout_s:g}"
                    raise DecodeTimeout(limit) if self._decoder.busy else InferTimeout(limit)
                for key, _ in ready:
                    if key.fd == self._lane.wake:
                        yield from self._take_answers()
                        continue
                    for report in self._decoder.reports():
                        match report.pop("event"):
                            case "video":
                                self._expected = report.pop("views")
                                video = {"container": job.container, **report}
                                yield Event("video", video)
                            case "view":
                                self._decoded.append(report)
                            case "end":
                                self._decode_ms = _ms_since(self._started)
                                selector.unregister(self._decoder.fileno())
        if self._decoder.busy:
            self._decode_ms = _ms_since(self._started)
        yield Event("result", self._result(video))

    def _is_done(self) -> bool:
        """Whether all views have been inferred and the decoder has found no fault in the file; or enough of them."""
        if len(self._probabilities) == self._expected:
            return not self._decoder.busy
        return self._job.views == AUTO and bool(self._probabilities) and is_decided(self._probabilities, self._expected)

    def close(self) -> None:
        """Leave the lane fit for its next request, whatever became of this one."""
        if self._in_flight is not None:
            answered = self._settled()
            if not answered:
                self._in_flight.call.cancel()
            if not answered or isinstance(self._answers[0].error, InferTimeout):
                self._give_up_region()
        if self._decoder.busy:
            self._let_go_of_decoder()

    def _let_go_of_decoder(self) -> None:
        if not self._decoder.is_alive():
            self._lane.replace_decoder("crashed")
        elif time.monotonic() >= self._deadline:
            self._lane.replace_decoder("timeout")
        else:
            with contextlib.suppress(DecoderCrashed):
                self._decoder.stop()  # the next request sees whether it obeyed

    def _settled(self) -> bool:
        """Wait for the inference in flight; False if it does not end within `SETTLE_S`."""
        deadline = time.monotonic() + SETTLE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._lane.wake, selectors.EVENT_READ)
            while not self._answers and time.monotonic() < deadline:
                if selector.select(deadline - time.monotonic()):
                    os.eventfd_read(self._lane.wake)
        return bool(self._answers)

    def _infer_what_is_decoded(self) -> None:
        """Start one inference of all views that wait; one at a time, so that the next takes what has gathered."""
        first = len(self._probabilities)
        waiting = len(self._decoded) - first
        if self._in_flight is not None or waiting == 0 or waiting < self._worth_a_call(first):
            return
        views = min(waiting, self._spec.max_batch_size)
        timeout_s = min(self._lane.settings.infer_timeout_s, max(0.001, self._deadline - time.monotonic()))
        answers, wake = self._answers, self._lane.wake

        def on_inferred(probabilities: Probabilities | None, version: str, error: CliplaneError | None) -> None:
            answers.append(_Answer(probabilities, version, error))
            os.eventfd_write(wake, 1)

        started = time.monotonic()
        call = self._lane.triton.infer(
            self._spec,
            self._region,
            first,
            views,
            shared=self._handoff == "system_shm",
            request_id=self._job.request_id,
            timeout_s=timeout_s,
            on_inferred=on_inferred,
        )
        self._in_flight = _InFlight(started, call)

    def _worth_a_call(self, first: int) -> int:
        """How many views to gather. One where the CPUs are this request's alone, since it waits for each. Where they
        are shared, half of those that are left: a call costs CPU time, and what waits here lets another go on."""
        if self._requests == 1 or not self._decoder.busy or self._job.views == AUTO:
            return 1
        return (self._expected - first + 1) // 2

    def _take_answers(self) -> Iterator[Event]:
        os.eventfd_read(self._lane.wake)
        if not self._answers:
            return  # an inference of an earlier request, that was given up, has ended
        assert self._in_flight is not None
        flight, self._in_flight = self._in_flight, None
        answer = self._answers.pop()
        self._infer_ms += _ms_since(flight.started)
        if isinstance(answer.error, RegionLost):
            # Triton has restarted since. The views are still in the region: once more, by either way.
            self._handoff = "system_shm" if self._lane.register_again() else "grpc"
            return
        if isinstance(answer.error, InferTimeout):
            self._give_up_region()
        if answer.error is not None:
            raise answer.error
        assert answer.probabilities is not None
        self._version = answer.version
        for probabilities in answer.probabilities:
            slot = len(self._probabilities)
            self._probabilities.append(probabilities)
            yield Event("view", {"view": self._decoded[slot]["view"], **self._view(slot)})

    def _give_up_region(self) -> None:
        if self._handoff == "system_shm":
            self._lane.quarantine()

    def _view(self, slot: int) -> dict[str, Any]:
        times = self._decoded[slot]
        predictions = top_predictions(self._probabilities[slot], self._spec.labels, self._job.top)
        return {"start_s": times["start_s"], "end_s": times["end_s"], "predictions": predictions}

    def _result(self, video: dict[str, Any]) -> dict[str, Any]:
        timing = {
            "spool": self._job.spool_ms,
            "decode": self._decode_ms,
            "infer": self._infer_ms,
            "total": self._job.spool_ms + _ms_since(self._started),
        }
        # By time again, so that equal views give equal bits in whichever order they came.
        slots = sorted(range(len(self._probabilities)), key=lambda slot: self._decoded[slot]["view"])
        mean = average([self._probabilities[slot] for slot in slots])
        result = {
            "request_id": self._job.request_id,
            "model": self._spec.name,
            "version": self._version,
            "handoff": self._handoff,
            "predictions": top_predictions(mean, self._spec.labels, self._job.top),
            "views": [self._view(slot) for slot in slots],
            "video": video,
            "timing_ms": {stage: round(ms, 2) for stage, ms in timing.items()},
        }
        if self._job.views == AUTO:
            reason = "all" if len(slots) == self._expected else "decided"
            result["auto"] = {"planned": self._expected, "used": len(slots), "reason": reason}
        return result


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
