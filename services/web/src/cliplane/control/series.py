"""Every series that can be known beforehand, from the start and at zero: a rate over the first problem of a kind needs
the zero before it."""

from __future__ import annotations

import os
from typing import get_args

from cliplane import errors, metrics
from cliplane.control.refusals import OUTCOMES
from cliplane.decoder.wire import DoubtKind
from cliplane.lane.journal import CLASSIFIED, CLIENT_GONE, SEGMENTED
from cliplane.settings import Settings

STAGES = ("spool", "decode", "infer", "total")
"""Of `timing_ms` in an answer."""


def problem_types() -> list[str]:
    """Of the lanes and of nginx. Those of the control plane alone are among them: they are few, and stay at zero."""
    return sorted({*errors.types(), *OUTCOMES})


def begin(settings: Settings, version: str) -> None:
    """For the control plane's start."""
    metrics.BUILD_INFO.labels(
        version,
        os.environ.get("IMAGE_COMMIT", ""),
        os.environ.get("IMAGE_TAG", ""),
    ).set(1)
    for type_ in problem_types():
        metrics.REQUESTS.labels("", type_)
        metrics.PROBLEMS.labels(type_, "")
    metrics.REQUESTS.labels("", CLIENT_GONE)
    model = settings.default_model  # of the others the first request is the first sample
    for outcome in (CLASSIFIED, SEGMENTED):
        metrics.REQUESTS.labels(model, outcome)
    metrics.VIEWS.labels(model)
    metrics.VIEWS_SAVED.labels(model)
    for outcome in get_args(metrics.JobOutcome):
        metrics.JOBS.labels(outcome)
    for outcome in get_args(metrics.WebhookOutcome):
        metrics.WEBHOOKS.labels(outcome)
    for handoff in ("system_shm", "grpc"):
        metrics.HANDOFFS.labels(handoff)
    for stage in STAGES:
        metrics.STAGE_SECONDS.labels(stage)
    for kind in get_args(DoubtKind):
        metrics.WARNINGS.labels(kind)
    for reason in get_args(metrics.DecoderReason):
        metrics.DECODERS_REPLACED.labels(reason)
