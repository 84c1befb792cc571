"""The Flask app of a gunicorn worker. `create_app` is the only place that wires the modules together.

Imports point down, from room to room: docs/architecture.md names the rooms, pyproject.toml their order.
"""

from __future__ import annotations

import importlib.metadata
import uuid
from typing import Literal

import structlog
from flask import Flask, Response, g, request

from cliplane import logs, metrics
from cliplane.control import refusals, series
from cliplane.control import routes as control
from cliplane.control.janitor import Janitor
from cliplane.control.patience import Patience
from cliplane.control.readiness import Readiness
from cliplane.http import problems, routes
from cliplane.jobs import routes as job_routes
from cliplane.kernel import landlock
from cliplane.lane.lane import Lane
from cliplane.settings import Settings, read_settings
from cliplane.triton.client import Triton

log = structlog.get_logger()


def create_app(plane: Literal["lanes", "control"], settings: Settings | None = None) -> Flask:
    """The app of one gunicorn worker: a lane, or the control plane. Made after the fork, for gRPC's sake.

    Raises:
        SettingsError: a `CLIPLANE_*` variable is wrong.
    """
    settings = settings or read_settings()
    logs.configure(settings.log_level, plane)
    app = Flask(__name__, static_folder=None)
    triton = Triton(settings.triton_grpc)
    app.extensions |= {"settings": settings, "triton": triton}
    if plane == "lanes":
        lane = app.extensions["lane"] = Lane(settings, triton)
        app.extensions["spec_of"] = triton.spec
        if settings.otlp_grpc:
            from cliplane.http.tracing import Tracing  # else not even imported

            app.extensions["tracing"] = tracing = Tracing(settings.otlp_grpc, importlib.metadata.version("cliplane"))
            tracing.install(app, lane)
    else:
        patience = Patience()
        app.extensions |= {"readiness": Readiness(settings, triton), "patience": patience}
        app.extensions["spec_of"] = lambda model: patience.ask(triton.spec, model)
        app.extensions["janitor"] = Janitor(triton)
        series.begin(settings, importlib.metadata.version("cliplane"))
        refusals.count()
        _tell_walls()
        app.register_blueprint(control.blueprint)
        app.register_blueprint(job_routes.blueprint)
    app.register_blueprint(routes.blueprint)
    problems.install(app)
    app.before_request(_name_request)
    app.after_request(_echo_request_id)
    return app


def _tell_walls() -> None:
    """A kernel without Landlock leaves the decoder one wall less: said once, not only when somebody asks /version."""
    version = landlock.version()
    metrics.LANDLOCK.set(version)
    if version == 0:
        log.warning("landlock_missing")


def _name_request() -> None:
    # nginx always sends one; a direct caller may not.
    g.request_id = request.headers.get("X-Request-ID") or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _echo_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    return response
