"""How much of an answer the client takes, how long it waits, and what it keeps to itself. Real sockets, no stack."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cliplane_client import AsyncClient, Busy, Client, InvalidAddress, InvalidResponse, NoAnswer

from tests.client.conftest import cliplane
from tests.client.documents import HEALTH, SEGMENT, SEGMENTED, VIDEO, VIEW, WINDOW
from tests.client.loopback import Server
from tests.client.test_hostile_server import OPERATIONS, classify


def test_a_compressed_answer_is_not_unpacked(server: Server) -> None:
    server.says(b"\x1f\x8b and 300 MB of zeros", head="Content-Encoding: gzip\r\n")
    for operation in OPERATIONS:
        with Client(server.base) as client, pytest.raises(InvalidResponse, match="compressed"):
            operation(client)
    assert b"accept-encoding: identity" in server.requests[0].lower()


ENDLESS = {
    "one line": b"x" * 65536,
    "events": b"".join(b"event: view\ndata: %s\n\n" % json.dumps(VIEW).encode() for _ in range(500)),
    "comments": b": nothing\n" * 5000,
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("operation", [classify, Client.models])
def test_an_endless_answer_is_left(server: Server, what: str, operation: Callable[[Client], Any]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: result\ndata: "
    server.response = (piece for pieces in ([head], iter(lambda: ENDLESS[what], b"")) for piece in pieces)
    if what != "one line":
        server.response = (piece for pieces in ([head + b"\n"], iter(lambda: ENDLESS[what], b"")) for piece in pieces)
    tracemalloc.start()
    try:
        with Client(server.base, retries=0) as client, pytest.raises(InvalidResponse):
            operation(client)
        assert tracemalloc.get_traced_memory()[1] < 64e6
    finally:
        tracemalloc.stop()
    assert server.sent < 64e6


def trickle() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    while True:
        yield b": wait\n"
        time.sleep(0.02)


def test_an_answer_that_trickles_is_not_waited_for(server: Server) -> None:
    server.response = trickle()
    with Client(server.base, timeout_s=0.3) as client, pytest.raises(NoAnswer):
        client.classify(b"x")
    server.response = trickle()
    with Client(server.base, timeout_s=0.3) as client, pytest.raises(NoAnswer):
        client.health()


def segments_step_by_step() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    steps = [("video", VIDEO), *[("window", WINDOW)] * 44, ("segment", SEGMENT), ("result", SEGMENTED)]
    for name, data in steps:
        yield f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        time.sleep(0.05)


def test_segments_may_last_as_long_as_their_events_go_on_and_no_longer(server: Server) -> None:
    server.response = segments_step_by_step()
    with Client(server.base, timeout_s=2) as client:
        assert client.segments(b"x").segments[0].label == "static"
    server.response = trickle()
    with Client(server.base, timeout_s=0.3) as client, pytest.raises(NoAnswer):
        client.segments(b"x")


def test_who_wishes_to_be_asked_in_three_years_is_not_waited_for(server: Server) -> None:
    server.says(b"{}", status=503, head="Retry-After: 99999999\r\n")
    server.response = [piece.replace(b"{}", b'{"type": "urn:cliplane:problem:busy"}') for piece in server.response]
    with Client(server.base) as client, pytest.raises(Busy) as busy:
        client.classify(b"x")
    assert busy.value.retry_after_s == 99999999
    assert len(server.requests) == 1


def test_asyncio_s_client_has_the_same_bounds(server: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(server.base, timeout_s=0.3, retries=0) as client:
            await client.classify(b"x")

    server.says(b"<html>", "text/html")
    with pytest.raises(InvalidResponse, match="no Cliplane server"):
        asyncio.run(ask())
    server.streams(("video", VIDEO))
    with pytest.raises(InvalidResponse, match="before its result"):
        asyncio.run(ask())
    server.response = trickle()
    with pytest.raises(NoAnswer):
        asyncio.run(ask())


def test_a_key_is_sent_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says(b"{}", status=401)
    code, written = cliplane("health", "--key", "t0psecret", "--header", "X-Team: film", "--base", server.base)
    assert code == 1
    assert {b"Authorization: Bearer t0psecret", b"X-Team: film"} <= set(server.requests[-1].split(b"\r\n"))
    monkeypatch.setenv("CLIPLANE_KEY", "0f_the_environment\n")
    written += cliplane("health", "--base", f"http://me:s3cret@{server.address}")[1]
    assert b"Authorization: Bearer 0f_the_environment" in server.requests[-1]
    for wrong in (("--key", "t0psecret\n\n0"), ("--header", "X: t0psecret\x00"), ("--header", "X Y: t0psecret")):
        code, text = cliplane("health", *wrong, "--base", server.base)
        assert code == 2
        written += text
    assert "t0psecret" not in written
    assert "s3cret" not in written


def test_a_password_in_the_address_is_used_and_never_shown(server: Server, video: Path) -> None:
    server.says(json.dumps(HEALTH).encode())
    base = f"http://me:s3cret@{server.address}"
    code, written = cliplane("health", "--base", base)
    assert code == 0
    assert written.startswith(server.base)
    assert b"Authorization: Basic " + base64.b64encode(b"me:s3cret") in server.requests[0]
    server.says(b"<html>")
    written += cliplane("health", "--base", base)[1]
    server.close()
    for wrong in (
        "me:s3cret@there",
        "http://me:s3cret@there:port",
        "http://me:s3cret/x@there",
        "ftp://me:s3cret@there",
    ):
        code, text = cliplane("classify", video, "--base", wrong)
        assert code == 2, wrong
        written += text
    written += cliplane("health", "--base", "http://me:s3cret@127.0.0.1:9", "--retries", "0")[1]
    assert "127.0.0.1:9" in written
    assert "s3cret" not in written
    with pytest.raises(InvalidAddress) as error:
        Client("http://me:s3cret@there:port")
    assert error.value.__cause__ is None
