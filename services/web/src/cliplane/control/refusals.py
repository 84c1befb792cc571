"""Requests that nginx ends itself, since no lane has answered them, and those with a key: it names each on a socket,
and they are counted beside what the lanes count."""

from __future__ import annotations

import contextlib
import socket
import threading

from cliplane import metrics
from cliplane.paths import RUN

SOCKET = RUN / "refusals.sock"
"""Where nginx writes to: `access_log` in nginx.conf."""

OUTCOMES = (
    "bad-request",
    "unauthorized",
    "address-too-long",
    "cross-site",
    "too-many-requests",
    "spool-full",
    "unknown-upload",
    "upload-offset",
    "tus-version",
    "upload-too-slow",
    "body-too-large",
    "misdirected",
    "internal-error",
    "lane-died",
    "busy",
    "starting",
    "out-of-time",
)
"""What `nginx/problems.conf` puts into `$cliplane_refusal`."""


def count() -> None:
    """Count from now on, on a thread of its own."""
    with contextlib.suppress(FileNotFoundError):
        SOCKET.unlink()  # of a process that is no more
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(SOCKET))
    threading.Thread(target=_count, args=(receiver,), daemon=True).start()


def _count(receiver: socket.socket) -> None:
    while True:
        # As syslog has it: "<190>Nov 26 07:00:00 nginx: busy:camera-7:503".
        match receiver.recv(1024).decode(errors="replace").rpartition(" ")[2].split(":"):
            case [outcome, key, status] if status.isdecimal():
                _count_one(outcome, key, status)
            # What has another form is not nginx's: a lane that somebody took over could end this thread with it.


def _count_one(outcome: str, key: str, status: str) -> None:
    if outcome in OUTCOMES:
        metrics.REQUESTS.labels("", outcome).inc()
        metrics.PROBLEMS.labels(outcome, key).inc()
    if key:  # one of the file's: nginx names no other
        metrics.KEY_REQUESTS.labels(key, status).inc()
