"""What a browser can be made to ask, what nginx answers by itself, what reaches a lane."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cliplane.control import refusals
from cliplane.errors import CliplaneError, by_type

from tests.security.conftest import CONFIGURATION, Front

FrontWith = Callable[..., Front]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "EVIL.example."]
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/classify", "/metrics", "/nothing"])
def test_a_host_of_another_name_is_a_421(front: Front, host: str, path: str) -> None:
    response = httpx.get(front.base + path, headers={"Host": host})
    assert response.status_code == 421
    assert response.json()["type"] == "urn:cliplane:problem:misdirected"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "web", "192.168.7.7", "a.localhost"])
def test_addresses_and_names_without_a_dot_are_answered(front: Front, host: str) -> None:
    assert httpx.get(f"{front.base}/livez", headers={"Host": host}).status_code == 200


def test_a_request_without_a_host_is_answered(front: Front) -> None:
    assert front.raw(b"GET /livez HTTP/1.0\r\n\r\n").status == 200


def test_the_hosts_can_be_set(front_with: FrontWith) -> None:
    front = front_with(allowed_hosts="video.example.com, *.lab.example")
    statuses = {
        host: httpx.get(f"{front.base}/livez", headers={"Host": host}).status_code
        for host in ("video.example.com:8443", "a.lab.example", "lab.example.evil.test", "other.example.com", "web")
    }
    assert list(statuses.values()) == [200, 200, 421, 421, 200]
    assert httpx.get(f"{front_with(allowed_hosts='*').base}/livez", headers={"Host": "a.b"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1.evil.example"},
    ],
    ids=str,
)
def test_a_page_of_another_site_cannot_post(front: Front, headers: dict[str, str]) -> None:
    before = len(front.lanes.seen)
    response = httpx.post(f"{front.base}/v1/classify", content=b"video", headers=headers)
    assert response.status_code == 403
    assert response.json()["type"] == "urn:cliplane:problem:cross-site"
    assert "access-control-allow-origin" not in response.headers
    assert len(front.lanes.seen) == before


def test_the_page_itself_and_programs_can_post(front: Front) -> None:
    for headers in (
        {"Sec-Fetch-Site": "same-origin", "Origin": front.base},
        {"Sec-Fetch-Site": "none"},
        {"Origin": front.base},
        {},
    ):
        assert httpx.post(f"{front.base}/v1/classify", content=b"video", headers=headers).status_code == 200


def test_an_origin_that_is_named_may_ask_and_read_and_no_other(front_with: FrontWith) -> None:
    front = front_with(cors_origins="https://app.example.com,http://localhost:3000")
    ours = {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"}
    response = httpx.post(f"{front.base}/v1/classify", content=b"video", headers=ours)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    assert response.headers["vary"] == "Origin"
    preflight = httpx.options(f"{front.base}/v1/classify", headers=ours | {"Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for origin in ("https://app.example.com.evil.test", "https://appXexample.com", "http://app.example.com"):
        response = httpx.post(f"{front.base}/v1/classify", content=b"video", headers=ours | {"Origin": origin})
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
    refusal = httpx.get(f"{front.base}/nothing", headers=ours)
    assert refusal.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.parametrize("path", ["/", "/docs", "/app.js", "/livez", "/nothing", "/v1/classify"])
def test_every_answer_says_what_a_browser_may_do_with_it(front: Front, path: str) -> None:
    headers = httpx.get(front.base + path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert ("script-src" in policy) == (path in ("/", "/docs", "/app.js"))


POST = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "type_"),
    [
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400, "bad-request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloWORLD\r\n0\r\n\r\n", 400, "bad-request"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "bad-request"),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "bad-request"),
        (POST + b"Content-Length: x\r\n\r\n", 400, "bad-request"),
        (POST + b"Content-Length: 99999999999999\r\n\r\n", 413, "body-too-large"),
        (POST + b"A: " + b"b" * 40000 + b"\r\n\r\n", 400, "bad-request"),
        (b"GET /livez HTTP/9.1\r\nHost: x\r\n\r\n", 400, "bad-request"),
        (b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "bad-request"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad-request"),
        (b"NONSENSE\r\n\r\n", 400, "bad-request"),
        (b"A /v1/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "method-not-allowed"),
        (b"A /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "method-not-allowed"),
        (b"GET /app.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=9999999-\r\n\r\n", 400, "bad-request"),
        (b"GET /app.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-Match: a\r\n\r\n", 400, "bad-request"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, bytes) else str(value),
)
def test_what_nginx_refuses_by_itself_is_a_problem_and_is_counted(
    front: Front, request_: bytes, status: int, type_: str
) -> None:
    front.forget_refusals()
    response = front.raw(request_)
    assert response.status == status
    assert response.problem() == type_
    if type_ in refusals.OUTCOMES:
        assert front.next_refusal() == type_


def test_the_limit_of_a_body_is_named(front: Front) -> None:
    response = front.raw(POST + b"Content-Length: 99999999999999\r\n\r\n")
    assert json.loads(response.body)["detail"] == "CLIPLANE_MAX_UPLOAD_BYTES=536870912"


def test_of_a_client_s_headers_a_lane_sees_those_it_reads(front: Front) -> None:
    many = {f"X-{k}": "v" * 50 for k in range(150)}  # gunicorn takes 100, and answers more in HTML
    sent = {"Content-Type": "video/mp4", "X-Spool-Path": "/etc/passwd", "X-Spool-Seconds": "-1", "X-Forwarded-For": "a"}
    response = httpx.post(f"{front.base}/v1/classify", content=b"video", headers=many | sent).json()
    known = {"host", "connection", "x-request-id", "content-type", "accept", "x-spool-path", "x-spool-seconds"}
    assert response["headers"].keys() <= known
    assert response["headers"]["content-type"] == "video/mp4"
    assert response["headers"]["x-spool-path"].startswith(str(front.spool))
    assert response["size"] == 5


def problems() -> dict[str, tuple[int, dict[str, object]]]:
    text = (CONFIGURATION / "problems.conf").read_text()
    found = re.findall(r"return (\d+) '(\{.*\})\\n';", text)
    return {
        json.loads(body)["type"].removeprefix("urn:cliplane:problem:"): (int(s), json.loads(body)) for s, body in found
    }


def test_nginx_s_problems_are_those_of_the_code() -> None:
    for type_, (status, body) in problems().items():
        assert body["status"] == status
        try:
            error: type[CliplaneError] = by_type(type_)
        except KeyError:
            continue  # a lane or the control plane never says it
        assert error.status == status
        assert type_ == "not-ready" or body["title"] == error.title


def test_every_refusal_that_nginx_names_is_counted() -> None:
    named = re.findall(r"set \$cliplane_refusal ([a-z-]+);", (CONFIGURATION / "problems.conf").read_text())
    assert sorted(set(named)) == sorted(refusals.OUTCOMES)
    assert set(named) <= problems().keys()
    assert Path(CONFIGURATION / "nginx.conf").read_text().count("error_page") == 0, "one there would undo all others"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", True),
        (f"00-{'a' * 32}-{'b' * 16}-01-more", False),
        (f"00-{'A' * 32}-{'b' * 16}-01", False),
        ("evil", False),
        ("", False),
    ],
)
def test_a_trace_context_reaches_a_lane_if_it_is_one(front: Front, sent: str, seen: bool) -> None:
    httpx.post(f"{front.base}/v1/classify", content=b"video", headers={"traceparent": sent})
    assert front.lanes.seen[-1].get("traceparent") == (sent if seen else None)
