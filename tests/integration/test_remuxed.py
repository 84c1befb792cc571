"""A clip of a known move, re-muxed, re-timed, turned, stretched, cut by an edit list and damaged at random: its label
stays, its size and its length are those that a player shows.

REMUXED says how many draws (`make fuzz` asks for 10,000). The seed is fixed, so a failure can be had again: its number
is in the message, and `draw(number)` makes the same file.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from tests import media
from tests.corpus.classifying import seen
from tests.corpus.rewriting import ONE, Packet, remuxed

DRAWS = int(os.environ.get("REMUXED") or 500)
SEED = 20261128
PICTURES = 75

MOVES = {"pan_left": (-1, 0), "pan_right": (1, 0), "tilt_up": (0, -1), "tilt_down": (0, 1)}
OTHERS = ("zoom_in", "zoom_out")
# a b c d of the eight orientations (ISO/IEC 14496-12, 8.3.2)
MATRICES = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 0, -1)]
MATRICES += [(0, -1, -1, 0)]

CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "bf": "2", "g": "25", "x264-params": "scenecut=0"},
    "mpeg4": {"b": "2000k", "g": "25"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": "25", "b": "1000k"},
    "mpeg2video": {"b": "2000k", "g": "25"},
}
CONTAINERS = {
    "libx264": ("mp4", "mov", "matroska", "mpegts", "flv", "fragmented"),
    "mpeg4": ("mp4", "matroska", "avi", "mpegts"),
    "libvpx-vp9": ("webm", "matroska", "mp4", "ivf"),
    "mpeg2video": ("mpegts", "vob", "matroska", "mxf"),
}
TURNED = ("mp4", "mov", "fragmented")
RETIMED = ("mp4", "mov", "matroska", "webm", "mpegts", "fragmented", "flv")
"""Containers that write any times; the others count frames."""


LISTED = ("mp4", "mov")
"""Containers with edit lists: what is before zero is there, and hidden."""

STRETCHED = ("libx264", "mpeg4", "mpeg2video")
"""Codecs that say how wide a pixel is, whatever the container."""

SIDE = 160


@cache
def clip(label: str, codec: str, pixel_aspect: Fraction | None) -> bytes:
    """A square one, so that every turn of it shows as much."""
    frames = media.moving_camera(label, frames=PICTURES, width=SIDE, height=SIDE, speed=0.008)
    options = CODECS[codec]
    muxer = {"video_track_timescale": "1000"}  # milliseconds; Matroska, which has them, does not tell when to decode
    return media.encode(frames, codec=codec, options=options, muxer=muxer, pixel_aspect=pixel_aspect)


@dataclass(frozen=True)
class Draw:
    label: str  # that is right
    told: str  # how the file was made
    size: tuple[int, int]
    seconds: float | None  # None: what is lost at its beginning makes it shorter
    data: bytes


def draw(number: int) -> Draw:
    rng = random.Random(f"{SEED}-{number}")
    codec = rng.choice(list(CODECS))
    container = rng.choice(CONTAINERS[codec])
    label = rng.choice([*MOVES, *OTHERS])
    matrix = rng.choice(MATRICES) if container in TURNED else MATRICES[0]
    can_retime = container in RETIMED
    speed = rng.choice((1.0, 1.0, 0.8, 1.3)) if can_retime else 1.0
    jitter_ms = rng.choice((0, 0, 6)) if can_retime and codec == "libvpx-vp9" else 0
    start_ms = rng.choice((0, 40, 1400, 3_600_000, 95_400_000)) if can_retime and container != "flv" else 0
    hidden_ms = rng.choice((0, 0, 400)) if container in LISTED and start_ms == 0 else 0
    pixel_aspect = rng.choice((None, Fraction(4, 3))) if codec in STRETCHED else None
    # What comes before the first keyframe is not shown.
    late = rng.choice((0, 0, 0, 5)) if container in ("mp4", "mpegts", "matroska") else 0
    # A VP9 decoder takes other pictures for those that are lost, and says nothing: what it shows may stand still.
    lost = set(rng.sample(range(30, 70), rng.choice((0, 0, 1, 2)))) if codec != "libvpx-vp9" else set()
    noise = random.Random(number)

    def change(n: int, packet: Packet) -> Packet | None:
        if n < late or n in lost:
            return None
        jitter = noise.randrange(jitter_ms + 1)
        packet.pts = round(packet.pts / speed) + start_ms - hidden_ms + jitter
        packet.dts = round(packet.dts / speed) + start_ms - hidden_ms + (jitter if packet.pts == packet.dts else 0)
        if jitter_ms:
            packet.dts = packet.pts
        return packet

    muxer = {"movflags": "frag_keyframe+empty_moov"} if container == "fragmented" else {}
    a, b, c, d = matrix
    full = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30) if matrix != MATRICES[0] else None
    data = remuxed(
        clip(label, codec, pixel_aspect),
        "mp4" if container == "fragmented" else container,
        change=change,
        matrix=full,
        muxer=muxer,
        codec_filter="dump_extra" if codec == "mpeg4" and container == "mpegts" else "",  # it has no other place for it
    )
    if label in MOVES:
        x, y = MOVES[label]
        towards = (a * x + c * y, b * x + d * y)
        label = next(name for name, direction in MOVES.items() if direction == towards)
    told = f"{codec} in {container}, matrix {matrix}, speed {speed}, jitter {jitter_ms}, start {start_ms}, "
    told += f"hidden {hidden_ms}, pixel {pixel_aspect}, late {late}, lost {sorted(lost)}"
    size = (round(SIDE * (pixel_aspect or 1)), SIDE)
    seconds = None if late else PICTURES / 25 / speed - hidden_ms / 1000
    return Draw(label, told, size if a else size[::-1], seconds, data)


def test_the_label_stays_whatever_container_rate_start_turn_shape_or_damage(tmp_path: Path) -> None:
    path = tmp_path / "video"
    wrong: list[Any] = []
    for number in range(DRAWS):
        drawn = draw(number)
        path.write_bytes(drawn.data)
        found = seen(path)
        facts = found.facts
        is_right = set(found.labels) == {drawn.label} and (facts.width, facts.height) == drawn.size
        if not is_right or abs(facts.duration_s - (drawn.seconds or facts.duration_s)) > 0.1:
            wrong.append((number, drawn.told, drawn.label, found.labels, found.warnings, found.facts))
    assert not wrong, f"{len(wrong)} of {DRAWS}: {wrong[:5]}"
