"""What the model repository says of a model: its input and output, its labels' meanings, and how it wants its frames.

Pure: reads the parameters of a model's config, however they came here, and knows no server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cliplane.policy.sampling import Sampling

MAX_FRAME_RATE = 1000.0

_LABEL_PARAMETER = "description."

_WORDS = {
    "fit": ("short_side", "square"),
    "mode": ("stride", "uniform", "segments"),
    "pixels": ("square", "stored"),
    "activation": ("softmax", "sigmoid"),
}
"""The parameters that are one of a few words; the first is the default."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What `make engines` found of the engine that serves a model, on the machine where it was run."""

    engine: str
    view_ms: float  # one view alone, median
    agreement: float  # part of the clips whose top label is the trainer's framework's
    clips: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the model repository says of a model."""

    name: str
    version: str
    description: str
    input_name: str
    output_name: str
    max_batch_size: int
    sampling: Sampling
    labels: tuple[str, ...]
    label_descriptions: Mapping[str, str]  # by label; parameter `description.LABEL`
    is_multi_label: bool = False  # each label has a probability of its own; parameter `activation`
    thresholds: tuple[float, ...] | None = None  # by class index: the score from which on a label is answered
    measured: Measured | None = None  # parameters `measured_…`

    def fingerprint(self) -> str:
        """Equal where the same video has the same answer."""
        served = (self.version, self.sampling, self.labels, self.is_multi_label, self.thresholds)
        return hashlib.sha256(repr(served).encode()).hexdigest()


def read_sampling(parameters: Mapping[str, str], dims: Sequence[int]) -> Sampling:
    """How a model with an input of these `dims`, (T, H, W, C), wants its frames.

    Raises:
        KeyError: a parameter is missing.
        ValueError: one is none of the values it can have, or the input is no clip of RGB frames.
    """
    clip_length, height, width, channels = dims
    if channels != 3:
        raise ValueError("its input is not UINT8 (T, H, W, 3)")
    frame_rate = float(parameters.get("frame_rate", 0))
    if not 0 <= frame_rate <= MAX_FRAME_RATE:
        raise ValueError(f"its frame_rate is not from 0 to {MAX_FRAME_RATE:g}")
    return Sampling(
        clip_length=clip_length,
        temporal_stride=int(parameters["temporal_stride"]),
        short_side=int(parameters["short_side"]),
        crop_height=height,
        crop_width=width,
        clips=int(parameters["clips"]),
        crops=int(parameters["crops"]),
        frame_rate=frame_rate,
        **{name: _word(parameters, name) for name in ("fit", "mode", "pixels")},
    )


def read_is_multi_label(parameters: Mapping[str, str]) -> bool:
    """Whether a video may have any number of the labels.

    Raises:
        ValueError: `activation` is none of its words, or has a name that it once had: read as softmax, every
            score would be wrong.
    """
    if "answer" in parameters:
        raise ValueError("its parameter `answer` is called `activation` now")
    return _word(parameters, "activation") == "sigmoid"


def read_thresholds(parameters: Mapping[str, str], classes: int) -> tuple[float, ...] | None:
    """The score from which on each label is answered, where the model says.

    Raises:
        ValueError: they are not a number from 0 to 1 for each class.
    """
    if "thresholds" not in parameters:
        return None
    found = tuple(float(number) for number in parameters["thresholds"].split())
    if len(found) != classes or not all(0 <= number <= 1 for number in found):
        raise ValueError(f"its thresholds are not {classes} numbers from 0 to 1")
    return found


def read_measured(parameters: Mapping[str, str]) -> Measured | None:
    """The figures of `make engines`, where it was run.

    Raises:
        KeyError: one is missing.
        ValueError: one is no number.
    """
    if "measured_engine" not in parameters:
        return None
    return Measured(
        engine=parameters["measured_engine"],
        view_ms=float(parameters["measured_view_ms"]),
        agreement=float(parameters["measured_agreement"]),
        clips=int(parameters["measured_clips"]),
    )


def read_label_descriptions(parameters: Mapping[str, str]) -> dict[str, str]:
    """What each label means, for those that say so."""
    return {
        key.removeprefix(_LABEL_PARAMETER): text for key, text in parameters.items() if key.startswith(_LABEL_PARAMETER)
    }


def _word(parameters: Mapping[str, str], name: str) -> str:
    words = _WORDS[name]
    word = parameters.get(name, words[0])
    if word not in words:
        raise ValueError(f"its {name} is none of {', '.join(words)}")
    return word
