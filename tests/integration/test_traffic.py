"""Many requests at once, slow ones, and one request's name through every log."""

from __future__ import annotations

import concurrent.futures
import re
import socket
import time
import uuid
from urllib.parse import urlsplit

import httpx

from tests import media
from tests.integration.conftest import (
    BASE,
    InBackground,
    Stack,
    classify,
    long_video,
    triton_client,
    video,
    wait_until,
)


def test_two_lanes_with_different_videos_never_cross_answers(ready: Stack) -> None:
    labels = ["pan_left", "tilt_up", "zoom_in", "roll_cw"]
    expected = {label: classify(video(label), top=9).json()["predictions"] for label in labels}
    assert {label: predictions[0]["label"] for label, predictions in expected.items()} == {x: x for x in labels}

    def one(i: int) -> bool:
        label = labels[i % len(labels)]
        name = f"cross-{i}"
        response = httpx.post(
            f"{BASE}/v1/classify",
            params={"top": 9},
            content=video(label),
            headers={"X-Request-ID": name},
            timeout=60,
        ).json()
        return bool(response["request_id"] == name and response["predictions"] == expected[label])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(200)))


def level(name: str) -> float:
    """A metric without labels, as /metrics has it now."""
    (value,) = re.findall(rf"^{name} (\S+)$", httpx.get(f"{BASE}/metrics").text, re.MULTILINE)
    return float(value)


def counted(outcome: str) -> float:
    """The requests with this outcome so far, by /metrics."""
    text = httpx.get(f"{BASE}/metrics").text
    found = re.findall(rf'^cliplane_requests_total{{.*outcome="{outcome}"}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, found))


def test_more_than_lanes_and_queue_get_503_at_once(ready: Stack) -> None:
    before = counted("busy")
    ready.stop_decoders()  # so that no lane is done before all have come
    requests = [InBackground(video("pan_left")) for _ in range(24)]
    # 24 requests, 2 lanes, a queue of 4; those refused do not wait for the others.
    wait_until(lambda: sum(request.is_done() for request in requests) == 24 - 2 - 4, seconds=15, what="refusals")
    refused = [request for request in requests if request.is_done()]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda _: classify(video("pan_left")).status_code, range(300))) == {503}
    assert (level("cliplane_lanes"), level("cliplane_lanes_busy"), level("cliplane_queue")) == (2, 2, 4)
    ready.continue_decoders()
    for request in refused:
        response = request.result()
        assert response is not None
        assert response.status_code == 503
        assert response.json()["type"] == "urn:cliplane:problem:busy"
        assert int(response.headers["retry-after"]) >= 1
    responses = [request.result() for request in requests if request not in refused]
    assert [response.status_code for response in responses if response is not None] == [200] * 6
    wait_until(lambda: counted("busy") == before + len(refused) + 300, seconds=5, what="all refusals in the metrics")
    wait_until(lambda: (level("cliplane_lanes_busy"), level("cliplane_queue")) == (0, 0), seconds=5, what="calm")


def test_a_slow_upload_holds_no_lane(ready: Stack) -> None:
    address = urlsplit(BASE)
    head = f"POST /v1/classify HTTP/1.1\r\nHost: {address.hostname}\r\nContent-Length: 100000\r\n\r\n".encode()
    slow = [socket.create_connection((address.hostname, address.port)) for _ in range(12)]
    try:
        for connection in slow:
            connection.sendall(head + b"some of it")
        wait_until(lambda: level("cliplane_uploads") == 12, what="the uploads in the metrics")
        began = time.monotonic()
        assert classify(video("pan_right")).status_code == 200
        assert time.monotonic() - began < 10
    finally:
        for connection in slow:
            connection.close()


def test_an_answer_says_how_long_its_body_was_on_the_way(ready: Stack) -> None:
    body, address = bytes(2_000_000), urlsplit(BASE)  # more than nginx reads before it writes
    head = f"POST /v1/classify HTTP/1.1\r\nHost: {address.hostname}\r\nConnection: close\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:1_500_000])
        wait_until(lambda: ready.spool() != "", what="the body's first part in the spool")
        began = time.monotonic()
        assert classify(video("pan_right")).status_code == 200
        held_ms = 1000 * (time.monotonic() - began)
        connection.sendall(body[1_500_000:])
        response = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert response.startswith("HTTP/1.1 415 ")
    (told,) = re.findall(r"^Server-Timing: spool;dur=(\d+)\r$", response, re.MULTILINE)
    assert int(told) > held_ms - 10  # nginx's clock is as coarse as its turns


def test_a_client_that_leaves_costs_the_lane_nothing_more(ready: Stack) -> None:
    body, began, name = long_video(), time.time(), f"leaves-{uuid.uuid4().hex}"
    headers = {"Accept": "text/event-stream", "X-Request-ID": name}
    with httpx.stream("POST", f"{BASE}/v1/classify?views=30", content=body, headers=headers) as response:
        next(response.iter_text())

    def ended() -> bool:
        # "failed" as client-gone, or "classified" where the lane was faster than the news.
        lines = [line for line in ready.log(since=began) if line.get("request_id") == name]
        return any(line["event"] in ("failed", "classified") for line in lines)

    wait_until(ended, what="the end of the request in the log")
    wait_until(lambda: not ready.spool(), what="an empty spool")
    assert classify(video("zoom_out")).json()["predictions"][0]["label"] == "zoom_out"


def test_a_body_over_the_limit_is_a_413(ready: Stack) -> None:
    before = counted("body-too-large")
    response = classify(bytes(20_000_001))
    assert response.status_code == 413
    assert response.json()["type"] == "urn:cliplane:problem:body-too-large"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    wait_until(lambda: counted("body-too-large") == before + 1, seconds=5, what="it in the metrics")


def test_a_request_s_name_is_in_every_log(ready: Stack) -> None:
    began, name = time.time(), f"trace-{uuid.uuid4().hex}"
    with triton_client() as triton:
        triton.update_log_settings({"log_verbose_level": 1})
        try:
            response = httpx.post(
                f"{BASE}/v1/classify", content=video("pan_left"), headers={"X-Request-ID": name}, timeout=60
            )
        finally:
            triton.update_log_settings({"log_verbose_level": 0})
    assert response.json()["request_id"] == response.headers["x-request-id"] == name

    def lines() -> dict[object, dict[str, object]]:
        return {line["event"]: line for line in ready.log(since=began) if line.get("request_id") == name}

    # A log comes after the answer: nginx writes its line when all is sent, and supervisord hands all of them on.
    wait_until(lambda: lines().keys() >= {"access", "classified"}, what="the request in the web container's log")
    assert f'le="{lines()["classified"]["le"]}"' in httpx.get(f"{BASE}/metrics").text
    assert {"spool_ms", "decode_ms", "infer_ms", "total_ms", "handoff", "model"} <= lines()["classified"].keys()
    wait_until(lambda: name in ready.raw_log("triton", since=began), what="the request in Triton's log")


def test_a_request_in_the_queue_is_answered(ready: Stack) -> None:
    body = long_video()
    requests = [InBackground(body, views=8) for _ in range(4)]
    responses = [request.result() for request in requests]
    assert [response.status_code for response in responses if response is not None] == [200] * 4


def test_nothing_of_a_file_reaches_a_log(ready: Stack) -> None:
    began, marker, name = time.time(), uuid.uuid4().hex, uuid.uuid4().hex
    good = bytearray(video("pan_left"))
    at = good.index(b"isom")
    named = media.encode(media.moving_camera("static", frames=9), metadata={"title": marker, "comment": marker})
    broken = named.replace(b"avcC", marker[:4].encode()).replace(b"stts", marker[4:8].encode())
    assert marker.encode() in named
    for body in (named, broken, bytes(good[:at]) + marker.encode() + bytes(good[at:]), marker.encode() * 100):
        for upload in ({"content": body}, {"files": {"video": (f"{marker}.mp4", body)}}):
            httpx.post(f"{BASE}/v1/classify", headers={"X-Request-ID": name}, timeout=60, **upload)

    def answered() -> int:
        return sum(line["event"] == "access" and line["request_id"] == name for line in ready.log(since=began))

    wait_until(lambda: answered() == 8, what="the access log")
    assert marker not in ready.raw_log("web", since=began)
    assert marker not in ready.raw_log("triton", since=began)
