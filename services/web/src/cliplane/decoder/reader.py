"""How a video is read: the one interface that both readers have, and the choice between them.

PyAV's is the default, for the measurements in docs/benchmarks.md; decord's is there for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cliplane.decoder.container import Limits
from cliplane.media import Span

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


def open_reader(name: str, path: str, span: Span | None, limits: Limits, threads: int) -> Reader:
    """Open a file with the reader of this name, "pyav" or "decord"; `threads` of it may work at once.

    Raises:
        UndecodableVideo: no demuxer takes it, or it has no video stream that can be decoded.
        OverLimit: naming the limit.
    """
    # Imported here: only one of them is needed, and each brings an FFmpeg of its own.
    if name == "decord":
        from cliplane.decoder.decord_reader import DecordReader

        return DecordReader(path, span, limits, threads)
    from cliplane.decoder.pyav_reader import PyavReader

    return PyavReader(path, span, limits, threads)
