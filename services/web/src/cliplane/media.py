"""What container is this file? Pure: bytes in, a name out; no demuxer is involved.

Owns the list of containers that may reach a demuxer at all, and finds the file inside a multipart body.
"""

from __future__ import annotations

from collections.abc import Collection
from email.message import Message
from email.parser import HeaderParser
from mmap import mmap
from typing import NamedTuple

from cliplane.errors import BadBody, NotAVideo

HEAD_BYTES = 512
"""How much of a file `sniff` needs to see."""

CONTAINERS = ("mp4", "mov", "matroska", "webm", "avi", "mpegts")

# First boxes of an ISO base media or QuickTime file (ISO/IEC 14496-12; QuickTime File Format, "wide", "pnot").
_ISO_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_TS_PACKET = 188  # bytes, each starting with 0x47 (ISO/IEC 13818-1, 2.4.3.2)
_EBML = b"\x1a\x45\xdf\xa3"


class Span(NamedTuple):
    """Bytes [start, end) of a file."""

    start: int
    end: int


def sniff(head: bytes, allowed: Collection[str] = CONTAINERS) -> str:
    """The container whose magic bytes `head` (the first `HEAD_BYTES` of a file) starts with.

    Raises:
        NotAVideo: it is none that is known, or not one of those `allowed`.
    """
    container = _container(head)
    if container not in allowed:
        raise NotAVideo(f"allowed: {', '.join(allowed)}")
    return container


def _container(head: bytes) -> str:
    box = head[4:8]
    if len(head) >= 12 and box in _ISO_FIRST_BOXES:
        return "mov" if box != b"ftyp" or head[8:12] == b"qt  " else "mp4"
    if head.startswith(_EBML):
        # The EBML header's DocType element (0x4282) says which Matroska this is.
        return "webm" if b"\x42\x82\x84webm" in head[:64] else "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if len(head) > 2 * _TS_PACKET and all(head[k * _TS_PACKET] == 0x47 for k in range(3)):
        return "mpegts"
    return ""


def multipart_file(body: mmap | bytes, content_type: str, field_name: str) -> Span:
    """Where the one file of a multipart/form-data body (RFC 7578) lies, so that it can be read in place.

    Raises:
        BadBody: the body is not well-formed, or the field is missing or there more than once.
    """
    boundary = _header(f"Content-Type: {content_type}").get_param("boundary")
    if not isinstance(boundary, str) or not 1 <= len(boundary) <= 70:
        raise BadBody("multipart/form-data without a boundary")
    delimiter = b"--" + boundary.encode("ascii", "replace")
    if body[: len(delimiter)] != delimiter:
        raise BadBody("the body does not start with its multipart boundary")
    found: Span | None = None
    position = len(delimiter)
    while body[position : position + 2] == b"\r\n":
        head_end = body.find(b"\r\n\r\n", position, position + 8192)
        if head_end < 0:
            raise BadBody("a multipart part has no end of its headers")
        end = body.find(b"\r\n" + delimiter, head_end + 2)
        if end < 0:
            raise BadBody("the multipart body is cut off")
        part = _header(body[position + 2 : head_end].decode("utf-8", "replace"))
        if part.get_param("name", header="content-disposition") == field_name:
            if found is not None:
                raise BadBody(f"more than one file field {field_name!r}")
            found = Span(head_end + 4, max(end, head_end + 4))
        position = end + 2 + len(delimiter)
    if body[position : position + 2] != b"--":
        raise BadBody("the multipart body is cut off")
    if found is None:
        raise BadBody(f"the form has no file field {field_name!r}")
    return found


def _header(text: str) -> Message:
    return HeaderParser().parsestr(text)
