"""The web container's first process: checks the settings, writes what nginx needs of them, becomes supervisord."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shutil
import sys

import structlog

from cliplane import logs
from cliplane.intake import spool
from cliplane.jobs import webhook_rules
from cliplane.jobs.wake import FIFO
from cliplane.kernel import walls
from cliplane.kernel.cpus import available_cpus, available_memory
from cliplane.ops import sizing, tls
from cliplane.ops.front import nginx_server, nginx_settings
from cliplane.paths import RUN
from cliplane.settings import SettingsError, read_settings, variable_name
from cliplane.triton.region import SHM

STOP_MARGIN_S = 10
"""supervisord waits so much longer than a request may take: longer than gunicorn does. compose.yaml's stop_grace_period
is longer still."""

log = structlog.get_logger()


def main() -> None:
    logs.configure("info", "boot")
    try:
        settings = read_settings()
        pair = tls.pair()
    except SettingsError as exc:
        log.critical("settings_wrong", detail=str(exc))
        sys.exit(1)
    shm = os.statvfs(SHM)
    sizes = sizing.sizes(settings, available_cpus(), available_memory(), shm.f_blocks * shm.f_frsize)
    settings = sizing.settle(settings, sizes)
    os.environ["CLIPLANE_LANES"] = str(settings.lanes)  # both gunicorns read it
    release = {name: os.environ.get(name.upper()) for name in ("image_tag", "image_commit", "colour")}
    log.info("release", cliplane=importlib.metadata.version("cliplane"), **release)
    log.info("settings", **settings.variables())
    log.info("sizes", **dataclasses.asdict(sizes))
    walls.close_ipc_calls()
    if settings.triton_is_here:
        ports = webhook_rules.ports(settings.webhook_hosts)
        closed = f"closed but for webhooks: {sorted(ports)}" if ports else "closed"
        # Without it gunicorn's processes have no socket for TCP all the same; nginx has, and who sends webhooks.
        log.info("walls", tcp_connect=closed if walls.close_tcp(ports) else "open to nginx: no Landlock in this kernel")
    metrics = RUN / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    FIFO.unlink(missing_ok=True)
    os.mkfifo(FIFO, 0o660)
    if not settings.spool_bytes:
        settings = dataclasses.replace(settings, spool_bytes=spool.budget_bytes())
        os.environ[variable_name("spool_bytes")] = str(settings.spool_bytes)
    say = log.info if settings.spool_bytes >= spool.floor_bytes(settings) else log.warning
    say("spool", bytes=settings.spool_bytes, floor_bytes=spool.floor_bytes(settings))  # with less than that: not ready
    (RUN / "nginx-settings.conf").write_text(nginx_settings(settings))
    (RUN / "nginx-server.conf").write_text(nginx_server(pair, settings.path_prefix))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    os.environ["STOP_WAIT_S"] = f"{settings.request_timeout_s + STOP_MARGIN_S:.0f}"
    os.execvp("supervisord", ["supervisord", "-c", "/etc/supervisor/supervisord.conf"])


if __name__ == "__main__":
    main()
