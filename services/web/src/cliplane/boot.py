"""The web container's first process: checks the settings, writes what nginx needs of them, becomes supervisord."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import structlog

from cliplane import logs
from cliplane.settings import Settings, SettingsError, read_settings

RUN = Path("/run/cliplane")

# Each waits longer than the one inside it: request < gunicorn's graceful timeout < supervisord's stopwaitsecs.
# compose.yaml's stop_grace_period is the outermost.
GRACEFUL_MARGIN_S = 5
STOP_MARGIN_S = 10

log = structlog.get_logger()


def nginx_limits(settings: Settings) -> str:
    """The part of nginx's configuration that follows the settings."""
    return (
        f"client_max_body_size {settings.max_upload_bytes};\n"
        f"proxy_read_timeout {settings.request_timeout_s + GRACEFUL_MARGIN_S:.0f}s;\n"
    )


def main() -> None:
    logs.configure("info", "boot")
    try:
        settings = read_settings()
    except SettingsError as exc:
        log.critical("settings_wrong", detail=str(exc))
        sys.exit(1)
    log.info("settings", **settings.variables())
    metrics = RUN / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    (RUN / "nginx-limits.conf").write_text(nginx_limits(settings))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    os.environ["STOP_WAIT_S"] = f"{settings.request_timeout_s + STOP_MARGIN_S:.0f}"
    os.execvp("supervisord", ["supervisord", "-c", "/etc/supervisor/supervisord.conf"])


if __name__ == "__main__":
    main()
