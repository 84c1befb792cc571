"""Clients that leave before their answer, and a Triton that stands still."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import select
import socket
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from tests.integration.conftest import BASE, Stack, classify, docker, video, wait_until


def counted(outcome: str) -> float:
    """The requests with this outcome so far, by /metrics."""
    text = httpx.get(f"{BASE}/metrics").text
    found = re.findall(rf'^cliplane_requests_total{{.*outcome="{outcome}"}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, found))


@contextlib.contextmanager
def asked(body: bytes, name: str, times: int, path: str = "/v1/classify") -> Iterator[list[socket.socket]]:
    """Whole requests, whose clients leave at the end of the block."""
    address = urlsplit(BASE)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.hostname}\r\nX-Request-ID: {name}\r\n"
    connections = [socket.create_connection((address.hostname, address.port)) for _ in range(times)]
    try:
        for connection in connections:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def test_a_lane_notices_at_once_that_its_client_has_left_and_so_do_those_in_the_queue(ready: Stack) -> None:
    began, name, before = time.time(), f"leaves-{uuid.uuid4().hex}", counted("client-gone")
    ready.stop_decoders()  # so that none of them can have been answered
    with asked(video("pan_left"), name, times=5):  # two lanes, and a queue of four
        wait_until(lambda: len(ready.spool().splitlines()) == 5, what="five requests")
    wait_until(lambda: counted("client-gone") == before + 5, seconds=15, what="all five dropped, and counted")
    assert classify(video("zoom_in")).json()["predictions"][0]["label"] == "zoom_in"
    lines = [line for line in ready.log(since=began) if line.get("request_id") == name]
    failed = [line for line in lines if line["event"] == "failed"]
    assert [line["error"] for line in failed] == ["client-gone"] * 5
    assert not any("exception" in line for line in lines)


def test_names_that_clients_make_up_are_no_series(ready: Stack) -> None:
    name = f"made-up-{uuid.uuid4().hex}"
    assert httpx.post(f"{BASE}/v1/classify?model={name}", content=video("pan_left")).status_code == 404
    docker("pause", ready.container("triton"))
    try:
        response = httpx.post(f"{BASE}/v1/classify?model={name}", content=video("pan_left"), timeout=60)
    finally:
        docker("unpause", ready.container("triton"))
    assert response.status_code in (503, 504)
    assert name not in httpx.get(f"{BASE}/metrics").text


def test_while_triton_stands_still_health_is_told_in_time(ready: Stack) -> None:
    docker("pause", ready.container("triton"))
    try:
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            responses = [pool.submit(httpx.get, f"{BASE}/readyz", timeout=30) for _ in range(20)]
            others = [pool.submit(httpx.get, f"{BASE}/{path}", timeout=30) for path in ["version", "metrics"] * 20]
            live = httpx.get(f"{BASE}/livez", timeout=30)
        assert live.status_code == 200
        # By its own clock: 2 s are promised, and this machine has other work.
        assert live.elapsed.total_seconds() < 5
        for response in responses:
            assert response.result().status_code == 503
            assert response.result().elapsed.total_seconds() < 10
        assert {other.result().status_code for other in others} == {200}
    finally:
        docker("unpause", ready.container("triton"))


def test_one_lane_stays_for_others_than_long_requests_and_is_told(ready: Stack) -> None:
    """Two lanes: of two long requests one is refused at once, whichever; the other holds its lane until it leaves."""
    ready.stop_decoders()
    body = video("pan_left")
    with asked(body, f"long-{uuid.uuid4().hex}", times=2, path="/v1/segments") as both:
        (refused,), _, _ = select.select(both, [], [], 30)
        assert b"long-requests-full" in refused.recv(65536)
        (other,) = {*both} - {refused}
        assert not select.select([other], [], [], 0)[0]
    segments = f"{BASE}/v1/segments"
    wait_until(lambda: httpx.post(segments, content=body, timeout=60).status_code == 200, what="a lane for segments")
