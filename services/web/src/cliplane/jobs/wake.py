"""Tells this container's runner that there is a job: a fifo, which supervisord.conf's `jobs` reads from."""

from __future__ import annotations

import contextlib
import os

from cliplane.paths import RUN

FIFO = RUN / "jobs.fifo"


def wake_runner() -> None:
    """Without waiting. Where nobody reads, whoever starts next looks for jobs before it waits."""
    with contextlib.suppress(OSError):
        fd = os.open(FIFO, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, b"\n")  # a line, for `read` of a shell
        finally:
            os.close(fd)
