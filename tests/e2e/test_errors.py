"""Every error of the contract that a client can cause, with its body."""

from __future__ import annotations

import gzip
from fractions import Fraction

import httpx
import numpy as np
import pytest

from tests import media

MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
HLS = b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"


def assert_problem(response: httpx.Response, status: int, type_: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    body = response.json()
    assert body["type"] == f"urn:cliplane:problem:{type_}"
    assert body["status"] == status
    assert body["title"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "query",
    [
        "views=0",
        "views=-1",
        "views=x",
        "views=1e3",
        "views=999999",
        "top=0",
        "min_score=",
        "min_score=nan",
        "min_score=1.01",
        "min_score=-0.1",
        "min_score=0x1",
        "min_score=e1",
        "min_score=1_0",
        "top=",
        "viewz=2",
        "top=1&top=2",
    ],
)
def test_a_wrong_query_is_a_400(http: httpx.Client, query: str) -> None:
    assert_problem(http.post(f"/v1/classify?{query}", content=media.clip(frames=8)), 400, "bad-query")


def test_no_body_is_a_400(http: httpx.Client) -> None:
    assert_problem(http.post("/v1/classify"), 400, "bad-body")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="video"\r\n\r\n\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="video"\r\n\r\ncut',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_form_without_a_video_is_a_400(http: httpx.Client, body: bytes, content_type: str) -> None:
    response = http.post("/v1/classify", content=body, headers={"Content-Type": content_type})
    assert_problem(response, 400, "bad-body")


@pytest.mark.parametrize(
    ("query", "field", "detail"),
    [
        ("views=1", {"views": "2"}, "views is one thing in the query and another in the form"),
        ("", {"top": "0"}, "top: a whole number"),
        ("", {"min_score": "1.5"}, "min_score: a number from 0 to 1"),
    ],
)
def test_a_wrong_field_of_a_form_is_a_400_that_names_it(
    http: httpx.Client, query: str, field: dict[str, str], detail: str
) -> None:
    response = http.post(f"/v1/classify?{query}", data=field, files={"video": ("a.mp4", media.clip(frames=8))})
    assert_problem(response, 400, "bad-query")
    assert detail in response.json()["detail"]


def test_a_compressed_body_is_a_415_that_says_so(http: httpx.Client) -> None:
    body = gzip.compress(media.clip(frames=8))
    assert_problem(http.post("/v1/classify", content=body), 415, "encoded-body")
    response = http.post("/v1/classify", content=body, headers={"Content-Encoding": "gzip"})
    assert_problem(response, 415, "encoded-body")


@pytest.mark.parametrize("name", ["nobody", "../etc", "a/b", "", "x" * 200, "%00"])
def test_an_unknown_model_is_a_404(http: httpx.Client, name: str) -> None:
    response = http.post("/v1/classify", params={"model": name}, content=media.clip(frames=8))
    assert_problem(response, 404, "unknown-model")


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/.env", "/../../etc/passwd", "/nginx.conf"])
def test_an_unknown_address_is_a_404(http: httpx.Client, path: str) -> None:
    assert_problem(http.get(path), 404, "not-found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/classify"), ("POST", "/readyz"), ("DELETE", "/v1/models")])
def test_a_wrong_method_is_a_405(http: httpx.Client, method: str, path: str) -> None:
    assert_problem(http.request(method, path), 405, "method-not-allowed")


@pytest.mark.parametrize(
    "body",
    [
        b"\x00",
        b"%PDF-1.7\n" + bytes(100),
        HLS,
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        b"<MPD></MPD>",
        bytes(1000),
    ],
    ids=["one byte", "pdf", "hls", "ffconcat", "sdp", "dash", "zeros"],
)
def test_what_is_not_a_video_container_is_a_415(http: httpx.Client, body: bytes) -> None:
    assert_problem(http.post("/v1/classify", content=body), 415, "not-a-video")
    assert_problem(http.post("/v1/classify", files={"video": ("movie.mp4", body)}), 415, "not-a-video")


def test_garbage_behind_a_good_first_box_is_a_422(http: httpx.Client) -> None:
    assert_problem(http.post("/v1/classify", content=MP4_HEAD + bytes(range(256)) * 40), 422, "undecodable-video")


def test_a_playlist_behind_a_good_first_box_is_a_422(http: httpx.Client) -> None:
    assert_problem(http.post("/v1/classify", content=MP4_HEAD + HLS), 422, "undecodable-video")


def test_audio_alone_is_a_422(http: httpx.Client) -> None:
    assert_problem(http.post("/v1/classify", content=media.audio_only()), 422, "undecodable-video")


def test_a_video_over_a_limit_is_a_422_that_names_it(http: httpx.Client) -> None:
    huge = media.encode(iter([np.zeros((2400, 4800, 3), np.uint8)]), codec="mpeg4")
    response = http.post("/v1/classify", content=huge)
    assert_problem(response, 422, "over-limit")
    assert "4800x2400 pixels" in response.json()["detail"]
    long = media.encode(media.moving_camera("static", frames=9), fps=Fraction(1, 1000))
    response = http.post("/v1/classify", content=long)
    assert_problem(response, 422, "over-limit")
    assert "9000 s long" in response.json()["detail"]


def test_a_truncated_video_is_answered_or_refused_in_form(http: httpx.Client) -> None:
    video = media.clip(frames=40)
    for part in (0.05, 0.2, 0.5, 0.9, 0.99):
        response = http.post("/v1/classify", content=video[: int(len(video) * part)])
        if response.status_code != 200:
            assert_problem(response, 422, "undecodable-video")


def test_an_error_is_an_event_of_a_stream_or_a_status(http: httpx.Client) -> None:
    response = http.post("/v1/classify", content=MP4_HEAD, headers={"Accept": "text/event-stream"})
    assert_problem(response, 422, "undecodable-video")


def test_a_client_cannot_choose_the_file_that_is_read(http: httpx.Client) -> None:
    response = http.post("/v1/classify", headers={"X-Spool-Path": "/etc/passwd", "X-Spool-Seconds": "x"})
    assert_problem(response, 400, "bad-body")


def test_after_all_that_the_next_request_is_right(http: httpx.Client) -> None:
    response = http.post("/v1/classify", content=media.clip("zoom_in"))
    assert response.json()["predictions"][0]["label"] == "zoom_in"


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("TRACE", "/livez", 405, "GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/classify", 405, "POST, OPTIONS"),
        ("POST", "/app.js", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/missing.js", 404, None),
    ],
)
def test_nginx_s_own_answers_are_problems_too(
    http: httpx.Client, method: str, path: str, status: int, allowed: str | None
) -> None:
    response = http.request(method, path, headers={"X-Request-ID": "mine"})
    assert response.status_code == response.json()["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers.get("allow") == allowed
    assert response.headers["x-request-id"] == response.json()["request_id"] == "mine"


@pytest.mark.parametrize(
    ("path", "header", "status", "type_"),
    [
        ("/v1/classify?model=" + "m" * 8200, "", 414, "address-too-long"),
        ("/v1/classify?model=" + "m" * 6000, "", 404, "unknown-model"),
        ("/livez", "m" * 9000, 400, "bad-request"),
    ],
)
def test_what_is_too_long_is_refused_in_form(
    http: httpx.Client, path: str, header: str, status: int, type_: str
) -> None:
    assert_problem(http.post(path, content=MP4_HEAD + bytes(600), headers={"X-Any": header}), status, type_)
