"""How a model's videos are cut: what `parameters` and the input of its config.pbtxt say."""

from __future__ import annotations

from dataclasses import dataclass


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
