"""What a Hugging Face processor does to a frame before the network sees it, read from its file in the trainer's folder.

Nothing of it is written a second time here: the class that the file names is asked. Its defaults differ from what is
published, and ViViT's scales twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from .brought import CannotBring

FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
_TYPES = ("video_processor_type", "image_processor_type", "feature_extractor_type")
_CLASSES = (
    "VideoMAEImageProcessor",
    "VideoMAEVideoProcessor",
    "TimesformerVideoProcessor",
    "VivitImageProcessor",
    "VivitVideoProcessor",
    "VJEPA2VideoProcessor",
    "LlavaOnevisionVideoProcessor",  # VideoPrism's
)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Sides in pixels; mean and standard deviation of red, green and blue, on the scale of the pixels, 0 to 255."""

    short_side: int
    crop: int
    fit: str  # as `Sampling` has it
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_preparation(folder: Path) -> Preparation:
    """What the processor's file says.

    Raises:
        CannotBring: there is none, it is not understood, or it does what is not done here.
    """
    found = {name: _preparation(folder / name) for name in FILES if (folder / name).is_file()}
    if not found:
        raise CannotBring(f"it has neither {' nor '.join(FILES)}: save the processor beside the model")
    if len(set(found.values())) > 1:
        raise CannotBring(f"{' and '.join(found)} contradict each other: leave the one that was trained with")
    return next(iter(found.values()))


def _preparation(path: Path) -> Preparation:
    said = read_json(path)
    name = next((str(said[key]) for key in _TYPES if said.get(key)), "")
    known = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    if known not in _CLASSES:
        raise CannotBring(f"{path.name}: {name or 'a processor without a type'}; it is one of {', '.join(_CLASSES)}")
    try:
        processor = getattr(transformers, known)(**said)
        pixels = _prepared(processor)
    except Exception as exc:  # whatever a library raises at a file that it did not write
        raise CannotBring(f"{path.name}: {known} cannot be made of it: {_first_line(exc)}") from exc
    scale, offset = (pixels[:, 255] - pixels[:, 0]) / 255, pixels[:, 0]
    if not (scale > 0).all() or np.abs(pixels - scale[:, None] * np.arange(256) - offset[:, None]).max() > 1e-4:
        raise CannotBring(f"{path.name}: its normalisation is not a mean and a deviation")
    short_side, crop, fit = _cut(path.name, processor)
    return Preparation(short_side, crop, fit, tuple((-offset / scale).tolist()), tuple((1 / scale).tolist()))


def _prepared(processor: Any) -> np.ndarray:
    """(3, 256): what becomes of each value of a pixel, by colour."""
    # Two frames of 16 × 16 pixels with every value, for a frame of small values alone is taken for a scaled one.
    frame = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    is_of_images = type(processor).__name__.endswith("ImageProcessor")
    video = [[frame, frame]] if is_of_images else [np.stack([frame, frame])]
    found = processor(video, return_tensors="np", do_resize=False, do_center_crop=False)
    (prepared,) = found.values()  # (1, 2, 3, 16, 16)
    return np.asarray(prepared[0, 0], np.float64).reshape(3, 256)


def _cut(file: str, processor: Any) -> tuple[int, int, str]:
    """(short side, crop, fit), the sides in pixels."""
    size, crop = _sides(processor.size), _sides(processor.crop_size)
    is_square = set(size) == {"height", "width"} and size["height"] == size["width"]
    if not processor.do_resize or not (is_square or set(size) == {"shortest_edge"}):
        does = f"scales frames to {size}" if processor.do_resize else "does not scale frames"
        raise CannotBring(f"{file}: it {does}; here it is by their short side (size.shortest_edge) or to a square")
    side = size["height" if is_square else "shortest_edge"]
    if is_square and not processor.do_center_crop:
        return side, side, "square"
    if not processor.do_center_crop or set(crop) != {"height", "width"} or crop["height"] != crop["width"]:
        raise CannotBring(f"{file}: it cuts no square from the centre (do_center_crop, crop_size)")
    if crop["height"] > side:
        raise CannotBring(f"{file}: a crop of {crop['height']} does not fit a short side of {side}")
    return side, crop["height"], "square" if is_square else "short_side"


def _sides(size: Any) -> dict[str, int]:
    """A size without what is not said."""
    return {key: int(value) for key, value in dict(size or {}).items() if value is not None}


def read_json(path: Path) -> dict[str, Any]:
    """An object of a trainer's folder.

    Raises:
        CannotBring: it is none, or wants code of its own to be run.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise CannotBring(f"{path.name}: it cannot be read as JSON") from exc
    if not isinstance(found, dict):
        raise CannotBring(f"{path.name}: it is no JSON object")
    for word in ("auto_map", "trust_remote_code"):
        if found.get(word):
            raise CannotBring(f"{path.name}: {word} asks for code of its own, and none is run here")
    return found


def _first_line(exc: Exception) -> str:
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
