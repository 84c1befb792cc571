"""A server of our own on this machine, that says what a test wants it to."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterable
from typing import Any


class Server:
    """Answers every request with the pieces of `answer`, and counts what it was asked and what it could send."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.base = f"http://{self.address}"
        self.response: Iterable[bytes] = ()
        self.requests: list[bytes] = []
        self.sent = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, body: bytes, content_type: str = "application/json", status: int = 200, head: str = "") -> None:
        lines = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nConnection: close\r\n{head}\r\n"
        self.response = [lines.encode(), body]

    def streams(self, *events: tuple[str, Any]) -> None:
        text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        self.says(text.encode(), "text/event-stream")

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                self.requests.append(self._request(connection))
                for piece in self.response:
                    connection.sendall(piece)
                    self.sent += len(piece)
                connection.shutdown(socket.SHUT_WR)

    def _request(self, connection: socket.socket) -> bytes:
        """All of it: to hang up on what is not read would be a reset, and no answer."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        left = int(length[1]) - len(body) if length else 0
        while left > 0:
            left -= len(connection.recv(65536))
        return head
