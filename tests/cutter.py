"""A line that is cut: between a client and a server, on this machine."""

from __future__ import annotations

import select
import socket
import threading
import time

import httpx


class Cutter:
    """A line between a client and the stack: so many bytes a second towards it, cut after each of some amounts."""

    def __init__(self, to: httpx.URL, bytes_per_s: float, cuts: list[int]) -> None:
        self._to, self._rate, self._cuts = to, bytes_per_s, cuts
        self._server = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.sent = 0
        self.made = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            # What a kernel holds of a connection that is cut is lost: a real line's is bounded by its delay.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection((self._to.host, self._to.port or 80)) as stack:
            while True:
                readable, _, _ = select.select([client, stack], [], [], 60)
                if stack in readable:
                    answer = stack.recv(65536)
                    if not answer:
                        return
                    client.sendall(answer)
                if client in readable:
                    piece = client.recv(16384)
                    if not piece:
                        return
                    self.sent += len(piece)
                    stack.sendall(piece)
                    time.sleep(len(piece) / self._rate)
                    if self._cuts and self.sent >= self._cuts[0]:
                        self._cuts.pop(0)
                        self.made += 1
                        return
