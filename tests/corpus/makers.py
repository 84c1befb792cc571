"""How the files of the corpus are made: one function a kind of file."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from tests import media
from tests.corpus import rewriting as re

WIDTH, HEIGHT = 256, 192
SEQ = ("pan_left", "pan_left", "tilt_up", "tilt_up")
PAN, TILT = ("pan_left",) * 4, ("tilt_up",) * 4
W = 1 << 30
TURN = (0, 1, -1, 0)
FAST: dict[str, Any] = {"deadline": "realtime", "cpu-used": "8"}


@cache
def _pictures() -> tuple[np.ndarray, ...]:
    moves = (media.moving_camera(label, frames=100, width=WIDTH, height=HEIGHT) for label in ("pan_left", "tilt_up"))
    return tuple(itertools.chain(*moves))


def pictures(start: int = 0, end: int = 200, step: int = 1) -> Iterator[np.ndarray]:
    """Some pictures of `SEQ`."""
    return iter(_pictures()[start:end:step])


@cache
def seq(container: str = "mp4", codec: str = "libx264", *, gop: int = 50, b_frames: int = 2) -> bytes:
    """`SEQ` in H.264 or another codec."""
    options = {"g": str(gop), "bf": str(b_frames), "preset": "veryfast", "x264-params": "scenecut=0"}
    return media.encode(pictures(), container=container, codec=codec, options=options if codec == "libx264" else {})


@cache
def part(start: int, end: int, container: str = "mp4") -> bytes:
    """Pictures `start` to `end` of `SEQ`, as a recording of its own."""
    return media.encode(pictures(start, end), container=container, options={"g": "50", "preset": "veryfast"})


def made(container: str, codec: str, pixels: str = "yuv420p", **options: str) -> Callable[[], bytes]:
    """`SEQ` by one of FFmpeg's muxers and encoders."""
    return lambda: media.encode(pictures(), container=container, codec=codec, pixels=pixels, options=options)


@cache
def hevc() -> bytes:
    return made("hevc", "libx265", preset="ultrafast", **{"x265-params": "log-level=none"})()


def browser(codec: str, container: str, **options: str) -> bytes:
    """Uneven times, no rate and no duration in the header: what MediaRecorder writes."""
    rng = random.Random(codec)
    times = [40 * n + rng.randrange(28) for n in range(200)]
    data = media.timed(pictures(), times, container=container, codec=codec, options=options, muxer={"live": "1"})
    return re.without_rate(data)


def field_rate_avi() -> bytes:
    """H.264 as FFmpeg copies it into AVI: at the rate of fields, every second place empty."""

    def change(_: int, packet: re.Packet) -> re.Packet:
        packet.pts, packet.dts = 2 * packet.pts + 1024, 2 * packet.dts + 1024
        return packet

    data = media.encode(pictures(), fps=50, options={"g": "50", "bf": "2", "preset": "veryfast"})
    return re.remuxed(data, "avi", change=change, codec_filter="h264_mp4toannexb")


def joined_dvd() -> bytes:
    parts = (pictures(0, 100), pictures(100, 200))
    return b"".join(media.encode(part, container="vob", codec="mpeg2video", options={"b": "2000k"}) for part in parts)


def gif_size() -> Iterator[np.ndarray]:
    return (picture[::2, ::2] for picture in pictures(step=2))


def joined_browser() -> bytes:
    halves = (pictures(0, 100), pictures(100, 200))
    return b"".join(media.encode(half, container="webm", codec="libvpx", options=FAST) for half in halves)


def copied_from_raw() -> bytes:
    """As `ffmpeg -i raw.h264 -c copy` has it: each picture is said to be shown when it is decoded."""

    def change(_: int, packet: re.Packet) -> re.Packet:
        packet.pts = packet.dts = packet.dts + 1024
        return packet

    return re.remuxed(seq(), "mp4", change=change)


def time_damaged() -> bytes:
    """A flipped bit: one picture is said to be shown six minutes late."""

    def change(number: int, packet: re.Packet) -> re.Packet:
        packet.pts += 12800 * 367 if number == 61 else 0
        return packet

    return re.remuxed(seq(b_frames=0), "mpegts", change=change)


def half_fast() -> bytes:
    """A phone's: 100 pictures a second by day, 5 by night."""
    times = [*range(0, 4000, 10), *range(4000, 8000, 200)]
    shown = itertools.chain((p for q in pictures(0, 100) for p in [q] * 4), pictures(100, 200, 5))
    return media.timed(shown, times, container="mp4", options={"preset": "veryfast"})


def uneven_gif() -> bytes:
    """Delays of 60, 100 and 80 ms in turn (GIF89a, 23)."""
    data = bytearray(media.encode(gif_size(), container="gif", codec="gif", pixels="rgb8", fps=Fraction(25, 2)))
    at, delays = 0, itertools.cycle((6, 10, 8))
    while (at := data.find(b"\x21\xf9\x04", at)) >= 0:
        data[at + 4 : at + 6] = next(delays).to_bytes(2, "little")
        at += 8
    return bytes(data)


def dv() -> bytes:
    """DV's pictures are 720 × 576; PAL's pixels are wider than high."""
    row, column = np.arange(576) * HEIGHT // 576, np.arange(720) * WIDTH // 720
    return media.encode((picture[row][:, column] for picture in pictures(step=4)), container="dv", codec="dvvideo")


def anamorphic() -> bytes:
    return media.encode(pictures(0, 100), pixel_aspect=Fraction(4, 3))


def damaged_stream() -> bytes:
    """A transport stream that lost every 97th packet on its way."""
    whole = seq("mpegts")
    packets = [whole[k : k + 188] for k in range(0, len(whole), 188)]
    return b"".join(packet for n, packet in enumerate(packets) if n < 20 or n % 97)


def turned(matrix: tuple[int, int, int, int], container: str = "mp4", **options: Any) -> Callable[[], bytes]:
    """Tilt_up stored so that this matrix (a, b, c, d) gives it back."""
    a, b, c, d = matrix
    full = (a * re.ONE, b * re.ONE, 0, c * re.ONE, d * re.ONE, 0, 0, 0, W)

    def stored(picture: np.ndarray) -> np.ndarray:
        turned = picture.transpose(1, 0, 2)[:: c or 1, :: b or 1] if b or c else picture[:: d or 1, :: a or 1]
        return np.ascontiguousarray(turned)

    def make() -> bytes:
        data = media.encode(map(stored, pictures(100, 200)), options={"preset": "veryfast", "bf": "0"}, **options)
        return re.remuxed(data, container, matrix=full)

    return make


def vp9(container: str) -> bytes:
    return made(container, "libvpx-vp9", g="100", **FAST)()


def mpeg_1() -> bytes:
    return made("mpeg", "mpeg1video", b="2000k")()


def phone() -> bytes:
    """QCIF, whose pixels are wider than high (ITU-T H.263, 4.1)."""
    row, column = np.arange(144) * HEIGHT // 144, np.arange(176) * WIDTH // 176
    small = (picture[row][:, column] for picture in pictures())
    return media.encode(small, container="3gp", codec="h263", options={"b": "800k"}, pixel_aspect=Fraction(12, 11))
