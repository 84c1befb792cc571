"""The published port's socket: all who ask have the same one, and the end of its holder is seen."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane.ops import listener


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(listener, "SOCKET", tmp_path / "listener.sock")
    monkeypatch.setattr(listener, "LIVE", tmp_path / "live")
    return tmp_path


@pytest.fixture
def holder(folder: Path) -> Iterator[tuple[int, int]]:
    """The process that holds a socket, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        pid = os.fork()
        if pid == 0:
            try:
                listener.hand_out(listening)
            finally:
                os._exit(1)
    yield pid, port
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_one_does_not_accept_the_other_does(holder: tuple[int, int]) -> None:
    (old, one, nobody), (new, other, somebody) = listener.take(), listener.take()
    assert (nobody, somebody) == (0, 1)
    with one, other, socket.create_connection(("127.0.0.1", holder[1]), timeout=10) as client:
        os.close(old)  # the client waits in the queue of both
        with socket.socket(fileno=new) as listening:
            listening.settimeout(10)
            accepted, _ = listening.accept()
        with accepted:
            accepted.sendall(b"new")
        assert client.recv(3) == b"new"


def test_the_end_of_the_holder_ends_the_connection_to_it(holder: tuple[int, int]) -> None:
    listening, connection, _ = listener.take()
    os.close(listening)
    with connection:
        connection.settimeout(10)
        os.kill(holder[0], signal.SIGTERM)
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("live", "colour", "ours"),
    [(None, "a", True), ("a\n", "a", True), ("b\n", "a", False), ("b\n", None, False), (None, None, False)],
)
def test_the_release_that_serves_takes_it(folder: Path, live: str | None, colour: str | None, ours: bool) -> None:
    if live:
        (folder / "live").write_text(live)
    assert listener.is_ours(colour) is ours


def test_a_release_waits_for_the_other_and_claims_what_that_has_left(holder: tuple[int, int], folder: Path) -> None:
    (folder / "live").write_text("b")
    listening, connection, _ = listener.take()
    claiming = threading.Thread(target=listener.claim_when_abandoned, args=("a", 0.001))
    with connection:
        claiming.start()
        claiming.join(0.5)  # a good many times as long as it takes
        assert claiming.is_alive()
        assert not listener.is_ours("a")
    os.close(listening)
    claiming.join(30)
    assert listener.is_ours("a")
