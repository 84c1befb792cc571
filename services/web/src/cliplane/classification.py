"""The use case: decode, hand over, infer, average; one job at a time through one lane.

Knows neither Flask nor gRPC: it yields events, and Triton is behind `triton.py`.

While some views are inferred, those after them are decoded. One thread waits for both: for the decoder's pipe, and
for an eventfd that gRPC's thread writes to when an inference has ended. Two calls may be under way, so that the engine
has the next views when it is done with the last; what is decoded meanwhile gathers for the call after them.

A view has a *slot*: its place in the region and in the order of decoding. That is the order of time, unless the
request leaves the number of views to us (`views=auto`): then they come coarse to fine, and end when enough are known.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cliplane.averaging import average, top_predictions
from cliplane.early_stop import is_decided
from cliplane.errors import BadQuery, CliplaneError, DecoderCrashed, DecodeTimeout, InferTimeout, RegionLost
from cliplane.lane import Lane
from cliplane.media import Span
from cliplane.sampling import split_views
from cliplane.triton import ModelSpec, Probabilities

AUTO: Literal["auto"] = "auto"
AUTO_VIEWS = 10
"""Most views of `views=auto`: the usual count of clips in the literature."""

CALLS = 2
"""Inferences under way at once."""


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
    asked = spec.sampling.views if job.views is None else job.views
    wanted = min(AUTO_VIEWS, most) if asked == AUTO else asked
    clips, crops = split_views(wanted, spec.sampling.crops)
    sampling = replace(spec.sampling, clips=clips, crops=crops)
    if sampling.views > most:
        raise BadQuery(f"views={sampling.views}: at most {most} of this model")
    run = _Run(lane, job, replace(spec, sampling=sampling))
    try:
        yield from run.events()
    finally:
        run.close()


@dataclass(frozen=True, slots=True)
class _Answer:
    """A call to Triton that has ended: one of `probabilities` and `error` is there."""

    first: int  # slot
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
        self._threads = lane.decoder_threads(self._requests)
        self._region, self._handoff = lane.hand_over()
        self._decoder = lane.decoder()
        self._expected = spec.sampling.views
        self._decoded: list[dict[str, Any]] = []  # view, start_s and end_s of slot 0, 1, …
        self._waiting: list[int] = []  # slots that are decoded and in no call, ascending
        self._calls: dict[int, Any] = {}  # under way, by their first slot
        self._answers: deque[_Answer] = deque()  # gRPC's thread adds to it
        self._early: dict[int, npt.NDArray[np.float32]] = {}  # by slot: views that were done before those in front
        self._probabilities: list[npt.NDArray[np.float32]] = []  # of slot 0, 1, …
        self._is_decided = False
        self._region_is_lost = self._has_timed_out = False
        self._version = spec.version
        self._decode_ms = self._infer_ms = self._calls_since = 0.0

    def events(self) -> Generator[Event]:
        job, settings = self._job, self._lane.settings
        self._decoder.start(
            {
                "path": job.path,
                "span": job.span,
                "sampling": asdict(self._spec.sampling),
                "limits": settings.decoder_limits(),
                "threads": self._threads,
                "reader": settings.reader,
                "coarse_to_fine": job.views == AUTO,
                "cpu_s": settings.request_timeout_s * self._threads,
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
                    self._has_timed_out = bool(self._calls)
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
                                self._waiting.append(len(self._decoded))
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
        return self._is_decided

    def close(self) -> None:
        """Leave the lane fit for its next request, whatever became of this one.

        A call that nobody waits for any more is cancelled and may still read the region: what it makes of the next
        request's frames is thrown away. One whose time was up is another matter, for Triton may never let go.
        """
        for call in self._calls.values():
            call.cancel()
        if self._has_timed_out and self._handoff == "system_shm":
            self._lane.quarantine()
        if self._decoder.busy:
            self._let_go_of_decoder()
        self._lane.renew_worn_decoder()

    def _let_go_of_decoder(self) -> None:
        if not self._decoder.is_alive():
            self._lane.replace_decoder("crashed")
        elif time.monotonic() >= self._deadline:
            self._lane.replace_decoder("timeout")
        else:
            with contextlib.suppress(DecoderCrashed):
                self._decoder.stop()  # the next request sees whether it obeyed

    def _infer_what_is_decoded(self) -> None:
        """Start calls for the views that wait, as many as there may be."""
        while not self._region_is_lost and len(self._calls) < CALLS and (views := self._next_views()):
            first = self._waiting[0]
            del self._waiting[:views]
            self._call(first, views)

    def _next_views(self) -> int:
        """How many of the waiting views go into one call: those that lie together in the region.

        Where the number of views is ours to choose, no more are under way than are known: at most half of them are then
        in vain. Where other requests share the CPUs, there are two calls, of half of the views each: a call costs CPU
        time of its own, and what waits here lets another request go on.
        """
        most, sent = self._spec.max_batch_size, len(self._decoded) - len(self._waiting)
        if self._job.views == AUTO:
            known = len(self._probabilities) + len(self._early)
            most = min(most, max(known, 1) - (sent - known))
        elif self._requests > 1 and self._decoder.busy and 2 * len(self._waiting) < self._expected:
            return 0
        together = (1 for place, slot in enumerate(self._waiting) if slot == self._waiting[0] + place)
        return min(sum(together), most)

    def _call(self, first: int, views: int) -> None:
        answers, wake = self._answers, self._lane.wake

        def on_inferred(probabilities: Probabilities | None, version: str, error: CliplaneError | None) -> None:
            answers.append(_Answer(first, probabilities, version, error))
            os.eventfd_write(wake, 1)

        if not self._calls:
            self._calls_since = time.monotonic()
        self._calls[first] = self._lane.triton.infer(
            self._spec,
            self._region,
            first,
            views,
            shared=self._handoff == "system_shm",
            request_id=self._job.request_id,
            timeout_s=min(self._lane.settings.infer_timeout_s, max(0.001, self._deadline - time.monotonic())),
            on_inferred=on_inferred,
        )

    def _take_answers(self) -> Iterator[Event]:
        os.eventfd_read(self._lane.wake)  # perhaps for an inference of an earlier request, that was given up
        while self._answers:
            answer = self._answers.popleft()
            del self._calls[answer.first]
            if not self._calls:
                self._infer_ms += _ms_since(self._calls_since)
            if isinstance(answer.error, RegionLost):
                self._region_is_lost = True
            elif answer.error is not None:
                self._has_timed_out = isinstance(answer.error, InferTimeout)
                raise answer.error
            else:
                yield from self._take_views(answer)
        if self._region_is_lost and not self._calls:
            # Triton has restarted since. The views are still in the region: once more, by either way.
            self._region_is_lost = False
            self._handoff = "system_shm" if self._lane.register_again() else "grpc"
            missing = range(len(self._probabilities), len(self._decoded))
            self._waiting = [slot for slot in missing if slot not in self._early]

    def _take_views(self, answer: _Answer) -> Iterator[Event]:
        assert answer.probabilities is not None
        self._version = answer.version
        self._early.update(enumerate(answer.probabilities, answer.first))
        while (slot := len(self._probabilities)) in self._early:
            self._probabilities.append(self._early.pop(slot))
            yield Event("view", {"view": self._decoded[slot]["view"], **self._view(slot)})
        if self._job.views == AUTO and self._probabilities:
            self._is_decided = is_decided(self._probabilities, self._expected)

    def _view(self, slot: int) -> dict[str, Any]:
        times = self._decoded[slot]
        predictions = top_predictions(self._probabilities[slot], self._spec.labels, self._job.top)
        return {"start_s": times["start_s"], "end_s": times["end_s"], "predictions": predictions}

    def _result(self, video: dict[str, Any]) -> dict[str, Any]:
        timing = {
            "spool": self._job.spool_ms,
            "decode": self._decode_ms,
            "infer": self._infer_ms + (_ms_since(self._calls_since) if self._calls else 0.0),
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
