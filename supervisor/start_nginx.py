"""Start nginx on a clean floor, then become it.

A master that was killed leaves workers, which hold the port, and spool files, which nobody will delete.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from cliplane import walls
from cliplane.paths import SPOOL


def orphans() -> list[int]:
    """nginx processes of this container; there should be none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == "nginx":
                found.append(int(folder.name))
    return found


def main() -> None:
    deadline = time.monotonic() + 5
    while (left := orphans()) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for file in SPOOL.rglob("*"):
        if file.is_file():
            file.unlink(missing_ok=True)
    # It listens, and speaks to unix sockets alone; whatever others of this container may need.
    walls.close_datagrams()
    walls.close_tcp()
    os.execv("/usr/sbin/nginx", ["nginx", "-c", "/etc/nginx/nginx.conf"])


if __name__ == "__main__":
    main()
