"""How the stored picture is turned, mirrored and stretched to the one that is displayed. Pure.

Of a display matrix, of an H.264 or HEVC stream's SEI message, and of a pixel that is not square.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_MAX_UNEQUAL = 8.0
"""A pixel's sides: beyond it the file is wrong."""

_DISPLAY_ORIENTATION = 47  # payloadType, H.264 and HEVC alike


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of eight: first mirrored left to right, then turned clockwise by so many quarters."""

    quarter_turns: int = 0
    is_mirrored: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The displayed (width, height) of a stored one; or the other way round."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def displayed(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A view of (H, W, C)."""
        if self.is_mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, -self.quarter_turns) if self.quarter_turns else picture


def of_matrix(matrix: bytes) -> Orientation:
    """Of FFmpeg's display matrix: nine 16.16 numbers a b u c d v x y w, which take (x, y) to (ax + cy, bx + dy), y
    pointing down (ISO/IEC 14496-12, 8.3.2). The nearest of the eight; one that is none at all changes nothing."""
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if a * d == b * c:
        return Orientation()
    return Orientation(round(math.atan2(-c, d) / (math.pi / 2)) % 4, a * d < b * c)


def of_sei(packet: bytes, codec: str, nal_length_bytes: int) -> Orientation | None:
    """Of the display orientation SEI message of a keyframe's packet (ITU-T H.264, D.2.28; H.265, D.3.17); None: it has
    none. `nal_length_bytes`: how long each NAL unit's length before it is; 0: start codes lie between them."""
    for unit in _units(packet, nal_length_bytes):
        if not unit:
            continue
        if codec == "h264" and unit[0] & 0x1F == 6:
            payloads = unit[1:]
        elif codec == "hevc" and unit[0] >> 1 & 0x3F == 39:
            payloads = unit[2:]
        else:
            continue
        for kind, payload in _payloads(payloads.replace(b"\x00\x00\x03", b"\x00\x00")):
            if kind == _DISPLAY_ORIENTATION and len(payload) >= 3 and not payload[0] & 0x80:
                bits = int.from_bytes(payload[:3], "big")
                is_mirrored, is_flipped, anticlockwise = bits >> 22 & 1, bits >> 21 & 1, bits >> 5 & 0xFFFF
                # To flip top to bottom is to mirror, then half a turn.
                turns = 2 * is_flipped - round(anticlockwise / 0x4000)
                return Orientation(turns % 4, bool(is_mirrored ^ is_flipped))
    return None


def squared_size(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """The (width, height) of a stored picture once its pixels, so many times as wide as high, are square."""
    if not 1 / _MAX_UNEQUAL <= pixel_aspect <= _MAX_UNEQUAL:
        return width, height
    return max(1, round(width * pixel_aspect)), height


def _units(packet: bytes, nal_length_bytes: int) -> Iterator[bytes]:
    if not nal_length_bytes:
        yield from packet.split(b"\x00\x00\x01")[1:]
        return
    position = 0
    while position + nal_length_bytes < len(packet):
        start = position + nal_length_bytes
        position = start + int.from_bytes(packet[position:start], "big")
        yield packet[start:position]


def _payloads(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(payloadType, payload) of an SEI NAL unit: each number is a run of 255s and a rest (H.264, 7.3.2.3.1)."""
    position = 0
    while position + 2 < len(message):
        numbers = []
        for _ in range(2):
            number = 0
            while position < len(message) and message[position] == 0xFF:
                number, position = number + 255, position + 1
            if position >= len(message):
                return
            numbers.append(number + message[position])
            position += 1
        kind, size = numbers
        yield kind, message[position : position + size]
        position += size
