"""The process `jobs` of supervisord.conf: `python -m cliplane.jobs`, standard input being what lanes write to.

Starts with little: what decodes and infers is loaded at the first job. Webhooks are sent by a thread, where there are
hosts to send them to: then this process has TCP, to their ports alone (boot.py), and UDP for their names; else, as the
lanes, no sockets but unix ones.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time

import structlog

from cliplane import logs
from cliplane.errors import JobsFull, JobsUnavailable
from cliplane.jobs.runner import Runner
from cliplane.kernel import walls
from cliplane.settings import read_settings

log = structlog.get_logger()

LOOK_FOR_WEBHOOKS_S = 1.0


def main() -> None:
    settings = read_settings()
    logs.configure(settings.log_level, "jobs")
    os.umask(0o007)
    if settings.webhook_hosts:
        walls.close_datagrams(but_udp=True)
        threading.Thread(target=_deliver, args=(settings.webhook_hosts,), name="webhooks", daemon=True).start()
    elif settings.triton_is_here:
        walls.close_sockets()
    # A job has its own time; a lane knows one name for it.
    settings = dataclasses.replace(settings, request_timeout_s=settings.job_timeout_s)
    try:
        runner = Runner(settings, sys.stdin.fileno())
    except OSError as exc:
        log.error("jobs_unavailable", error=JobsUnavailable.type, detail=f"/jobs: {os.strerror(exc.errno or 0)}")
        time.sleep(10)  # supervisord starts it again
        sys.exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    runner.run()


def _deliver(hosts: str) -> None:
    from cliplane.jobs.store import Store
    from cliplane.jobs.webhook import deliver_due

    store = Store()
    while True:
        try:
            while deliver_due(store, hosts):
                pass
        except (JobsFull, JobsUnavailable) as error:
            log.error("jobs_unavailable", error=error.type, detail=error.detail)
        except Exception:  # the next one must go out, whatever this one met
            log.exception("webhook_broke")
        time.sleep(LOOK_FOR_WEBHOOKS_S)


if __name__ == "__main__":
    main()
