"""Receives what the containers log, and drops it. Paused (`docker pause`), it is a log driver that is stuck."""

from __future__ import annotations

import socketserver
from pathlib import Path

SOCKET = Path("artifacts/chaos/logs/socket")


class _Drop(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.read1(65536):
            pass


def main() -> None:
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    Path("/clock/offset").write_text("+0")
    with socketserver.ThreadingUnixStreamServer(str(SOCKET), _Drop) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
