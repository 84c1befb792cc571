"""The routes of the control plane: health, versions, models, metrics, the API's description. No lane is asked."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from cliplane import metrics
from cliplane.errors import TritonUnavailable
from cliplane.readiness import Readiness
from cliplane.triton import ModelSpec, Triton

blueprint = Blueprint("control", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    return jsonify(status="live")


@blueprint.get("/readyz")
def readyz() -> Response:
    readiness: Readiness = current_app.extensions["readiness"]
    ready = readiness.check()
    return jsonify(status="ready", model=ready.model, version=ready.version, handoff=ready.handoff)


@blueprint.get("/version")
def version() -> Response:
    triton: Triton = current_app.extensions["triton"]
    try:
        server = triton.server_version()
    except TritonUnavailable:
        server = None  # our own version is known whether Triton answers or not
    return jsonify(cliplane=importlib.metadata.version("cliplane"), triton=server)


@blueprint.get("/v1/models")
def models() -> Response:
    triton: Triton = current_app.extensions["triton"]
    default = current_app.extensions["settings"].default_model
    return jsonify(default=default, models=[_description(spec) for spec in triton.models()])


@blueprint.get("/openapi.json")
def openapi() -> Response:
    document = json.loads(importlib.resources.files("cliplane").joinpath("openapi.json").read_text())
    (views,) = (p for p in document["paths"]["/v1/classify"]["post"]["parameters"] if p["name"] == "views")
    views["schema"]["anyOf"][0]["maximum"] = current_app.extensions["settings"].max_views
    return Response(json.dumps(document), mimetype="application/json")


@blueprint.get("/metrics")
def exposition() -> Response:
    return Response(metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _description(spec: ModelSpec) -> dict[str, Any]:
    sampling = spec.sampling
    return {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "labels": spec.labels,
        "sampling": {
            "clip_length": sampling.clip_length,
            "temporal_stride": sampling.temporal_stride,
            "frame_rate": sampling.frame_rate or None,
            "short_side": sampling.short_side,
            "crop": [sampling.crop_height, sampling.crop_width],
            "clips": sampling.clips,
            "crops": sampling.crops,
            "views": sampling.views,
        },
    }
