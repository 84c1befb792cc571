"""All eight orientations, as they are written by containers and by streams, and pixels that are not square."""

from __future__ import annotations

import io
import itertools
import struct
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from cliplane.decoder.orientation import Orientation, of_matrix, of_sei, squared_size

from tests import media

ONE = 1 << 16
EIGHT = [Orientation(turns, is_mirrored) for turns in range(4) for is_mirrored in (False, True)]
PICTURE = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)


def matrix(orientation: Orientation) -> bytes:
    """Where the stored picture's unit vectors go: a and b of one to the right, c and d of one down."""
    stored = np.array([[1, 0], [0, 1]])
    mirrored = stored * [-1, 1] if orientation.is_mirrored else stored
    for _ in range(orientation.quarter_turns):  # clockwise: right becomes down, down becomes left
        mirrored = np.stack([-mirrored[:, 1], mirrored[:, 0]], axis=1)
    (a, b), (c, d) = mirrored.tolist()
    return struct.pack("=9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("orientation", EIGHT, ids=str)
def test_a_display_matrix_is_understood_and_the_picture_shown_by_it(orientation: Orientation) -> None:
    assert of_matrix(matrix(orientation)) == orientation
    a, b, _, c, d = struct.unpack_from("=5i", matrix(orientation))
    shown = orientation.displayed(PICTURE)
    width, height = orientation.size(3, 2)
    assert shown.shape == (height, width, 1)
    for x, y in itertools.product(range(3), range(2)):
        # Each pixel goes where the matrix takes it, about the middle of the picture.
        right, down = x - 1, y - 0.5
        to_x = (a * right + c * down) / ONE + (width - 1) / 2
        to_y = (b * right + d * down) / ONE + (height - 1) / 2
        assert shown[int(to_y), int(to_x), 0] == PICTURE[y, x, 0]


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0, 0), (ONE, ONE, 0, ONE, ONE)])
def test_a_matrix_that_is_none_changes_nothing(numbers: tuple[int, ...]) -> None:
    assert of_matrix(struct.pack("=9i", *numbers, 0, 0, 0, 1 << 30)) == Orientation()


@cache
def one_picture() -> bytes:
    return media.encode(media.moving_camera("static", frames=1, width=64, height=48), container="mpegts")


@pytest.mark.parametrize("flip", ["", "horizontal", "vertical", "horizontal+vertical"])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_stream_s_own_orientation_is_ffmpeg_s(flip: str, rotate: int) -> None:
    options = f"display_orientation=insert:rotate={rotate}" + (f":flip={flip}" if flip else "")
    with av.open(io.BytesIO(one_picture()), "r") as container:
        stream = container.streams.video[0]
        written = BitStreamFilterContext(f"h264_metadata={options}", in_stream=stream)
        packet = next(packet for read in container.demux(stream) for packet in written.filter(read))
        found = of_sei(bytes(packet), "h264", 0)
        decoder: Any = av.CodecContext.create("h264", "r")
        frame = [*decoder.decode(packet), *decoder.decode(None)][0]
    if flip:
        assert found == of_matrix(bytes(frame.side_data["DISPLAYMATRIX"]))
    else:
        assert found == Orientation(-rotate // 90 % 4)


def test_a_stream_without_the_message_or_with_a_cancelled_or_broken_one_says_nothing() -> None:
    assert of_sei(b"\x00\x00\x01\x06\x2f\x03\x80\x00\x00\x80", "h264", 0) is None
    assert of_sei(b"\x00\x00\x01\x65\xff\xff", "h264", 0) is None
    assert of_sei(b"\x00\x00\x01\x06" + b"\xff" * 50, "h264", 0) is None
    assert of_sei(b"\x00\x00\x00\xff\x06\x2f", "h264", 4) is None
    assert of_sei(b"", "hevc", 4) is None
    assert of_sei(b"\x00\x00\x01\x4e\x01\x2f\x03\x08\x00\x00\x80", "hevc", 0) == Orientation(3)


@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [
        ((270, 360), 16 / 9, (480, 360)),
        ((720, 480), 8 / 9, (640, 480)),
        ((1440, 1080), 4 / 3, (1920, 1080)),
        ((640, 480), 1.0, (640, 480)),
        ((640, 480), 1000.0, (640, 480)),
        ((640, 480), 0.0, (640, 480)),
    ],
)
def test_pixels_are_squared_unless_the_file_says_nonsense(
    stored: tuple[int, int], aspect: float, shown: tuple[int, int]
) -> None:
    assert squared_size(*stored, aspect) == shown
