"""gunicorn, for both planes: PLANE=lanes (sync workers, one lane each) or PLANE=control (one worker, threads).

The hooks clean up after dead workers. They run in the arbiter, which forks, so they must not touch gRPC.
"""

import os
import signal
from typing import Any

from cliplane import logs, metrics
from cliplane.control.patience import THREADS
from cliplane.decoder.sandbox import die_with_parent
from cliplane.kernel import walls
from cliplane.paths import RUN
from cliplane.settings import GRACEFUL_MARGIN_S, read_settings
from cliplane.triton import region

settings = read_settings()
plane = os.environ["PLANE"]

bind = f"unix:{RUN}/{plane}.sock"
umask = 0o007
wsgi_app = f"cliplane.app:create_app({plane!r})"
limit_request_line = 0  # nginx has limited both, and says so in the form of all other errors
limit_request_field_size = 0
if plane == "lanes":
    workers = settings.lanes
    worker_class = "sync"
    # The kernel's listen queue is the queue. Requests whose clients have left stay in it until a lane takes them, so it
    # has room for many such; how many others may wait, uploads.lua counts, and says 503 at once.
    backlog = settings.queue + 2048
else:
    workers = 1
    worker_class = "gthread"
    threads = THREADS
# A lane that does not come back from a request is killed; a request itself ends earlier, by its own deadline.
timeout = int(settings.request_timeout_s) + GRACEFUL_MARGIN_S
graceful_timeout = int(settings.request_timeout_s) + GRACEFUL_MARGIN_S
worker_tmp_dir = str(RUN)  # heartbeats: never on a disk that can stall
control_socket_disable = True
logconfig_dict = logs.stdlib_config(settings.log_level, plane)


def on_starting(server: Any) -> None:
    if settings.triton_is_here:
        walls.close_sockets()
    _sweep(server)


def post_fork(server: Any, worker: Any) -> None:
    # An orphan would keep its region and answer on a socket that nobody listens to any more.
    die_with_parent(signal.SIGTERM)


def post_worker_init(worker: Any) -> None:
    if plane == "lanes":
        worker.wsgi.extensions["lane"].tell_alive = worker.notify
    else:
        worker.wsgi.extensions["worker"] = worker  # whether it is to end
    worker.log.info("%s worker ready", plane)


if plane == "lanes":

    def pre_request(worker: Any, req: Any) -> None:
        metrics.LANES_BUSY.set(1)

    def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
        metrics.LANES_BUSY.set(0)


def worker_exit(server: Any, worker: Any) -> None:
    extensions = getattr(worker.wsgi, "extensions", {})
    for name in ("janitor", "lane", "readiness", "triton", "tracing"):
        if name in extensions:
            extensions[name].close()


def child_exit(server: Any, worker: Any) -> None:
    metrics.forget_process(worker.pid)
    _sweep(server)


def _sweep(server: Any) -> None:
    if swept := region.sweep():
        metrics.REGIONS_SWEPT.inc(len(swept))
        server.log.info("swept regions of dead workers: %s", ", ".join(swept))
