"""API keys: who may ask, how much, and where a key can be seen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.security.conftest import Front, wait_until
from tests.security.test_uploads import HEAD, promised_bytes, sized, under_way

HOST = Path(__file__).parents[2] / "host"


@pytest.fixture
def front(front_with: Callable[..., Front]) -> Front:
    return front_with(require_key=True, lanes=1)


@pytest.fixture
def make_key(front: Front, tmp_path: Path) -> Callable[..., str]:
    """`make key` in a checkout of its own, whose file the front reads."""
    checkout = tmp_path / "checkout"
    (checkout / "host").mkdir(parents=True)
    (checkout / "keys").mkdir()
    shutil.copy(HOST / "key", checkout / "host")
    (front.folder / "keys").symlink_to(checkout / "keys" / "keys")

    def make(*arguments: str) -> str:
        done = subprocess.run([checkout / "host" / "key", *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return make


def asks(
    front: Front, key: str, content: bytes = b"video", path: str = "/v1/classify", prefer: str = "handling=strict"
) -> int:
    headers = {"Authorization": f"Bearer {key}", "Prefer": prefer}
    return httpx.post(front.base + path, content=content, headers=headers, timeout=60).status_code


def test_a_stranger_uploads_nothing(front: Front, make_key: Callable[..., str]) -> None:
    key = make_key("camera")
    front.forget_refusals()
    for header in (b"", b"Authorization: Bearer \r\n", b"Authorization: Bearer " + key[:-1].encode() + b"\r\n"):
        # The answer comes although not a byte of the body was sent.
        response = front.raw(HEAD + header + b"Content-Length: 1000000\r\n\r\n")
        assert response.status == 401
        assert response.problem() == "unauthorized"
        assert response.headers["www-authenticate"] == "Bearer"
        assert front.next_refusal() == "unauthorized"
    assert not front.lanes.seen
    assert not list(front.spool.iterdir())
    for path, status in {
        "/livez": 200,
        "/readyz": 200,
        "/openapi.json": 200,
        "/": 200,
        "/metrics": 401,
        "/v1/models": 401,
    }.items():
        assert httpx.get(front.base + path).status_code == status, path


def test_the_file_is_read_anew(front: Front, make_key: Callable[..., str]) -> None:
    assert asks(front, "cliplane_none") == 401
    key = make_key("camera")
    wait_until(lambda: asks(front, key) == 200, what="the new key")
    (front.folder / "keys").resolve().write_text("")
    wait_until(lambda: asks(front, key) == 401, what="its end")


def test_a_key_is_in_no_file_and_no_log_and_reaches_no_lane(front: Front, make_key: Callable[..., str]) -> None:
    key = make_key("camera")
    wait_until(lambda: asks(front, key) == 200, what="the key")
    wait_until(lambda: any(line["status"] == 200 for line in front.lines()), what="the access line")
    assert front.lines()[-1]["key"] == "camera"
    assert front.lanes.seen[-1]["x-key-name"] == "camera"
    assert key not in "".join(str(seen) for seen in front.lanes.seen)
    for file in (front.folder / "access.log", front.folder / "error.log", front.folder / "keys"):
        assert key not in file.read_text()
    assert re.fullmatch(r"camera [0-9a-f]{64} 0 0 interactive\n", (front.folder / "keys").read_text())


def test_a_key_has_its_own_limits(front: Front, make_key: Callable[..., str]) -> None:
    few, seldom = make_key("few", "2"), make_key("seldom", "0", "1")
    wait_until(lambda: asks(front, few) == 200, what="the keys")
    with_key = sized(100).replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {few}\r\n\r\n".encode())
    with under_way(front, with_key, with_key):
        wait_until(lambda: promised_bytes(front) == 200, what="two uploads")
        assert asks(front, few) == 429
        assert asks(front, seldom) == 200
    assert 429 in [asks(front, seldom) for _ in range(20)]


def test_a_batch_leaves_the_queue_to_those_who_wait(front: Front, make_key: Callable[..., str]) -> None:
    batch, screen = make_key("batch", "0", "0", "batch"), make_key("screen")
    wait_until(lambda: asks(front, batch) == 200, what="the keys")
    front.lanes.may_answer.clear()
    seen = len(front.lanes.seen)
    with_key = sized(1).replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {screen}\r\n\r\nv".encode())
    with under_way(front, with_key, with_key):
        wait_until(lambda: len(front.lanes.seen) == seen + 2, what="the one lane, and one behind it")
        assert asks(front, batch) == 503
        assert asks(front, batch, prefer="norespond-async, x=respond-async") == 503
        front.lanes.may_answer.set()
    wait_until(lambda: asks(front, batch) == 200, what="a free lane")


def test_a_job_is_its_keys_and_no_client_says_whose_it_is(front: Front, make_key: Callable[..., str]) -> None:
    key = make_key("camera")
    wait_until(lambda: asks(front, key) == 200, what="the key")
    address = f"{front.base}/v1/jobs/{'0' * 32}"
    for path in (address, f"{front.base}/v1/jobs", f"{address}/events"):
        assert httpx.get(path).status_code == 401, path
        seen = httpx.get(path, headers={"Authorization": f"Bearer {key}", "X-Key-Name": "other"}).json()["headers"]
        assert seen["x-key-name"] == "camera"
    assert httpx.delete(address).status_code == 401
    assert httpx.get(address.replace("/v1/jobs/", "/v1/jobs/../jobs/")).status_code == 401


def test_a_batchs_job_is_accepted_where_its_request_would_have_to_wait(
    front: Front, make_key: Callable[..., str]
) -> None:
    batch, screen = make_key("batch", "0", "0", "batch"), make_key("screen")
    wait_until(lambda: asks(front, batch) == 200, what="the keys")
    front.lanes.may_answer.clear()
    seen = len(front.lanes.seen)
    with_key = sized(1).replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {screen}\r\n\r\nv".encode())
    later = with_key.replace(screen.encode(), batch.encode()).replace(b"\r\n\r\n", b"\r\nPrefer: respond-async\r\n\r\n")
    with under_way(front, with_key):
        wait_until(lambda: len(front.lanes.seen) == seen + 1, what="the one lane")
        assert asks(front, batch) == 503
        with under_way(front, later):
            wait_until(lambda: len(front.lanes.seen) == seen + 2, what="the job at the lanes' door")
            assert front.lanes.seen[-1]["prefer"] == "respond-async"
            assert front.lanes.seen[-1]["x-key-priority"] == "batch"
        front.lanes.may_answer.set()


@pytest.mark.parametrize(
    "arguments", [[], ["a b"], ["x" * 65], ["a", "many"], ["a", "1", "-1"], ["a", "1", "1", "last"]]
)
def test_a_key_that_cannot_be_is_not_made(make_key: Callable[..., str], arguments: list[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        make_key(*arguments)


def test_a_name_has_one_key(make_key: Callable[..., str]) -> None:
    make_key("camera")
    with pytest.raises(subprocess.CalledProcessError):
        make_key("camera")


def test_only_a_trusted_proxy_names_the_client(front_with: Callable[..., Front]) -> None:
    for proxies, client in (("127.0.0.0/8", "203.0.113.9"), ("", "127.0.0.1")):
        front = front_with(trusted_proxies=proxies)
        front.post(X_Forwarded_For="203.0.113.9")
        wait_until(lambda front=front: bool(front.lines()), what="the access line")  # type: ignore[misc]
        assert front.lines()[-1]["client"] == client


def test_the_network_is_for_keys_and_tls_or_an_explicit_word() -> None:
    def settings(**environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HOST / "settings"], env={"PATH": os.environ["PATH"]} | environ, capture_output=True, text=True, check=False
        )

    keys, tls = {"CLIPLANE_REQUIRE_KEY": "true"}, {"TLS": "self-signed"}
    for environ, missing in (
        ({}, ["CLIPLANE_REQUIRE_KEY=true", "TLS=self-signed"]),
        (keys, ["TLS=self-signed"]),
        (tls, ["CLIPLANE_REQUIRE_KEY=true"]),
    ):
        refused = settings(HTTP_ADDRESS="0.0.0.0", **environ)
        assert refused.returncode == 2
        lines = refused.stderr.splitlines()
        assert len(lines) == len(missing)
        assert all(words in line for words, line in zip(missing, lines, strict=True))
    for environ in (keys | tls, {"INSECURE": "1"}, {"HTTP_ADDRESS": "127.0.0.1"}):
        assert settings(**{"HTTP_ADDRESS": "0.0.0.0"} | environ).returncode == 0
