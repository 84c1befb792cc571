"""A server on this machine that says what a test tells it to, and the command that asks it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane_client.cli import main

from tests.client.loopback import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "clip.mp4"
    path.write_bytes(b"no video: this server does not look at it")
    return path


def cliplane(*arguments: object) -> tuple[int, str]:
    """The command's exit code, and all that it writes."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        code = main([*map(str, arguments)])
    return code, written.getvalue()
