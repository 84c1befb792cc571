"""What a reader is, for those that read and those that ask: below both readers, so that it imports neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]  # (height, width, C) RGB, valid until the next one is asked for


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file is, `width` and `height` as displayed."""

    codec: str
    width: int
    height: int
    fps: float
    frame_count: int


class Reader(Protocol):
    """One open video."""

    info: VideoInfo

    def frames(self, numbers: Sequence[int], width: int, height: int) -> Iterator[tuple[int, Frame]]:
        """The frame of each of these numbers once, in this size, as it is decoded.

        In this order; but one that is passed on the way to another may come when it is passed, for to go back to it
        would mean to decode again from the keyframe before it.

        Raises:
            UndecodableVideo: it cannot go on with this file.
        """

    def close(self) -> None:
        """Give the file back."""
