"""The listening socket behind the published port. It outlives both the release that serves now and the next one.

`python -m cliplane.ops.listener` holds it, in a container of its own, and hands it (SCM_RIGHTS, unix(7)) to each nginx
that asks; no byte of a client passes through here. Must need nothing but the standard library: it is never renewed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time

from cliplane.paths import LISTENER

SOCKET, LIVE = LISTENER / "listener.sock", LISTENER / "live"
"""Where it is asked for, and the colour of the release that takes it: a file, which outlives a restart of the host."""

PORT = 8000
"""Not 8080, which every web container has for itself: so nginx tells the two apart."""

BACKLOG = 511
"""nginx's own."""

ALONE = 10
"""So many times in a row nobody else has the socket, a second apart: nginx starts anew in less."""

PATIENCE_S = 30.0
"""How long a release waits for the socket: after a restart of the host the containers come in any order."""


def is_ours(colour: str | None) -> bool:
    """Whether the release of this colour is the one that serves. None: there is no listener, as in a Pod."""
    if not colour:
        return False
    with contextlib.suppress(FileNotFoundError):
        return LIVE.read_text().strip() == colour
    return True  # the first


def take() -> tuple[int, socket.socket, int]:
    """The listening socket, a connection that ends when its holder does, and how many others have such a connection.

    Raises:
        OSError: nobody holds it.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.connect(str(SOCKET))
            others, received, _, _ = socket.recv_fds(holder, 1, 1)
            if received:
                return received[0], holder, others[0]
        except (FileNotFoundError, ConnectionError):
            if time.monotonic() > deadline:
                raise
        holder.close()
        time.sleep(0.1)


def claim_when_abandoned(colour: str, every_s: float = 1.0) -> None:
    """Returns when this release is the one that serves, since no other has had the socket for a while.

    So it is where a pair of the other colour was taken away by hand: the file still names it.
    """
    alone = 0
    while alone < ALONE:
        time.sleep(every_s)
        try:
            listening, holder, others = take()
        except OSError:
            continue
        os.close(listening)
        holder.close()
        alone = 0 if others else alone + 1
    LIVE.write_text(colour)


def hand_out(listening: socket.socket) -> None:
    """To whoever asks, for ever."""
    listening.setblocking(False)  # it is one file for all who have it, and nginx takes it as it is
    SOCKET.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as selector:
        door.bind(str(SOCKET))
        door.listen()
        selector.register(door, selectors.EVENT_READ)
        others = 0
        while True:
            for key, _ in selector.select():
                asking = key.fileobj
                assert isinstance(asking, socket.socket)
                if asking is door:
                    asking, _ = door.accept()
                    with contextlib.suppress(OSError):
                        socket.send_fds(asking, [bytes([min(others, 255)])], [listening.fileno()])
                    selector.register(asking, selectors.EVENT_READ)
                    others += 1
                else:  # nobody says anything here: it is gone
                    selector.unregister(asking)
                    asking.close()
                    others -= 1


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o007)
    hand_out(socket.create_server(("0.0.0.0", PORT), backlog=BACKLOG))


if __name__ == "__main__":
    main()
