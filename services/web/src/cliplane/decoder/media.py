"""What container is this file? Pure: bytes in, a name out; no demuxer is involved.

Owns the list of containers that may reach a demuxer at all, and of the codecs of each that may be decoded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from cliplane.errors import NotAVideo

HEAD_BYTES = 4096
"""How much of a file `sniff` needs to see."""

_USUAL = (
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video", "msmpeg4v2", "msmpeg4v3", "mjpeg"),
    *("prores", "theora", "vc1", "wmv3", "h263"),
)

CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": (*_USUAL, "dnxhd", "dvvideo", "cinepak"),
    "mov": (*_USUAL, "dnxhd", "dvvideo", "cinepak"),
    "matroska": (*_USUAL, "dnxhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "cinepak"),
    "webm": _USUAL,
    "avi": (*_USUAL, "dvvideo", "ffv1", "huffyuv", "ffvhuff", "cinepak", "wmv1", "wmv2"),
    "mpegts": _USUAL,
    "mpegps": ("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc"),
    "flv": ("flv1", "vp6f", "h264", "hevc", "av1", "vp9", "mpeg4"),
    "asf": ("wmv1", "wmv2", "wmv3", "vc1", "msmpeg4v2", "msmpeg4v3", "mpeg4", "mjpeg", "h264"),
    "ogg": ("theora", "vp8"),
    "mxf": ("mpeg2video", "mpeg4", "h264", "hevc", "dnxhd", "dvvideo", "prores"),
    "dv": ("dvvideo",),
    "h264": ("h264",),
    "hevc": ("hevc",),
    "ivf": ("vp8", "vp9", "av1"),
    "y4m": ("rawvideo",),
    "gif": ("gif",),
    "apng": ("apng",),
    "webp": ("webp_anim",),
}
"""The containers that may reach a demuxer, and the codecs, by FFmpeg's names, that may be decoded of each."""

CODECS = tuple(dict.fromkeys(codec for codecs in CONTAINERS.values() for codec in codecs))

# First boxes of an ISO base media or QuickTime file (ISO/IEC 14496-12; QuickTime File Format, "wide", "pnot").
_ISO_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_START, _PACK = b"\x00\x00\x01", 0xBA
_PROGRAM_STREAM = re.compile(_START + b"[\xba-\xef]")
_EBML = b"\x1a\x45\xdf\xa3"
# Bytes of a packet, the first of which is 0x47 (ISO/IEC 13818-1, 2.4.3.2): as sent, with a time stamp before it
# (AVCHD), with a check sum behind it (DVB).
_TS_PACKETS = (188, 192, 204)
_FIRST_BYTES = (
    (b"FLV\x01", "flv"),
    (b"\x00\x00\x01\xba", "mpegps"),  # ISO/IEC 13818-1, 2.5.3.3
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"OggS", "ogg"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "mxf"),  # SMPTE 377-1: a header partition
    (b"\x1f\x07\x00", "dv"),  # IEC 61834-2: the header block of a DIF sequence
    (b"DKIF", "ivf"),
    (b"YUV4MPEG2 ", "y4m"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


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


def sniff(head: bytes, allowed: Collection[str] = tuple(CONTAINERS)) -> str:
    """The container whose magic bytes `head` (the first `HEAD_BYTES` of a file) starts with.

    Raises:
        NotAVideo: it is none that is known, or not one of those `allowed`.
    """
    container = _container(head)
    if container not in allowed:
        found = f"{container}, which is not allowed here" if container else "no container that is known here"
        raise NotAVideo(f"{found}; allowed: {', '.join(allowed)}")
    return container


def _container(head: bytes) -> str:
    box = head[4:8]
    if len(head) >= 12 and box in _ISO_FIRST_BOXES:
        return "mov" if box != b"ftyp" or head[8:12] == b"qt  " else "mp4"
    if head.startswith(_EBML):
        # The EBML header's DocType element (0x4282) says which Matroska this is.
        return "webm" if b"\x42\x82\x84webm" in head[:64] else "matroska"
    if head.startswith(b"RIFF"):
        if head[8:12] == b"AVI ":
            return "avi"
        # The extended header's bit of an animation (WebP Container Specification).
        return "webp" if head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2 else ""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "apng" if b"acTL" in head.partition(b"IDAT")[0] else ""
    for first, name in _FIRST_BYTES:
        if head.startswith(first):
            return name
    if raw := _raw_stream(head):
        return raw
    if _is_transport_stream(head):
        return "mpegts"
    return "mpegps" if _is_program_stream(head) else ""


def _raw_stream(head: bytes) -> str:
    """H.264 begins with a sequence parameter set, a delimiter or a message (ITU-T H.264, 7.4.1), HEVC with a video
    parameter set or a delimiter (H.265, 7.4.2.2)."""
    for start_code in (b"\x00\x00\x00\x01", b"\x00\x00\x01"):
        if head.startswith(start_code):
            unit = head[len(start_code) : len(start_code) + 2]
            if unit in (b"\x40\x01", b"\x46\x01"):
                return "hevc"
            return "h264" if unit[:1] in (b"\x67", b"\x47", b"\x27", b"\x09", b"\x06") else ""
    return ""


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets follow one another, from the first byte on or cut off in the middle of one."""
    for size in _TS_PACKETS:
        for first in range(min(size, len(head))):
            packets = range(first, len(head), size)
            if len(packets) > 2 and all(head[place] == 0x47 for place in packets):
                return True
    return False


def _is_program_stream(head: bytes) -> bool:
    """Whether a pack's header or a packet ends where another one begins (ISO/IEC 13818-1, 2.5.3; 11172-1, 2.4.3): the
    file may be cut off in the middle of one."""
    for found in _PROGRAM_STREAM.finditer(head):
        place, kind = found.start(), head[found.end() - 1]
        if kind != _PACK:
            behind = place + 6 + int.from_bytes(head[place + 4 : place + 6], "big")
        elif head[place + 4 : place + 5] < b"\x40":  # MPEG-1
            behind = place + 12
        else:
            behind = place + 14 + (int.from_bytes(head[place + 13 : place + 14]) & 7)
        if head[behind : behind + 3] == _START and head[behind + 3 : behind + 4] >= b"\xb9":
            return True
    return False
