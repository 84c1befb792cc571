"""Odd, broken and hostile files: each has its expected answer, and the next request is right."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import httpx
import numpy as np
import pytest

from tests import media
from tests.e2e.test_errors import assert_problem


@pytest.fixture(autouse=True)
def _the_next_request_is_right(http: httpx.Client) -> Iterator[None]:
    yield
    response = http.post("/v1/classify", content=media.clip("tilt_down", frames=40))
    assert response.json()["predictions"][0]["label"] == "tilt_down"


def classified(http: httpx.Client, body: bytes, **query: int | str) -> dict[str, Any]:
    response = http.post("/v1/classify", content=body, params={"top": 1, **query})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


@pytest.mark.parametrize(
    ("container", "codec", "pixels", "width", "height"),
    [
        ("mp4", "libx264", "yuv420p10le", 320, 240),
        ("mp4", "libx264", "yuv444p", 321, 241),
        ("mp4", "libx265", "yuv420p", 320, 240),
        ("mp4", "libx265", "yuv420p10le", 320, 240),
        ("mp4", "libsvtav1", "yuv420p", 320, 240),
        ("mp4", "libsvtav1", "yuv420p10le", 320, 240),
        ("mp4", "mpeg4", "yuv420p", 321, 241),
        ("webm", "libvpx-vp9", "yuv420p", 321, 241),
        ("webm", "libvpx", "yuv420p", 320, 240),
        ("avi", "mjpeg", "yuvj420p", 320, 240),
        ("mov", "prores_ks", "yuv422p10le", 320, 240),
        ("mpegts", "mpeg2video", "yuv420p", 320, 240),
        ("matroska", "libx264", "gray", 320, 240),
    ],
)
def test_every_codec_depth_and_size_is_read(
    http: httpx.Client, container: str, codec: str, pixels: str, width: int, height: int
) -> None:
    frames = media.moving_camera("pan_left", width=width, height=height)
    result = classified(http, media.encode(frames, container=container, codec=codec, pixels=pixels))
    assert (result["video"]["width"], result["video"]["height"]) == (width, height)
    assert 58 <= result["video"]["frames"] <= 60
    assert result["predictions"][0]["label"] == "pan_left"


@pytest.mark.parametrize(
    ("degrees", "label"),
    [(0, "pan_right"), (-90, "tilt_down"), (180, "pan_left"), (90, "tilt_up")],
)
def test_a_video_is_seen_as_it_is_shown(http: httpx.Client, degrees: int, label: str) -> None:
    result = classified(http, media.turned(degrees, label="pan_right"))
    assert result["predictions"][0]["label"] == label
    sides = (result["video"]["width"], result["video"]["height"])
    assert sides == ((320, 240) if degrees % 180 == 0 else (240, 320))


def test_frames_of_a_variable_rate_are_taken_by_their_time(http: httpx.Client) -> None:
    # The camera pans at a steady speed for its first half, then the same frames are shown half as long.
    times = [40 * t for t in range(40)] + [1600 + 20 * t for t in range(80)]
    result = classified(http, media.irregular(times))
    assert result["predictions"][0]["label"] == "pan_right"
    assert result["video"]["duration_s"] == pytest.approx(3.2, abs=0.1)


def test_b_frames_and_an_edit_list_are_read(http: httpx.Client) -> None:
    options = {"bf": "8", "b_strategy": "0", "refs": "4"}
    body = media.encode(media.moving_camera("zoom_out"), container="mov", options=options)
    assert b"elst" in body
    assert classified(http, body)["predictions"][0]["label"] == "zoom_out"


def test_a_video_without_any_frame_is_a_422(http: httpx.Client) -> None:
    body = bytearray(media.clip(frames=8))
    mdat = body.index(b"mdat")
    body[mdat + 4 :] = bytes(len(body) - mdat - 4)
    response = http.post("/v1/classify", content=bytes(body))
    assert_problem(response, 422, "undecodable-video")


def test_a_file_that_promises_more_frames_than_it_has_has_those_that_are_there(http: httpx.Client) -> None:
    # Headers first, so that a part of the file is still a file; 60 frames promised.
    whole = media.encode(media.moving_camera("pan_left"), options={"g": "10"}, muxer={"movflags": "faststart"})
    result = classified(http, whole[: int(len(whole) * 0.7)])
    assert 20 <= result["video"]["frames"] < 60
    assert result["predictions"][0]["label"] == "pan_left"


def test_a_video_cut_off_at_any_box_is_answered_or_refused_in_form(http: httpx.Client) -> None:
    body = media.encode(media.moving_camera("static", frames=12), muxer={"movflags": "faststart"})
    cuts = sorted(
        {cut for start, end in media.boxes(body) for cut in (start, start + 4, start + 8, (start + end) // 2)}
    )
    assert len(cuts) > 50
    statuses = set()
    for cut in cuts[1:]:
        response = http.post("/v1/classify", content=body[:cut])
        statuses.add(response.status_code)
        if response.status_code != 200:
            assert response.status_code in (415, 422), response.text
            assert response.json()["type"].startswith("urn:cliplane:problem:")
    assert 422 in statuses


def without_pictures(mp4: bytes) -> bytes:
    """The same headers over nothing but zeros."""
    start, end = next((start, end) for start, end in media.boxes(mp4) if mp4[start + 4 : start + 8] == b"mdat")
    return mp4[: start + 8] + bytes(end - start - 8) + mp4[end:]


def test_a_bomb_is_refused_before_it_is_decoded(http: httpx.Client) -> None:
    body = media.encode(iter([np.zeros((8192, 8192, 3), np.uint8)]), options={"preset": "ultrafast"})
    assert len(body) < 2_000_000
    # The second cannot be decoded at all: whoever tries says so.
    for bomb in (body, without_pictures(body)):
        response = http.post("/v1/classify", content=bomb)
        assert_problem(response, 422, "over-limit")
        assert "CLIPLANE_MAX_PIXELS" in response.json()["detail"]


def test_what_grows_into_a_bomb_on_the_way_is_not_decoded(http: httpx.Client) -> None:
    small = media.encode(media.moving_camera("static", frames=10), container="mpegts", codec="mpeg2video")
    big = media.encode(iter([np.zeros((4000, 4000, 3), np.uint8)] * 30), container="mpegts", codec="mpeg2video")
    assert_problem(http.post("/v1/classify", content=small + big), 422, "undecodable-video")


def test_a_very_long_video_of_few_frames_is_answered(http: httpx.Client) -> None:
    frames = media.moving_camera("static", frames=100)
    body = media.encode(frames, fps=Fraction(1, 60))
    assert classified(http, body)["video"]["duration_s"] == 6000


def test_a_codec_that_is_not_allowed_is_named_with_those_that_are(http: httpx.Client) -> None:
    body = media.encode(media.moving_camera("static", frames=8), container="avi", codec="png", pixels="rgb24")
    response = http.post("/v1/classify", content=body)
    assert_problem(response, 422, "unsupported-codec")
    assert response.json()["detail"].startswith("png in avi; allowed there: h264, ")
    assert "CLIPLANE_CODECS" in response.json()["detail"]


def test_more_streams_than_allowed_are_named(http: httpx.Client) -> None:
    response = http.post("/v1/classify", content=media.many_streams(17))
    assert_problem(response, 422, "over-limit")
    assert "CLIPLANE_MAX_STREAMS" in response.json()["detail"]


MKV_HEAD = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska\x42\x87\x81\x02\x42\x85\x81\x02"
AVI_HEAD = b"RIFF\xff\x00\x00\x00AVI LIST"
PLAYLISTS = {
    "HLS": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
    "DASH": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "SDP": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
}


@pytest.mark.parametrize("head", [MKV_HEAD, AVI_HEAD], ids=["mkv", "avi"])
@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_a_playlist_behind_another_format_s_head_is_a_422(http: httpx.Client, head: bytes, playlist: str) -> None:
    assert_problem(http.post("/v1/classify", content=head + PLAYLISTS[playlist]), 422, "undecodable-video")


def test_a_polyglot_is_read_as_what_its_first_bytes_say(http: httpx.Client) -> None:
    zip_ = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    body = media.clip("pan_left") + zip_ + PLAYLISTS["HLS"]
    assert classified(http, body)["predictions"][0]["label"] == "pan_left"
    assert_problem(http.post("/v1/classify", content=PLAYLISTS["HLS"] + body), 415, "not-a-video")


def test_nothing_of_a_file_is_in_the_answer(http: httpx.Client) -> None:
    marker = b"MARKER-7f3a"
    body = media.clip(frames=8)
    for name in (b"isom", b"avc1", b"vide", b"mp41"):
        body = body.replace(name, marker[: len(name)])
    response = http.post("/v1/classify", content=body + marker)
    assert marker not in response.content
    assert marker[:4] not in response.content
