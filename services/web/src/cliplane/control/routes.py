"""The routes of the control plane: health, versions, models, metrics, the API's description. No lane is asked."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.resources
import json
import os
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from cliplane import metrics
from cliplane.control.gpu import GpuStatistics
from cliplane.control.levels import Account, Levels
from cliplane.control.patience import Patience
from cliplane.control.readiness import Readiness
from cliplane.control.statistics import TritonStatistics
from cliplane.errors import CliplaneError, TritonUnavailable
from cliplane.intake import spool
from cliplane.jobs.levels import JobLevels
from cliplane.kernel import landlock
from cliplane.kernel.cpus import available_cpus, available_memory
from cliplane.ops import sizing
from cliplane.settings import Settings
from cliplane.triton.client import Triton
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.region import SHM

blueprint = Blueprint("control", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    return jsonify(status="live")


@blueprint.get("/readyz")
def readyz() -> Response:
    readiness: Readiness = current_app.extensions["readiness"]
    ready = _patience().ask(readiness.check)
    spool.check_room(current_app.extensions["settings"], _promised_bytes())
    return jsonify(status="ready", model=ready.model, version=ready.version, handoff=ready.handoff)


@blueprint.get("/version")
def version() -> Response:
    triton: Triton = current_app.extensions["triton"]
    server, served = None, []  # our own version is known whether Triton answers or not
    with contextlib.suppress(TritonUnavailable):
        server, served = _patience().ask(triton.server_version), _patience().ask(triton.models)
    shm = os.statvfs(SHM)
    sizes = sizing.sizes(
        current_app.extensions["settings"], available_cpus(), available_memory(), shm.f_blocks * shm.f_frsize
    )
    return jsonify(
        cliplane=importlib.metadata.version("cliplane"),
        # The image's build says these two; an image that was built without `make` says neither.
        commit=os.environ.get("IMAGE_COMMIT") or None,
        image=os.environ.get("IMAGE_TAG") or None,
        triton=server,
        landlock=landlock.version(),
        models={spec.name: spec.version for spec in served},
        sizes=dataclasses.asdict(sizes),
    )


@blueprint.get("/v1/models")
def models() -> Response:
    triton: Triton = current_app.extensions["triton"]
    default = current_app.extensions["settings"].default_model
    return jsonify(default=default, models=[_description(spec) for spec in _patience().ask(triton.models)])


@blueprint.get("/openapi.json")
def openapi() -> Response:
    document = json.loads(importlib.resources.files("cliplane").joinpath("openapi.json").read_text())
    (views,) = (p for p in document["paths"]["/v1/classify"]["post"]["parameters"] if p["name"] == "views")
    views["schema"]["anyOf"][0]["maximum"] = current_app.extensions["settings"].max_views
    return Response(json.dumps(document), mimetype="application/json")


@blueprint.get("/metrics")
def exposition() -> Response:
    settings: Settings = current_app.extensions["settings"]
    account = Account(
        promised_bytes=_promised_bytes(),
        uploads=int(request.headers.get("X-Uploads-Under-Way", 0)),
        whole=int(request.headers.get("X-Uploads-Whole", 0)),
        is_ready=_is_ready(),
    )
    found = metrics.of_all_processes()
    levels = Levels(settings, account, int(metrics.total(found, "cliplane_lanes_busy")))
    patience, triton = _patience(), current_app.extensions["triton"]
    of_triton = TritonStatistics(lambda: patience.ask(triton.statistics))
    text = metrics.exposition(found, levels, JobLevels(), of_triton, GpuStatistics())
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _is_ready() -> bool:
    """What /readyz says."""
    try:
        readyz()
    except CliplaneError:
        return False
    return True


def _patience() -> Patience:
    patience: Patience = current_app.extensions["patience"]
    return patience


def _promised_bytes() -> int:
    """What the requests that are here hold of the spool, or may yet; nginx says it with each question."""
    return int(request.headers.get("X-Spool-Promised", 0))


def _description(spec: ModelSpec) -> dict[str, Any]:
    sampling = spec.sampling
    return {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "labels": spec.labels,
        "multi_label": spec.is_multi_label,
        "thresholds": dict(zip(spec.labels, spec.thresholds, strict=True)) if spec.thresholds else None,
        "measured": dataclasses.asdict(spec.measured) if spec.measured else None,
        "descriptions": {label: spec.label_descriptions.get(label, "") for label in spec.labels},
        "sampling": {
            "clip_length": sampling.clip_length,
            "mode": sampling.mode,
            "temporal_stride": sampling.temporal_stride,
            "frame_rate": sampling.frame_rate or None,
            "short_side": sampling.short_side,
            "fit": sampling.fit,
            "crop": [sampling.crop_height, sampling.crop_width],
            "clips": sampling.clips,
            "crops": sampling.crops,
            "views": sampling.views,
        },
    }
