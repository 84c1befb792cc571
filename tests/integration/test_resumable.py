"""Resumable uploads through the whole stack: cut, gone on with, bounded, and swept."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cliplane_client import Client
from cliplane_client.uploads import RESUMABLE_BYTES

from tests.cutter import Cutter
from tests.integration.conftest import BASE, Stack, classify, video, wait_until

TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}


def create(length: int, **headers: str) -> str:
    answer = httpx.post(f"{BASE}/v1/uploads", headers=TUS | {"Upload-Length": str(length)} | headers)
    assert answer.status_code == 201, answer.text
    return str(answer.request.url.join(answer.headers["Location"]))


def append(address: str, offset: int, part: bytes) -> httpx.Response:
    return httpx.patch(address, content=part, headers=PART | {"Upload-Offset": str(offset)}, timeout=30)


def offset_of(address: str) -> int:
    answer = httpx.head(address, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).removeprefix("urn:cliplane:problem:")


def named(address: str, **query: object) -> httpx.Response:
    id_ = address.rpartition("/")[2]
    return httpx.post(f"{BASE}/v1/classify", json={"upload": id_}, params=query, timeout=60)  # type: ignore[arg-type]


@pytest.fixture
def uploads(ready: Stack) -> Iterator[Stack]:
    """The stack; afterwards nothing is kept."""
    yield ready
    for name in kept(ready):
        httpx.delete(f"{BASE}/v1/uploads/{name}", headers=TUS)
    wait_until(lambda: spool(ready) == ["kept"], what="an empty spool")


def kept(stack: Stack) -> list[str]:
    return stack.exec("web", "ls", "/spool/kept").split()


def spool(stack: Stack) -> list[str]:
    return stack.exec("web", "ls", "/spool").split()


def test_a_video_in_two_parts_is_answered_as_one(uploads: Stack) -> None:
    body = video("pan_left")
    address = create(len(body))
    assert append(address, 0, body[:1000]).headers["Upload-Offset"] == "1000"
    assert problem(named(address)) == (409, "upload-offset")
    assert problem(append(address, 0, body)) == (409, "upload-offset")
    assert offset_of(address) == 1000
    assert append(address, 1000, body[1000:]).status_code == 204
    at_once = classify(body, views=2).json()
    for _ in range(2):  # it stays, for a client that has lost the answer
        told = named(address, views=2)
        assert told.status_code == 200, told.text
        assert told.json()["predictions"] == at_once["predictions"]
    accepted = httpx.post(
        f"{BASE}/v1/classify", json={"upload": address.rpartition("/")[2]}, headers={"Prefer": "respond-async"}
    )
    assert accepted.status_code == 202
    httpx.delete(f"{BASE}{accepted.headers['Location']}")
    assert httpx.delete(address, headers=TUS).status_code == 204
    assert problem(named(address)) == (404, "unknown-upload")
    assert kept(uploads) == []


def test_what_had_arrived_before_a_cut_is_kept(uploads: Stack) -> None:
    body = video("pan_left")
    address = create(len(body))
    url = httpx.URL(address)
    half = len(body) // 2
    with socket.create_connection((url.host, url.port or 80)) as cut:
        lines = [f"PATCH {url.path} HTTP/1.1", f"Host: {url.host}", "Upload-Offset: 0", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in PART.items()]
        cut.sendall("\r\n".join([*lines, "", ""]).encode() + body[:half])
        wait_until(
            lambda: uploads.exec("web", "stat", "-c", "%s", f"/spool/kept/{kept(uploads)[0]}").strip() == str(half)
        )
        # Nobody has told the server that this connection is dead: the next request ends it.
        assert offset_of(address) == half
        assert append(address, half, body[half:]).status_code == 204
        with contextlib.suppress(OSError):
            cut.sendall(body[half:])
            cut.settimeout(10)
            assert cut.recv(100).split()[1:2] in ([b"409"], [])
    assert named(address).json()["predictions"] == classify(body).json()["predictions"]


def test_what_is_no_upload_is_refused_by_name(uploads: Stack) -> None:
    address = create(100)
    for answer, expected in {
        httpx.post(f"{BASE}/v1/uploads", headers={"Upload-Length": "5"}): (412, "tus-version"),
        httpx.post(f"{BASE}/v1/uploads", headers=TUS): (400, "bad-request"),
        httpx.post(f"{BASE}/v1/uploads", headers=TUS | {"Upload-Length": "-1"}): (400, "bad-request"),
        httpx.post(f"{BASE}/v1/uploads", headers=TUS | {"Upload-Length": "1e9"}): (400, "bad-request"),
        httpx.post(f"{BASE}/v1/uploads", headers=TUS | {"Upload-Length": "20000001"}): (413, "body-too-large"),
        httpx.get(f"{BASE}/v1/uploads", headers=TUS): (405, "method-not-allowed"),
        httpx.get(address, headers=TUS): (405, "method-not-allowed"),
        httpx.delete(f"{BASE}/v1/uploads", headers=TUS): (405, "method-not-allowed"),
        append(address, 0, bytes(101)): (400, "bad-request"),
        httpx.patch(address, content=b"x", headers=TUS | {"Upload-Offset": "0"}): (400, "bad-request"),
        append(f"{BASE}/v1/uploads/{'0' * 32}", 0, b"x"): (404, "unknown-upload"),
        append(f"{BASE}/v1/uploads/..%2fx", 0, b"x"): (404, "not-found"),
        httpx.post(f"{BASE}/v1/uploads", headers=TUS | {"Upload-Length": "5", "Sec-Fetch-Site": "cross-site"}): (
            403,
            "cross-site",
        ),
    }.items():
        assert problem(answer) == expected
    assert httpx.head(f"{BASE}/v1/uploads/{'0' * 32}", headers=TUS).status_code == 404
    told = httpx.options(f"{BASE}/v1/uploads").headers
    assert told["Tus-Version"] == "1.0.0"
    assert told["Tus-Extension"] == "creation,expiration,termination"
    assert told["Tus-Max-Size"] == "20000000"


def test_uploads_that_are_kept_hold_the_spool_they_promised_and_no_more(uploads: Stack) -> None:
    def promised() -> float:
        lines = httpx.get(f"{BASE}/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith("cliplane_spool_promised_bytes "))

    before = promised()
    address = create(1_000_000)
    assert promised() == before + 1_000_000
    httpx.delete(address, headers=TUS)
    wait_until(lambda: promised() == before, what="the spool's account")


def test_an_upload_that_is_cut_ten_times_sends_next_to_nothing_again(uploads: Stack, tmp_path: Path) -> None:
    size = 19_000_000  # the tests' stack takes 20 MB; 200 MB: docs/uploads.md
    assert size > RESUMABLE_BYTES
    clip = video("pan_left")
    film = tmp_path / "film.mp4"
    film.write_bytes(clip + (size - len(clip)).to_bytes(4) + b"free" + bytes(size - len(clip) - 8))
    line = Cutter(httpx.URL(BASE), 20e6, [size * n // 11 for n in range(1, 11)])
    try:
        with Client(line.base) as client:
            told = client.classify(film, views=2)
    finally:
        line.close()
    assert told.predictions[0].label == "pan_left"
    assert line.made == 10
    print(f"{line.sent - size} of {size} bytes more than once")
    assert line.sent <= size * 1.02 + 10 * 65536  # what the kernels held of a connection, ten times
