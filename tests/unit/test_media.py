"""Containers by their first bytes."""

from __future__ import annotations

import contextlib

import pytest
from cliplane.errors import NotAVideo
from cliplane.media import CONTAINERS, sniff
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
    ],
)
def test_containers_are_known_by_their_first_bytes(head: bytes, container: str) -> None:
    assert sniff(head) == container
    assert container in CONTAINERS


@given(st.binary(max_size=600))
def test_other_bytes_are_refused_and_nothing_else_happens(head: bytes) -> None:
    with contextlib.suppress(NotAVideo):
        assert sniff(head) in CONTAINERS
