"""The front as it is in the image, nginx with its configuration, beside the tests; the lanes behind it are a stand-in,
so that a test has settings of its own and sees what reaches a lane."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cliplane.ops.front import nginx_server, nginx_settings
from cliplane.ops.tls import Pair
from cliplane.settings import read_settings

CONFIGURATION = Path(__file__).parents[2] / "nginx"


def wait_until(condition: Callable[[], bool], *, seconds: float = 30, what: str = "") -> None:
    """Until `condition()` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)


class Upstream(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers with what it was asked: the headers, and the length of the file in the spool."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, path: Path) -> None:
        self.seen: list[dict[str, str]] = []
        self.answer_bytes = self.answered = 0
        self.first_event = b""  # sent, if any, before `may_answer`, and the rest after it
        self.may_answer = threading.Event()
        self.may_answer.set()
        super().__init__(str(path), _Handler)
        path.chmod(0o777)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(headers)
        path = headers.get("x-spool-path")
        size = os.path.getsize(path) if path else None
        if self.server.first_event:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("X-Accel-Buffering", "no")
            self.end_headers()
            self.wfile.write(self.server.first_event)
        self.server.may_answer.wait(30)
        if self.server.first_event:
            return
        body = json.dumps({"headers": headers, "size": size}).encode().ljust(self.server.answer_bytes)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Accel-Buffering", "no")  # as an event stream has it
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.answered += 1

    do_POST = do_GET  # noqa: N815


class Front:
    """One nginx."""

    def __init__(
        self, folder: Path, pair: Pair | None = None, environment: Mapping[str, str] | None = None, **settings: object
    ) -> None:
        self.scheme = "https" if pair else "http"
        self.folder, self.spool = folder, folder / "spool"
        self.spool.mkdir()
        self.spool.chmod(0o777)
        folder.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.lanes = Upstream(folder / "lanes.sock")
        self.control = Upstream(folder / "control.sock")
        self.refusals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.refusals.bind(str(folder / "refusals.sock"))
        (folder / "refusals.sock").chmod(0o777)
        settings = {"spool_bytes": 10**12} | settings  # boot.py asks the disk where nothing is set
        environ = {f"CLIPLANE_{name.upper()}": str(value) for name, value in settings.items()}
        read = read_settings(environ)
        (folder / "nginx-settings.conf").write_text(self._here(nginx_settings(read)))
        (folder / "nginx-server.conf").write_text(self._here(nginx_server(pair, read.path_prefix)))
        for file in CONFIGURATION.iterdir():
            (folder / file.name).write_text(self._here(file.read_text()))
        # Not nginx's own user: the folder is the tests'.
        directives = "user root;" + "".join(f"env {name};" for name in environment or {})
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", directives, "-e", "stderr"]
        (folder / "modules").symlink_to("/usr/share/nginx/modules")  # where load_module looks
        with (folder / "error.log").open("w") as errors:
            self.process = subprocess.Popen(command, stderr=errors, env={**os.environ, **(environment or {})})
        wait_until(self._listens, what="nginx")

    def _here(self, text: str) -> str:
        for there, here in {
            "/run/cliplane/": f"{self.folder}/",
            "/etc/nginx/problems.conf": f"{self.folder}/problems.conf",
            "/etc/nginx/upload.conf": f"{self.folder}/upload.conf",
            "/etc/nginx/?.lua": f"{self.folder}/?.lua",
            "/tmp/nginx-": f"{self.folder}/",
            " /spool;": f" {self.spool};",
            '"/spool"': f'"{self.spool}"',
            '"/keys/keys"': f'"{self.folder}/keys"',
            "/dev/stdout": f"{self.folder}/access.log",
            "listen 127.0.0.1:8081": f"listen unix:{self.folder}/inside.sock",
            "listen 8080": f"listen 127.0.0.1:{self.port}",
            "/srv/static": str(CONFIGURATION.parent / "services/web/static"),
        }.items():
            text = text.replace(there, here)
        return text

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def post(self, content: bytes = b"body", path: str = "/v1/classify", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self.base + path, content=content, headers=named, timeout=60)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def raw(self, request: bytes) -> Answer:
        """What comes to these bytes until the connection is closed."""
        with self.connect() as connection:
            connection.sendall(request)
            return answer_of(connection)

    def lines(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def next_refusal(self) -> str:
        """What nginx names to the control plane next."""
        self.refusals.settimeout(30)
        return self.refusals.recv(1024).decode().rpartition(" ")[2].partition(":")[0]

    def forget_refusals(self) -> None:
        self.refusals.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.refusals.recv(1024)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        for upstream in (self.lanes, self.control):
            upstream.may_answer.set()
            upstream.shutdown()
            upstream.server_close()
        self.refusals.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> str:
        """The problem's type; fails where it is none."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        body = json.loads(self.body)
        assert body["status"] == self.status
        assert body["request_id"] == self.headers["x-request-id"]
        return str(body["type"].removeprefix("urn:cliplane:problem:"))


def answer_of(connection: socket.socket) -> Answer:
    """The answer, whole; what nginx says before it has read the request it says at once, and closes later."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
    except (http.client.BadStatusLine, ConnectionResetError):
        return Answer(0, {}, b"")  # closed without a word
    with response:
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """With the default settings."""
    found = Front(tmp_path_factory.mktemp("front"))
    yield found
    found.close()


@pytest.fixture
def front_with(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Makes one with settings."""
    fronts: list[Front] = []

    def make(pair: Pair | None = None, environment: Mapping[str, str] | None = None, **settings: object) -> Front:
        folder = tmp_path / str(len(fronts))
        folder.mkdir()
        fronts.append(Front(folder, pair, environment, **settings))
        return fronts[-1]

    yield make
    for one in fronts:
        one.close()
