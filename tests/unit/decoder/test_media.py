"""Containers by their first bytes."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from cliplane.decoder.media import CONTAINERS, sniff
from cliplane.errors import NotAVideo
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom" + bytes(20), "mp4"),
        (b"\0\0\0\x14ftypqt  " + bytes(20), "mov"),
        (b"\0\0\0\x08wide\0\0\0\0", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02", "webp"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + bytes(17) + b"\0\0\0\x08acTL", "apng"),
        (b"FLV\x01\x05", "flv"),
        (b"\0\0\x01\xba\x44", "mpegps"),
        (b"\0\0\x01\xe0\0\x04\x31\0\x03\x7b\0\0\x01\xe0", "mpegps"),  # without a pack's header
        (b"\x47\x11" + b"\0\0\x01\xba\x44" + bytes(9) + b"\0\0\x01\xbb", "mpegps"),  # cut off in a packet
        (b"\x47\x11" + b"\0\0\x01\xba\x21" + bytes(7) + b"\0\0\x01\xc0", "mpegps"),  # MPEG-1's
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
        (b"OggS\0", "ogg"),
        (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "mxf"),
        (b"\x1f\x07\x00\x3f", "dv"),
        (b"\0\0\0\x01\x67\x42", "h264"),
        (b"\0\0\0\x01\x06\x05", "h264"),
        (b"\0\0\x01\x40\x01", "hevc"),
        (b"DKIF\0\0", "ivf"),
        (b"YUV4MPEG2 W64", "y4m"),
        (b"GIF89a", "gif"),
        *(
            (bytes(first) + (b"\x47" + bytes(size - 1)) * 5, "mpegts")
            for size in (188, 192, 204)
            for first in (0, 4, 99)
        ),
    ],
)
def test_containers_are_known_by_their_first_bytes(head: bytes, container: str) -> None:
    assert sniff(head) == container
    assert container in CONTAINERS


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
        b"<?xml version='1.0'?><MPD>",
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + bytes(17) + b"\0\0\0\x08IDATacTL",  # a still
        b"RIFF\0\0\0\0WEBPVP8 ",  # a still
        b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x01\x65",  # no header before it
        b"\xff\xd8\xff\xe0",
        b"II*\0",
        b"G" * 10,
    ],
)
def test_stills_playlists_and_texts_are_no_videos(head: bytes) -> None:
    with pytest.raises(NotAVideo, match="no container that is known here; allowed: mp4"):
        sniff(head)


def test_a_container_that_an_operator_left_out_is_named() -> None:
    with pytest.raises(NotAVideo, match=r"^flv, which is not allowed here; allowed: mp4, mov$"):
        sniff(b"FLV\x01", ("mp4", "mov"))


def test_the_documented_containers_and_codecs_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    usual = re.search(r"^The usual codecs: ([^.]*)\.", page, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert usual
    told = {name: codecs.replace("the usual", usual[1].replace("\n", " ")).split(", ") for name, codecs in rows}
    assert {name: set(told[name]) for name in CONTAINERS} == {name: set(codecs) for name, codecs in CONTAINERS.items()}


@given(st.binary(max_size=600))
def test_other_bytes_are_refused_and_nothing_else_happens(head: bytes) -> None:
    with contextlib.suppress(NotAVideo):
        assert sniff(head) in CONTAINERS
