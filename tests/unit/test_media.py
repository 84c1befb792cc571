"""Containers by their first bytes, and the file in a form."""

from __future__ import annotations

import contextlib

import pytest
from cliplane.errors import BadBody, NotAVideo
from cliplane.media import CONTAINERS, multipart_file, sniff
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


@given(st.binary(min_size=1, max_size=300), st.booleans(), st.booleans())
def test_a_file_in_a_form_is_found_to_the_byte(data: bytes, before: bool, after: bool) -> None:
    boundary = "b0undary-that-is-nowhere-in-the-data"
    other = f'--{boundary}\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'.encode()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="a;b.mp4"\r\nA: b\r\n\r\n'.encode()
    body = other * before + head + data + b"\r\n" + other * after + f"--{boundary}--\r\n".encode()
    span = multipart_file(body, f'multipart/form-data; boundary="{boundary}"', "video")
    assert body[span.start : span.end] == data


@given(st.binary(max_size=300))
def test_any_other_body_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBody):
        multipart_file(body, "multipart/form-data; boundary=zzzzzz", "video")
