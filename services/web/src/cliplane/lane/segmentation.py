"""The use case of labels over time: windows slide over a whole video, and their scores become segments.

A video may last hours. Each frame is decoded once, windows go through the region as through a ring (`ring.py`), and
nothing is kept but the segments. How windows go through a lane is `run.py`, what makes segments `segments.py`.

A request has no time limit of its own: it ends when it has made no progress for as long as another may last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs, to_builtins

from cliplane.decoder import wire
from cliplane.errors import BadQuery, OverLimit
from cliplane.lane import long_requests
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Request
from cliplane.lane.run import Event, Run
from cliplane.policy.averaging import top_predictions
from cliplane.policy.ring import Ring, max_overlap
from cliplane.policy.segments import Segment, Segmenter
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.responses import Probabilities

MAX_WINDOWS = 20_000
"""Of a request: two hours, one each third of a second."""

MAX_SEGMENTS = 20_000
"""Of an answer; what flickers more is no segmentation."""

STRIDE_S, THRESHOLD, MIN_S = 1.0, 0.5, 0.0
"""Where a request says none."""

MAX_S = 3600.0
"""Of a stride, a window or a shortest segment."""

WINDOW_LABELS = 3
"""Best labels in a window's event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsJob(Request):
    """`stride_s`: from a window's start to the next one's. `window_s`: a window's length, for models that spread a clip
    over a whole video, and None for all others. `threshold`, `min_s`: see `segments.py`; no threshold: the model's own,
    label by label, where it has some, else `THRESHOLD`.
    """

    stride_s: float
    window_s: float | None
    threshold: float | None
    min_s: float


def segment(lane: Lane, job: SegmentsJob) -> Generator[Event]:
    """Segment one video, step by step: events "video", "warning" (where something is doubtful), "window" (one each, in
    the order of time), "segment" (one each, as it closes), then "result".

    Raises:
        CliplaneError: every failure, at any step.
        ClientGone: nobody waits for the rest.
    """
    # A job keeps no lane of the requests' from them.
    with contextlib.nullcontext() if lane.is_for_jobs else long_requests.admitted(lane.settings.lanes):
        spec = lane.spec(job.model)
        if spec.sampling.mode == "stride" and job.window_s is not None:
            raise BadQuery(f"window_s: a window of {spec.name} is as long as its clip")
        if spec.sampling.mode != "stride" and job.window_s is None:
            raise BadQuery(f"window_s is needed: {spec.name} spreads a clip over all that it is given")
        run = _Run(lane, job, replace(spec, sampling=replace(spec.sampling, clips=1, crops=1)))
        try:
            yield from run.events()
        finally:
            run.close()


class _Run(Run[Ring]):
    """One job's way through a lane. Which window comes next is `ring.py`'s to say."""

    _job: SegmentsJob

    def __init__(self, lane: Lane, job: SegmentsJob, spec: ModelSpec) -> None:
        super().__init__(lane, job, spec)
        self._thresholds = job.threshold or spec.thresholds or THRESHOLD
        classes = len(spec.labels)
        self._segmenter = Segmenter(classes, stride_s=job.stride_s, thresholds=self._thresholds, min_s=job.min_s)
        self._video: dict[str, Any] = {}
        self._warnings: list[dict[str, str]] = []
        self._windows = 0
        self._segments: list[Segment] = []
        # Of windows that are decoded and not delivered, by number: no more than there are slots.
        self._shown: dict[int, wire.View] = {}
        self._scores: dict[int, npt.NDArray[np.float32]] = {}

    def _new_schedule(self, *, is_shared: bool) -> Ring:
        slots = self._region.byte_size // self._spec.sampling.view_bytes
        if slots == 0:
            raise BadQuery(f"a window of {self._spec.name} is larger than CLIPLANE_REGION_BYTES")
        return Ring(slots, self._spec.max_batch_size)

    def _order(self) -> wire.Job:
        job, settings, slots = self._job, self._lane.settings, self._schedule.slots
        return wire.Job(
            span=job.span,
            sampling=self._spec.sampling,
            limits=settings.decoder_limits(),
            threads=self._threads,
            coarse_to_fine=False,
            cpu_s=settings.request_timeout_s * self._threads,
            sliding=wire.Sliding(job.stride_s, job.window_s, slots, MAX_WINDOWS, max_overlap(slots)),
        )

    def _take_report(self) -> Iterator[Event]:
        self._progress()
        match report := self._decoder.report():
            case wire.Video():
                self._windows = report.views
                self._video = {"container": self._job.container, **to_builtins(report.facts)}
                yield Event("video", {**self._video, "windows": self._windows})
            case wire.Doubt():
                self._warnings.append({"type": report.kind, "detail": report.detail})
                yield Event("warning", self._warnings[-1])
            case wire.View():
                self._view_decoded(report)
                self._schedule.window_decoded()
                self._shown[report.view] = report
                self._video |= structs.asdict(report.effort)
            case wire.LeftOut():
                yield from self._deliver(self._schedule.window_left_out())
            case wire.End():
                self._video |= structs.asdict(report.effort)
                self._schedule.decoding_ended()
                self._clock.decoding_ended()

    def _take_views(self, first: int, probabilities: Probabilities) -> Iterator[Event]:
        self._progress()
        windows, deliverable = self._schedule.inferred(first)
        self._scores.update(zip(windows, probabilities, strict=True))
        yield from self._deliver(deliverable)

    def _deliver(self, windows: list[int]) -> Iterator[Event]:
        if self._decoder.busy and (credit := self._schedule.new_credit()) is not None:
            self._decoder.give_credit(credit)  # before the events, which a client may be slow to take
        for window in windows:
            shown, scores = self._shown.pop(window), self._scores.pop(window)
            predictions = top_predictions(scores, self._spec.labels, WINDOW_LABELS)
            yield Event(
                "window",
                {"window": window, "start_s": shown.start_s, "end_s": shown.end_s, "predictions": predictions},
            )
            yield from self._closed(self._segmenter.add(window, shown.start_s, shown.end_s, scores))

    def _closed(self, segments: list[Segment]) -> Iterator[Event]:
        self._segments += segments
        if len(self._segments) > MAX_SEGMENTS:
            raise OverLimit(f"more than {MAX_SEGMENTS} segments: a higher threshold or min_s has fewer")
        for segment in segments:
            yield Event("segment", self._named(segment))

    def _named(self, segment: Segment) -> dict[str, Any]:
        return {**segment._asdict(), "label": self._spec.labels[segment.label]}

    def _last_events(self) -> Iterator[Event]:
        yield from self._closed(self._segmenter.end(self._windows, self._video["duration_s"]))

    def _result(self) -> dict[str, Any]:
        job = self._job
        return {
            "request_id": job.request_id,
            "model": self._spec.name,
            "version": self._version,
            "handoff": self._handoff,
            "stride_s": job.stride_s,
            "threshold": self._thresholds if isinstance(self._thresholds, float) else None,
            "min_s": job.min_s,
            "windows": self._windows,
            "segments": [self._named(segment) for segment in sorted(self._segments, key=_by_time)],
            "video": self._video,
            "warnings": self._warnings,
            "timing_ms": self._clock.timing_ms(job.spool_ms),
        }


def _by_time(segment: Segment) -> tuple[float, int]:
    return segment.start_s, segment.label
