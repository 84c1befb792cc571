"""What the client makes of a file before it sends it: the same pictures at the same times, or the file as it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream
from cliplane.decoder.reader import load_reader
from cliplane.decoder.video import VideoInfo
from cliplane.settings import Settings
from cliplane_client.shrinking import Shrinking, choose

from tests import media

# Turned by 0, 90, 180, 270 degrees, and each of them mirrored: the upper left of ISO/IEC 14496-12's matrix.
TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
ORIENTATIONS = TURNS + [(-a, b, -c, d) for a, b, c, d in TURNS]


class Shown(NamedTuple):
    """What a file shows: times since the first picture."""

    times: list[float]
    size: tuple[int, int]
    pixel: Fraction
    matrix: list[int]


def shown(path: Path) -> Shown:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, VideoStream)
        times = [float(frame.time or 0) for frame in container.decode(stream)]
        matrix = stream.codec_context.coded_side_data.get("display_matrix")
        return Shown(
            [time - times[0] for time in times],
            (stream.width, stream.height),
            Fraction(str(stream.sample_aspect_ratio or 1)),
            list(memoryview(bytes(matrix)).cast("i")) if matrix else [],
        )


def shrunk(path: Path) -> Shrinking:
    return choose(path, 64, "on", path.parent, lambda: 0.0)


@pytest.fixture(scope="module")
def plain() -> bytes:
    """Two groups of pictures, with pictures that are stored in another order than shown."""
    return media.encode(media.moving_camera("tilt_up", frames=50), options={"g": "25", "preset": "veryfast"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clip"


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_every_picture_keeps_its_time(path: Path, plain: bytes, container: str) -> None:
    path.write_bytes(media.remuxed(plain, container))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    assert shown(done.path).times == pytest.approx(shown(path).times, abs=0.0006)
    assert shown(done.path).size == (128, 96)


def test_so_it_does_where_the_clock_of_33_bits_wraps(path: Path, plain: bytes) -> None:
    def late(packet: Packet[Any]) -> bool:
        by = round((2**33 / 90000 - 1) / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) + by, (packet.dts or 0) + by
        return True

    path.write_bytes(media.remuxed(plain, "mpegts", change=late))
    assert shown(shrunk(path).path).times == pytest.approx(shown(path).times, abs=0.001)
    assert len(shown(path).times) == 50


def test_so_it_does_where_times_are_uneven(path: Path) -> None:
    times_ms = [0, 40, 87, 146, 166, 200, 290, 291, 333, 1200]
    path.write_bytes(media.irregular(times_ms))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    assert shown(done.path).times == pytest.approx([time / 1000 for time in times_ms], abs=0.0006)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_picture_stays_turned_and_mirrored(path: Path, plain: bytes, orientation: tuple[int, ...]) -> None:
    path.write_bytes(media.remuxed(plain, matrix=matrix_of(orientation)))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    assert shown(done.path).matrix == shown(path).matrix


def test_pixels_keep_their_shape(path: Path) -> None:
    frames = media.moving_camera("roll_cw", frames=20, width=180, height=240)
    path.write_bytes(media.encode(frames, options={"x264-params": "sar=16/9"}))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    assert shown(done.path).pixel == shown(path).pixel == Fraction(16, 9)
    assert shown(done.path).size == (72, 96)


def test_a_cover_is_not_sent_for_its_video(path: Path, plain: bytes) -> None:
    path.write_bytes(media.covered(plain))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    assert len(shown(done.path).times) == 50


def without_its_keyframe(packet: Packet[Any]) -> bool | None:
    return None if packet.is_keyframe and (packet.dts or 0) <= 0 else True


def as_the_server_reads(path: Path) -> tuple[VideoInfo, list[np.ndarray]]:
    """What the server says of a file, and every fifth of its pictures, small."""
    with path.open("rb") as file:
        reader = load_reader("pyav")(file.fileno(), None, Settings().decoder_limits(), 2)
        numbers = range(0, reader.info.frame_count, 5)
        pictures = {number: frame.astype(int) for number, frame in reader.frames(numbers, 48, 48)}
        reader.close()
    return reader.info, [pictures[number] for number in numbers]


def matrix_of(orientation: tuple[int, ...]) -> list[int]:
    a, b, c, d = (value << 16 for value in orientation)
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "mp4": bytes,
    "a camera's transport stream": lambda plain: media.remuxed(plain, "mpegts"),
    "with a cover": media.covered,
    "uneven": lambda _: media.irregular([40 * k + 7 * k * k % 17 for k in range(50)]),
    "not square": lambda _: media.encode(
        media.moving_camera("tilt_up", frames=50, width=180), options={"x264-params": "sar=16/9"}
    ),
} | {
    f"turned by {90 * (number % 4)}{', mirrored' * (number // 4)}": partial(
        media.remuxed, matrix=matrix_of(orientation)
    )
    for number, orientation in enumerate(ORIENTATIONS)
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_sees_the_same_of_what_is_shrunk(path: Path, plain: bytes, kind: str) -> None:
    path.write_bytes(KINDS[kind](plain))
    done = shrunk(path)
    assert done.was_shrunk, done.reason
    (raw, pictures), (small, small_pictures) = as_the_server_reads(path), as_the_server_reads(done.path)
    assert small.fps == pytest.approx(raw.fps, rel=0.03)
    assert small.frame_count == pytest.approx(raw.frame_count, abs=1)
    assert small.width / small.height == pytest.approx(raw.width / raw.height, rel=0.05)  # whole pixels, and even ones
    for ours, theirs in zip(small_pictures, pictures, strict=False):
        assert np.abs(ours - theirs).mean() < 12  # encoded again; turned otherwise it is 40


def test_a_beginning_without_a_keyframe_is_the_server_s_to_judge(path: Path, plain: bytes) -> None:
    path.write_bytes(media.remuxed(plain, "mpegts", change=without_its_keyframe))
    assert shrunk(path) == Shrinking(path, False, shrunk(path).reason, path.stat().st_size, path.stat().st_size)
    assert "a part of it is missing" in shrunk(path).reason


def test_so_is_a_clock_that_leaps(path: Path, plain: bytes) -> None:
    path.write_bytes(media.remuxed(plain, "mpegts", change=media.leaping))
    assert "its clock leaps" in shrunk(path).reason
    once = media.remuxed(plain, "mpegts")
    path.write_bytes(once + once)
    assert not shrunk(path).was_shrunk


def test_so_is_damage(path: Path, plain: bytes) -> None:
    with av.open(io.BytesIO(plain), "r") as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = packets[20]
    path.write_bytes(plain[:place] + bytes(size) + plain[place + size :])
    assert not shrunk(path).was_shrunk
    path.write_bytes(media.remuxed(plain, "mpegts")[:-20_000])
    for a, b in pairwise(shown(shrunk(path).path).times):
        assert a < b


def test_what_has_another_file_behind_it_goes_as_it_is(path: Path, plain: bytes) -> None:
    path.write_bytes(plain * 2)
    assert shrunk(path).reason == "the server shall judge it: another file is behind it"
