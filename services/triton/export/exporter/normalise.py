"""NORMALISE: what a graph that says nothing of itself wants to see."""

from __future__ import annotations

from dataclasses import dataclass

from .brought import CannotBring

Colours = tuple[float, float, float]
_FORM = "NORMALISE=mean=0.45/0.45/0.45,std=0.225/0.225/0.225 of pixels from 0 to 1, NORMALISE=scale (from 0 to 1 alone)"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Of red, green and blue, on the scale of the pixels, 0 to 255."""

    mean: Colours
    std: Colours


def read_normalisation(text: str) -> Normalisation:
    """What NORMALISE says: "none", "scale", or a mean and a std of pixels from 0 to 1.

    Raises:
        CannotBring: it is not told, or not so.
    """
    match text:
        case "none":
            return Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        case "scale":
            return Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
    said = dict(part.partition("=")[::2] for part in text.split(",")) if text else {}
    if not text or set(said) != {"mean", "std"}:
        raise CannotBring(f"a graph does not say how its pixels are normalised: {_FORM} or NORMALISE=none (0 to 255)")
    mean, std = _colours("mean", said["mean"]), _colours("std", said["std"])
    if not all(value > 0 for value in std):
        raise CannotBring(f"NORMALISE: a std is more than 0, not {said['std']}")
    return Normalisation(mean, std)


def _colours(word: str, text: str) -> Colours:
    try:
        red, green, blue = (255 * float(value) for value in text.split("/"))
    except ValueError as exc:
        raise CannotBring(f"NORMALISE: {word} has three numbers, red/green/blue, not {text!r}") from exc
    return red, green, blue
