"""Start nginx on a clean floor, with the listening socket of the published port if it is ours, then become it.

A master that was killed leaves workers, which hold the port, and spool files, which nobody will delete.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from cliplane.decoder.sandbox import die_with_parent
from cliplane.kernel import walls
from cliplane.ops import listener, tls
from cliplane.ops.front import listen
from cliplane.paths import NGINX, RUN, SPOOL

WATCH = "read -r _ <&3; kill -TERM $PPID"
"""When the listener's holder has died its port leads nowhere: nginx ends, and is started with the new one."""


def orphans() -> list[int]:
    """nginx processes of this container; there should be none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == "nginx":
                found.append(int(folder.name))
    return found


def watch(holder: socket.socket, listening: int) -> None:
    """A child that ends nginx when the listener's holder ends, and ends with nginx."""
    if os.fork() == 0:
        die_with_parent(signal.SIGKILL)
        os.close(listening)
        os.dup2(holder.fileno(), 3)
        os.set_inheritable(3, True)  # dup2 does nothing to one that is 3 already
        os.execv("/bin/sh", ["watch-listener", "-c", WATCH])


def watch_for_its_absence(colour: str) -> None:
    """A child that ends nginx, to start with the listener, when no other release has it any more."""
    if os.fork() == 0:
        die_with_parent(signal.SIGKILL)
        listener.claim_when_abandoned(colour)
        os.kill(os.getppid(), signal.SIGTERM)
        os._exit(0)


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
    NGINX.unlink(missing_ok=True)
    configuration = ""
    colour = os.environ.get("COLOUR")
    if listener.is_ours(colour):
        listening, holder, _ = listener.take()
        watch(holder, listening)
        # As nginx hands its sockets to its own successor: https://nginx.org/en/docs/control.html#upgrade
        os.set_inheritable(listening, True)
        os.environ["NGINX"] = f"{listening};"
        configuration = listen(listener.PORT, tls.pair())
    elif colour:
        watch_for_its_absence(colour)
    (RUN / "nginx-listener.conf").write_text(configuration)
    # It listens, and speaks to unix sockets alone; whatever others of this container may need.
    walls.close_datagrams()
    walls.close_tcp()
    os.execv("/usr/sbin/nginx", ["nginx", "-c", "/etc/nginx/nginx.conf"])


if __name__ == "__main__":
    main()
