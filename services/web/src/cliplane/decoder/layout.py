"""How a file is put together, by the heads of its outermost parts: what FFmpeg's index does not tell. No part is read
whole, and no frame."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cliplane.decoder.container import byte_size
from cliplane.decoder.media import Span

_MAX_CHUNKS = 10_000
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def behind_first_movie(file: int, span: Span | None) -> float:
    """The part of an MP4 that is another file behind the first one, which is all that players show."""
    start, end = span or (0, byte_size(file, span))
    position, has_movie = start, False
    for _ in range(_MAX_CHUNKS):
        head = os.pread(file, 16, position)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if has_movie and kind == b"ftyp":
            return (end - position) / (end - start)
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or position + size >= end:
            return 0.0
        has_movie |= kind == b"moov"
        position += size
    return 0.0


def has_fragments(file: int, span: Span | None) -> bool:
    """Whether an MP4's index goes on in movie fragments (ISO/IEC 14496-12, 8.8), of which FFmpeg knows the first."""
    position, end = span or (0, byte_size(file, span))
    while position + 8 <= end:
        head = os.pread(file, 16, position)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"moof":
            return True
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            return False
        position += size
    return False


def is_joined_matroska(file: int, span: Span | None) -> bool:
    """Whether another file begins where the first one's Segment ends (RFC 8794, 6; RFC 9559, 4.5). A Segment of unknown
    size ends nowhere: it is not asked for."""
    position, end = span or (0, byte_size(file, span))
    for element in (_EBML, _SEGMENT):
        head = os.pread(file, 12, position)
        if head[:4] != element:
            return False
        length = 9 - head[4].bit_length() if len(head) == 12 else 9
        if length > 8:
            return False
        size = int.from_bytes(head[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        position += 4 + length + size
    return position + 4 <= end and os.pread(file, 4, position) == _EBML


def before_wrong_index(file: int, span: Span | None, places: Sequence[int]) -> Span | None:
    """Of an AVI whose index does not lead to chunks of pictures (`places`: some of it), the file up to the index; None:
    it is right, or there is none at the end."""
    start, end = span or (0, byte_size(file, span))
    found = [os.pread(file, 12, start + max(place - 8, 0)) for place in places]
    # An index has the place of a picture's chunk, or of what is in it.
    if sum(b"dc" in (head[2:4], head[10:12]) or b"db" in (head[2:4], head[10:12]) for head in found) > len(found) / 2:
        return None
    position = start + 12
    for _ in range(_MAX_CHUNKS):
        head = os.pread(file, 8, position)
        if len(head) < 8 or position + 8 > end:
            return None
        if head[:4] == b"idx1":
            return Span(start, position)
        size = int.from_bytes(head[4:], "little")
        position += 8 + size + (size & 1)
    return None


def goes_on_behind(file: int, span: Span | None, position: int, size: int) -> bool:
    """Whether an AVI has pictures behind the one that its index has last, of so many bytes at `position` of the video:
    the index was not finished."""
    start, end = span or (0, byte_size(file, span))
    # An index has the place of a picture's chunk, or of what is in it.
    position += start + size + (8 if os.pread(file, 8, start + position)[2:4] in (b"dc", b"db") else 0)
    position += (position - start) & 1
    for _ in range(_MAX_CHUNKS):
        head = os.pread(file, 8, position)
        if len(head) < 8 or position + 8 > end:
            return False
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind[2:] in (b"dc", b"db") and size:
            return True
        position += 12 if kind in (b"RIFF", b"LIST") else 8 + size + (size & 1)
    return True
