"""The use case of one answer a video: a few views, averaged. How they go through a lane is `run.py`.

Which views go into which call is decided in `schedule.py`, what is known of the video is gathered in `findings.py`.

Views are decoded in the order of time, unless the request leaves their number to us (`views=auto`): then they come
coarse to fine, and end when enough are known.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from msgspec import structs, to_builtins

from cliplane.decoder import wire
from cliplane.errors import BadQuery
from cliplane.lane.findings import findings
from cliplane.lane.lane import Lane
from cliplane.lane.requests import AUTO, Job
from cliplane.lane.run import Event, Run
from cliplane.policy.sampling import split_views
from cliplane.policy.schedule import Schedule
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.responses import Probabilities

AUTO_VIEWS = 10
"""Most views of `views=auto`: the usual count of clips in the literature."""


def classify(lane: Lane, job: Job) -> Generator[Event]:
    """Classify one video, step by step: events "video", "warning" (where something is doubtful), "view" (one each),
    then "result".

    Raises:
        CliplaneError: every failure, at any step.
        ClientGone: nobody waits for the rest.
    """
    spec = lane.spec(job.model)
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


class _Run(Run[Schedule]):
    """One job's way through a lane. Which view comes next is `schedule.py`'s to say."""

    _job: Job

    def __init__(self, lane: Lane, job: Job, spec: ModelSpec) -> None:
        super().__init__(lane, job, spec)
        self._findings = findings(job, spec)

    def _new_schedule(self, *, is_shared: bool) -> Schedule:
        spec = self._spec
        is_auto = self._job.views == AUTO
        return Schedule(spec.sampling.views, spec.max_batch_size, is_auto=is_auto, is_shared=is_shared)

    def _order(self) -> wire.Job:
        job, settings = self._job, self._lane.settings
        return wire.Job(
            span=job.span,
            sampling=self._spec.sampling,
            limits=settings.decoder_limits(),
            threads=self._threads,
            coarse_to_fine=job.views == AUTO,
            cpu_s=settings.request_timeout_s * self._threads,
        )

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
                self._view_decoded(report)
                self._schedule.view_decoded()
                self._findings.add_view(report)
                self._findings.video |= structs.asdict(report.effort)
            case wire.LeftOut():
                self._schedule.plan(self._schedule.views - 1)
            case wire.End():
                self._findings.video |= structs.asdict(report.effort)
                self._schedule.decoding_ended()
                self._clock.decoding_ended()

    def _take_views(self, first: int, probabilities: Probabilities) -> Iterator[Event]:
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
