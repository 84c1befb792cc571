"""What SAMPLING= says: the service's `Sampling`, by shorter names, for crops that are squares."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from cliplane.policy.sampling import Sampling


class BadSampling(Exception):
    """SAMPLING asks for what cannot be."""


NAMES = ("clip_length", "temporal_stride", "short_side", "crop", "clips", "crops", "frame_rate", "fit", "mode")
_SHORT = {"stride": "temporal_stride"}
WORDS = {"mode": ("stride", "uniform", "segments"), "fit": ("short_side", "square")}


def changes(text: str) -> dict[str, Any]:
    """What SAMPLING=clip_length=8,stride=4 says, by NAMES.

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
        if name not in NAMES or not value.isdigit() or int(value) < 1:
            names = ", ".join((*_SHORT, *NAMES))
            raise BadSampling(f"SAMPLING: {part!r}; it is {names}=whole number")
        found[name] = int(value)
    return found


def named(sampling: Sampling) -> dict[str, Any]:
    """A sampling by NAMES."""
    fields = asdict(sampling) | {"crop": sampling.crop_height}
    return {name: fields[name] for name in NAMES}


def changed(default: Sampling, text: str) -> Sampling:
    """`default` with the changes that SAMPLING asks for.

    Raises:
        BadSampling: there is no such sampling.
    """
    asked = changes(text)
    if side := asked.pop("crop", None):
        asked |= {"crop_height": side, "crop_width": side}
    sampling = replace(default, **asked)
    if sampling.crop_height > sampling.short_side:
        raise BadSampling(
            f"SAMPLING: a crop of {sampling.crop_height} does not fit a short side of {sampling.short_side}"
        )
    if sampling.crops not in (1, 3):
        raise BadSampling("SAMPLING: crops is 1 or 3")
    if sampling.fit == "square" and sampling.crops != 1:
        raise BadSampling("SAMPLING: a square has one crop: crops=1")
    if sampling.mode == "uniform" and sampling.clips > 1:
        raise BadSampling("SAMPLING: mode=uniform has one clip, the whole video: clips=1")
    return sampling
