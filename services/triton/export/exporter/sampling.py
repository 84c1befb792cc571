"""How a model's videos are cut: what `parameters` and the input of its config.pbtxt say."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


class BadSampling(Exception):
    """SAMPLING asks for what cannot be."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The `parameters` of config.pbtxt, and the length and crop of its input."""

    clip_length: int
    temporal_stride: int
    short_side: int
    crop: int
    clips: int
    crops: int
    frame_rate: int = 0  # a second: clips are cut as if the video had so many; 0: its own
    fit: str = "short_side"  # "square": both sides become `short_side`, whatever the shape of the picture
    mode: str = "stride"  # "uniform", "segments": a clip is spread over the whole video


_SHORT = {"stride": "temporal_stride"}
WORDS = {"mode": ("stride", "uniform", "segments"), "fit": ("short_side", "square")}


def changes(text: str) -> dict[str, Any]:
    """What SAMPLING=clip_length=8,stride=4 says, by the names of `Sampling`.

    Raises:
        BadSampling: it is not of that form.
    """
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        word, _, value = part.partition("=")
        name = _SHORT.get(word, word)
        if name in WORDS:
            if value not in WORDS[name]:
                raise BadSampling(f"SAMPLING: {name} is one of {', '.join(WORDS[name])}, not {value!r}")
            found[name] = value
            continue
        if name not in Sampling.__dataclass_fields__ or not value.isdigit() or int(value) < 1:
            names = ", ".join((*_SHORT, *Sampling.__dataclass_fields__))
            raise BadSampling(f"SAMPLING: {part!r}; it is {names}=whole number")
        found[name] = int(value)
    return found


def changed(default: Sampling, text: str) -> Sampling:
    """`default` with the changes that SAMPLING asks for.

    Raises:
        BadSampling: there is no such sampling.
    """
    sampling = dataclasses.replace(default, **changes(text))
    if sampling.crop > sampling.short_side:
        raise BadSampling(f"SAMPLING: a crop of {sampling.crop} does not fit a short side of {sampling.short_side}")
    if sampling.crops not in (1, 3):
        raise BadSampling("SAMPLING: crops is 1 or 3")
    if sampling.fit == "square" and sampling.crops != 1:
        raise BadSampling("SAMPLING: a square has one crop: crops=1")
    if sampling.mode == "uniform" and sampling.clips > 1:
        raise BadSampling("SAMPLING: mode=uniform has one clip, the whole video: clips=1")
    return sampling
