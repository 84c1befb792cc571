"""One release takes over from another: what `host/upgrade` does inside the web containers of both.

`python -m cliplane.ops.takeover open HOST:PORT`: nginx starts anew, with the listener that is now this release's.
Prints the address at which this release answers from now on.
`python -m cliplane.ops.takeover close`: … and without it, for it is another's again.
`python -m cliplane.ops.takeover leave`: clients are told to make new connections, and have, or no longer use theirs.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from cliplane.ops import doctor, listener
from cliplane.ops.wait import say_where
from cliplane.paths import LEAVING, NGINX, RUN

PATIENCE_S = 30.0

MAX_IDLE_S = 10.0
"""How long a connection may be idle before it is closed on its client; whoever asks again is told to come anew."""


def restart_nginx() -> None:
    """Does not wait until it has run for startsecs."""
    transport = SupervisorTransport(None, None, f"unix://{RUN}/supervisor.sock")
    supervisor = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    supervisor.supervisor.stopProcess("nginx")
    supervisor.supervisor.startProcess("nginx", False)


def nginx_has(inode: int) -> bool:
    """Whether a worker of nginx has this socket open: the listener is of another network, and not in /proc/net here."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if "nginx: worker" in (folder / "cmdline").read_text():
                return any(str(fd.readlink()) == f"socket:[{inode}]" for fd in (folder / "fd").iterdir())
    return False


def idle_connections() -> int:
    """Connections of clients that wait for nothing.

    Raises:
        OSError: nginx does not tell.
    """
    with socket.socket(socket.AF_UNIX) as nginx:
        nginx.settimeout(5)
        nginx.connect(str(NGINX))
        nginx.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = http.client.HTTPResponse(nginx)
        answer.begin()
        found = re.search(rb"Waiting: (\d+)", answer.read())
    return int(found[1]) if found else 0


def wait(until: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in that time."""
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_answering() -> bool:
    with contextlib.suppress(OSError):
        return doctor.ask("/livez")[0] == 200
    return False


def main() -> None:
    wish = sys.argv[1]
    if wish == "leave":
        LEAVING.touch()
        with contextlib.suppress(OSError):
            wait(lambda: idle_connections() == 0, MAX_IDLE_S)
        return
    restart_nginx()
    if wish == "close":
        return
    listening, _, _ = listener.take()
    inode = os.fstat(listening).st_ino
    if not wait(lambda: nginx_has(inode) and _is_answering(), PATIENCE_S):
        sys.exit("nginx has not got the listening socket")
    say_where(sys.argv[2])


if __name__ == "__main__":
    main()
