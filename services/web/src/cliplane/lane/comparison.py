"""The use case of several models' answers to one video: `model=a,b`. The video is decoded once, and the lane's region
is divided among the models; each has its sampling, its labels and its views. How they go through a lane is `run.py`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from msgspec import structs, to_builtins

from cliplane.decoder import wire
from cliplane.errors import BadQuery
from cliplane.lane.findings import Findings, findings
from cliplane.lane.lane import Lane
from cliplane.lane.requests import AUTO, Job
from cliplane.lane.run import Event, Run
from cliplane.policy.sampling import Sampling, split_views
from cliplane.policy.schedules import Schedules
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.responses import Probabilities

MAX_MODELS = 8


def compare(lane: Lane, job: Job) -> Generator[Event]:
    """Classify one video by each of the models, step by step: events "video", "warning", "view" (one each, with its
    model), then "result".

    Raises:
        CliplaneError: every failure, at any step. One model's fails the request.
        ClientGone: nobody waits for the rest.
    """
    found = [lane.spec(name) for name in job.models]
    if len(set(job.models)) < len(found):
        raise BadQuery("model: one of them is named twice")
    if job.views == AUTO:
        raise BadQuery("views=auto is of one model: how many views are enough differs between them")
    if lane.settings.reader != "pyav":
        raise BadQuery("several models need CLIPLANE_READER=pyav")
    specs = []
    for spec in found:
        clips, crops = split_views(job.views or spec.sampling.views, spec.sampling.crops)
        sampling = replace(spec.sampling, clips=clips, crops=crops)
        if sampling.views > lane.settings.max_views:
            raise BadQuery(f"views={sampling.views} of {spec.name}: at most {lane.settings.max_views}")
        specs.append(replace(spec, sampling=sampling))
    offsets([spec.sampling for spec in specs], lane.settings.region_bytes)
    run = _Run(lane, job, specs)
    try:
        yield from run.events()
    finally:
        run.close()


def offsets(samplings: Sequence[Sampling], region_bytes: int) -> list[int]:
    """Where in the region each model's views begin: one model's behind the other's.

    Raises:
        BadQuery: they do not fit, and how many bytes they are.
    """
    *starts, needed = accumulate((cut.views * cut.view_bytes for cut in samplings), initial=0)
    if needed > region_bytes:
        views = " + ".join(str(cut.views) for cut in samplings)
        raise BadQuery(
            f"{views} views of these models are {needed} bytes, CLIPLANE_REGION_BYTES={region_bytes}: "
            "ask for fewer views"
        )
    return starts


class _Run(Run[Schedules]):
    """One job's way through a lane. Which view of which model comes next is `schedules.py`'s to say."""

    _job: Job

    def __init__(self, lane: Lane, job: Job, specs: Sequence[ModelSpec]) -> None:
        self._specs = specs
        self._offsets = offsets([spec.sampling for spec in specs], lane.settings.region_bytes)
        self._findings: list[Findings] = [findings(job, spec) for spec in specs]
        self._versions = [spec.version for spec in specs]
        self._video: dict[str, Any] = {}
        self._warnings: list[dict[str, str]] = []
        super().__init__(lane, job, specs[0])

    def _new_schedule(self, *, is_shared: bool) -> Schedules:
        views = [spec.sampling.views for spec in self._specs]
        return Schedules(views, [spec.max_batch_size for spec in self._specs], is_shared=is_shared)

    def _order(self) -> wire.Job:
        job, settings = self._job, self._lane.settings
        first, *others = (
            wire.Cut(spec.sampling, offset) for spec, offset in zip(self._specs, self._offsets, strict=True)
        )
        return wire.Job(
            span=job.span,
            sampling=first.sampling,
            limits=settings.decoder_limits(),
            threads=self._threads,
            coarse_to_fine=False,
            cpu_s=settings.request_timeout_s * self._threads,
            others=tuple(others),
        )

    def _place(self, slot: int) -> tuple[ModelSpec, int]:
        model, own = self._schedule.place(slot)
        spec = self._specs[model]
        return spec, self._offsets[model] + own * spec.sampling.view_bytes

    def _take_report(self) -> Iterator[Event]:
        match report := self._decoder.report():
            case wire.Video():
                for schedule, views in zip(self._schedule.models, (report.views, *report.others), strict=True):
                    schedule.plan(views)
                self._video = {"container": self._job.container, **to_builtins(report.facts)}
                yield Event("video", dict(self._video))
            case wire.Doubt():
                self._warnings.append({"type": report.kind, "detail": report.detail})
                yield Event("warning", self._warnings[-1])
            case wire.View():
                self._schedule.models[report.model].view_decoded()
                self._findings[report.model].add_view(report)
                self._video |= structs.asdict(report.effort)
            case wire.LeftOut():
                schedule = self._schedule.models[report.model]
                schedule.plan(schedule.views - 1)
            case wire.End():
                self._video |= structs.asdict(report.effort)
                self._schedule.decoding_ended()
                self._clock.decoding_ended()

    def _take_views(self, first: int, probabilities: Probabilities) -> Iterator[Event]:
        model, own = self._schedule.place(first)
        self._versions[model] = self._version
        self._findings[model].add_probabilities(own, probabilities)
        for slot in self._schedule.inferred(first).slots:
            yield Event("view", {"model": self._specs[model].name, **self._findings[model].view_event(slot)})

    def _result(self) -> dict[str, Any]:
        answers = []
        for spec, version, found, schedule in zip(
            self._specs, self._versions, self._findings, self._schedule.models, strict=True
        ):
            answers.append({"model": spec.name, "version": version, **found.answer(schedule.delivered)})
        return {
            "request_id": self._job.request_id,
            "answers": answers,
            "handoff": self._handoff,
            "video": self._video,
            "warnings": self._warnings,
            "timing_ms": self._clock.timing_ms(self._job.spool_ms),
        }
