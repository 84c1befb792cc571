"""What a reader is, for those that read and those that ask: below both readers, so that it imports neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cliplane.decoder.orientation import Orientation
from cliplane.decoder.timeline import RateSource
from cliplane.decoder.wire import Doubt

Frame = npt.NDArray[np.uint8]  # (height, width, C) RGB, valid until the next one is asked for


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file is, `width` and `height` as displayed.

    Frame n is what is shown n / `frame_rate` seconds after the first picture, for n below `frame_count`.
    """

    codec: str
    width: int
    height: int
    orientation: Orientation  # how it is turned from what is stored
    fps: float
    rate_source: RateSource
    picture_count: int
    duration_s: float
    frame_rate: float
    frame_count: int


class Reader(Protocol):
    """One open video."""

    info: VideoInfo
    doubts: list[Doubt]
    lost: set[int]
    """Numbers whose own picture could not be decoded: what was given for them is a neighbour's, or broken."""

    @property
    def decoded(self) -> int:
        """How many pictures were decoded until now."""

    @property
    def broken_packets(self) -> int:
        """How many packets could not be, whether a frame needed them or not."""

    def frames(self, numbers: Sequence[int], width: int, height: int) -> Iterator[tuple[int, Frame]]:
        """The frame of each of these numbers once, in this size, as it is decoded.

        In this order; but one that is passed on the way to another may come when it is passed, for to go back to it
        would mean to decode again from the keyframe before it.

        Raises:
            UndecodableVideo: it cannot go on with this file.
        """

    def close(self) -> None:
        """Give the file back."""
