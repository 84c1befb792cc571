"""What container is this file? Pure: bytes in, a name out; no demuxer is involved.

Owns the list of containers that may reach a demuxer at all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from cliplane.errors import NotAVideo

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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a video may be, all but `max_damage` before anything of it is decoded."""

    max_pixels: int
    max_duration_s: float
    max_frames: int
    max_streams: int
    max_damage: float  # part of the frames that views need
    codecs: str  # names as FFmpeg has them, separated by commas


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
