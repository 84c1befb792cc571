"""Behind a gateway: nginx, Caddy and Traefik as in examples/gateway, before the front, which answers below a path."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cliplane.ops.tls import Pair
from cliplane_client import Client, InvalidResponse

from tests.security.conftest import Front, answer_of, wait_until
from tests.security.test_tls import pair_in
from tests.security.test_uploads import promised_bytes

EXAMPLES = Path(__file__).parents[2] / "examples/gateway"
PREFIX = "/video"


@pytest.fixture
def front(front_with: Callable[..., Front]) -> Front:
    return front_with(path_prefix=PREFIX, trusted_proxies="127.0.0.0/8", max_upload_bytes=20_000_000)


def example(name: str, changes: dict[str, str]) -> str:
    """The file, with what is the test's own in it."""
    text = (EXAMPLES / name).read_text()
    for there, here in changes.items():
        assert there in text
        text = text.replace(there, here)
    return text


def nginx(folder: Path, port: int, pair: Pair, behind: str) -> list[str]:
    files = {"/etc/ssl/video.example.pem": str(pair.certificate), "/etc/ssl/private/video.example.key": str(pair.key)}
    changes = {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "http://127.0.0.1:8080": behind, **files}
    (folder / "site.conf").write_text(example("nginx.conf", changes))
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f"http {{ client_body_temp_path {folder}/body; {temporary} access_log off; include {folder}/site.conf; }}"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, port: int, pair: Pair, behind: str) -> list[str]:
    site = f"https://127.0.0.1:{port} {{\n\ttls {pair.certificate} {pair.key}"
    options = "{\n\tadmin off\n\tpersist_config off\n\tauto_https disable_redirects\n}\n"
    changes = {"video.example {": site, "127.0.0.1:8080": behind.removeprefix("http://")}
    (folder / "Caddyfile").write_text(options + example("Caddyfile", changes))
    return ["caddy", "run", "--config", str(folder / "Caddyfile")]


def traefik(folder: Path, port: int, pair: Pair, behind: str) -> list[str]:
    given = "certificates: [{certFile: /etc/ssl/video.example.pem, keyFile: /etc/ssl/private/video.example.key}]"
    # Whoever names an address instead of a host gets the default.
    default = f"stores: {{default: {{defaultCertificate: {{certFile: {pair.certificate}, keyFile: {pair.key}}}}}}}"
    changes = {given: default, "video.example": "127.0.0.1", "http://127.0.0.1:8080": behind}
    (folder / "dynamic.yaml").write_text(example("traefik.yaml", changes))
    entry = f'websecure: {{address: "127.0.0.1:{port}", transport: {{respondingTimeouts: {{readTimeout: 1800s}}}}}}'
    static = f"entryPoints: {{{entry}}}\nproviders: {{file: {{filename: {folder}/dynamic.yaml}}}}\n"
    (folder / "static.yaml").write_text(static + "global: {checkNewVersion: false, sendAnonymousUsage: false}\n")
    return ["traefik", f"--configfile={folder}/static.yaml"]


class Gateway:
    """The example's server, at a port and with a certificate of the test's."""

    def __init__(self, command_of: Callable[[Path, int, Pair, str], list[str]], folder: Path, front: Front) -> None:
        folder.mkdir()
        self.pair = pair_in(folder / "pair")
        self.trusted = ssl.create_default_context(cafile=self.pair.certificate)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        command = command_of(folder, self.port, self.pair, front.base)
        self.process = subprocess.Popen(command, env=os.environ | {"HOME": str(folder)})
        self.base = f"https://127.0.0.1:{self.port}{PREFIX}"
        wait_until(self._answers, what="the gateway")

    def _answers(self) -> bool:
        assert self.process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.base}/livez", verify=self.trusted).status_code == 200
        return False

    def connect(self) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return self.trusted.wrap_socket(connection, server_hostname="localhost")


@pytest.fixture(params=[nginx, caddy, traefik], ids=lambda command_of: str(command_of.__name__))
def gateway(front: Front, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    found = Gateway(request.param, tmp_path / "gateway", front)
    yield found
    found.process.terminate()
    found.process.wait(20)


def begun(length: int) -> bytes:
    return b"POST %s/v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % (PREFIX.encode(), length)


def test_pages_documents_and_answers_are_below_the_prefix(gateway: Gateway) -> None:
    with httpx.Client(verify=gateway.trusted, timeout=60) as http:
        for path in ("/", "/docs", "/app.js", "/readyz", "/v1/models", "/openapi.json"):
            assert http.get(gateway.base + path).status_code == 200, path
        bare = http.get(gateway.base)
        assert (bare.status_code, bare.headers["location"]) == (301, f"{PREFIX}/")
        assert http.get(f"{gateway.base}/.problem/bad-request").status_code == 404
        assert http.get(f"{gateway.base}/v1/classify").json()["type"] == "urn:cliplane:problem:method-not-allowed"
        response = http.post(f"{gateway.base}/v1/classify?top=3", content=bytes(2_000_000))
        assert response.json()["size"] == 2_000_000


def test_it_is_answered_without_the_prefix_too_and_below_no_other(front: Front) -> None:
    for path, status in {"/livez": 200, "/video/livez": 200, "/videos/livez": 404, "/other/livez": 404}.items():
        assert httpx.get(front.base + path).status_code == status, path


def test_a_body_is_streamed(front: Front, gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(begun(1_000_000) + bytes(500_000))
        wait_until(lambda: promised_bytes(front) == 1_000_000, what="the upload, which is not whole")
        connection.sendall(bytes(500_000))
        assert answer_of(connection).status == 200


def test_a_body_that_is_too_large_is_refused_by_the_stack_s_own_problem(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(begun(30_000_000) + bytes(65536))  # Caddy and Traefik send no head without some body
        response = answer_of(connection)
    assert response.status == 413
    assert response.problem() == "body-too-large"


def test_an_event_comes_through_as_it_happens(front: Front, gateway: Gateway) -> None:
    front.lanes.first_event = b"event: video\ndata: {}\n\n"
    front.lanes.may_answer.clear()
    try:
        url = f"{gateway.base}/v1/classify"
        # Less than the stand-in waits: what was held up would come when it is tired of it.
        with httpx.stream("POST", url, content=b"v", verify=gateway.trusted, timeout=20) as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert b"event: video" in next(response.iter_bytes())
    finally:
        front.lanes.may_answer.set()


def test_the_gateway_says_who_the_client_is_and_not_the_client(front: Front, gateway: Gateway) -> None:
    httpx.get(f"{gateway.base}/livez", verify=gateway.trusted, headers={"X-Forwarded-For": "203.0.113.9"})
    wait_until(lambda: bool(front.lines()), what="the access line")
    assert front.lines()[-1]["client"] == "127.0.0.1"


def test_the_client_s_base_may_have_a_path(gateway: Gateway) -> None:
    """Behind the front is a stand-in: to be told that it is no Cliplane's is to have reached it."""
    with Client(gateway.base, ca=gateway.pair.certificate, retries=0) as client, pytest.raises(InvalidResponse):
        client.health()
