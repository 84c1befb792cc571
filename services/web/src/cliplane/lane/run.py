"""One request's way through a lane: decode, hand over, infer, one thing beside the other.

While some views are inferred, those after them are decoded. One thread waits for both: for the decoder's socket, and
for an eventfd that gRPC's thread writes to when an inference has ended. Which views go into which call is for a
schedule to say, and what becomes of them for the use case:
`classification.py`, `comparison.py`, `segmentation.py`.

Knows neither Flask nor gRPC: it yields events, and Triton is behind `triton/client.py`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from cliplane.decoder import wire
from cliplane.errors import ClientGone, CliplaneError, DecoderCrashed, DecodeTimeout, InferTimeout, RegionLost
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Request
from cliplane.lane.steps import NO_STEP, Step
from cliplane.policy.schedule import Call
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.responses import Probabilities


class Event(NamedTuple):
    """One step of an answer, by the HTTP contract; the last is "result"."""

    name: str
    data: dict[str, Any]


class Order(Protocol):
    """A schedule of calls: `schedule.py`, `ring.py`."""

    def next_call(self) -> Call | None: ...
    def lost(self, first: int) -> None: ...
    def is_stranded(self) -> bool: ...
    def resume(self) -> None: ...
    def is_calling(self) -> bool: ...
    def is_done(self) -> bool: ...


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
        self._timeout_s = timeout_s
        self._deadline = self._started + timeout_s
        self._calls_since: float | None = None
        self.decode_ms: float | None = None
        self._infer_ms = 0.0

    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def progress(self) -> None:
        """The time that is left begins anew."""
        self._deadline = time.monotonic() + self._timeout_s

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


class Run[Schedule: Order](ABC):
    """One job's way through a lane; a use case says what is decoded, and what becomes of what is known."""

    def __init__(self, lane: Lane, job: Request, spec: ModelSpec) -> None:
        self._lane, self._job, self._spec = lane, job, spec
        self._clock = _Clock(job.began, lane.settings.request_timeout_s)
        requests = lane.requests()
        self._threads = lane.decoder_threads(requests)
        self._region, self._handoff = lane.hand_over()
        self._decoder = lane.decoder()
        self._schedule = self._new_schedule(is_shared=requests > 1)
        self._version = spec.version
        self._calls: dict[int, float] = {}  # under way, by their first slot: when their time is up
        self._responses: deque[_Response] = deque()  # gRPC's thread adds to it
        self._has_timed_out = False
        self._decoding = self._view = NO_STEP
        self._inferring: dict[int, Step] = {}  # by the calls' first slot

    @abstractmethod
    def _new_schedule(self, *, is_shared: bool) -> Schedule:
        """`is_shared`: other requests share the CPUs."""

    @abstractmethod
    def _order(self) -> wire.Job:
        """For the decoder."""

    @abstractmethod
    def _take_report(self) -> Iterator[Event]:
        """The decoder has something to say."""

    @abstractmethod
    def _take_views(self, first: int, probabilities: Probabilities) -> Iterator[Event]:
        """The call from slot `first` on is answered: (views, classes)."""

    def _place(self, slot: int) -> tuple[ModelSpec, int]:
        """Whose view is in the slot, and where it lies in the region, in bytes."""
        return self._spec, slot * self._spec.sampling.view_bytes

    def _last_events(self) -> Iterator[Event]:
        """What is known only now that all is."""
        return iter(())

    @abstractmethod
    def _result(self) -> dict[str, Any]:
        """The answer."""

    def events(self) -> Generator[Event]:
        self._decoding = self._lane.trace.begin("decode", threads=self._threads)
        self._view = self._decoding.begin("view")
        self._decoder.start(self._order(), self._job.open_file(self._job.path))
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
                        self._decoding.end()
                        self._decoding = NO_STEP
        yield from self._last_events()
        yield Event("result", self._result())

    def close(self) -> None:
        """Leave the lane fit for its next request, whatever became of this one.

        A call that nobody waits for any more is left out by the engine, or may still read the region: what it makes of
        the next request's frames is thrown away. One whose time was up is another matter, for Triton may never let go.
        """
        self._region.end_turn()
        self._decoding.end("given-up")
        for step in self._inferring.values():
            step.end("given-up")
        if self._has_timed_out and self._handoff == "system_shm":
            self._lane.quarantine()
        if self._decoder.busy:
            self._let_go_of_decoder()
        self._lane.renew_worn_decoder()

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

    def _infer(self, call: Call) -> None:
        responses, wake = self._responses, self._lane.wake

        def on_inferred(probabilities: Probabilities | None, version: str, error: CliplaneError | None) -> None:
            responses.append(_Response(call.first, probabilities, version, error))
            os.eventfd_write(wake, 1)

        self._clock.calling(is_calling=True)
        step = self._lane.trace.begin("infer", first=call.first, views=call.views, handoff=self._handoff)
        self._inferring[call.first] = step
        self._calls[call.first] = time.monotonic() + self._lane.settings.infer_timeout_s
        spec, offset = self._place(call.first)
        self._lane.triton.infer(
            spec,
            self._region,
            offset,
            call.views,
            shared=self._handoff == "system_shm",
            request_id=self._job.request_id,
            on_inferred=on_inferred,
            traceparent=step.traceparent,
        )

    def _view_decoded(self, report: wire.View) -> None:
        """For the trace: a view's step is from the end of the one before it."""
        self._view.end(view=report.view, start_s=report.start_s, end_s=report.end_s)
        self._view = self._decoding.begin("view")

    def _progress(self) -> None:
        """Of a request that may last as long as it goes on: what is left of its time begins anew."""
        self._clock.progress()
        self._lane.tell_alive()

    def _take_responses(self) -> Iterator[Event]:
        os.eventfd_read(self._lane.wake)  # perhaps for an inference of an earlier request, that was given up
        while self._responses:
            response = self._responses.popleft()
            del self._calls[response.first]
            self._inferring.pop(response.first).end(response.error.type if response.error else "")
            if response.probabilities is not None:
                self._version = response.version
                yield from self._take_views(response.first, response.probabilities)
            elif isinstance(response.error, RegionLost):
                self._schedule.lost(response.first)
            elif response.error is not None:
                raise response.error
            self._clock.calling(is_calling=self._schedule.is_calling())
        if self._schedule.is_stranded():
            # Triton has restarted since. The views are still in the region: once more, by either way.
            self._handoff = "system_shm" if self._lane.register_again() else "grpc"
            self._schedule.resume()


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
