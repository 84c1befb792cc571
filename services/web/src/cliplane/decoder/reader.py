"""The video library behind one small interface. The only module that imports one.

PyAV reads what a file says of itself (no frame is decoded for that); decord reads the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import decord
import numpy as np
import numpy.typing as npt

from cliplane.errors import OverLimit, UndecodableVideo
from cliplane.media import Span

Frame = npt.NDArray[np.uint8]  # (height, width, C) RGB

FRAMES_A_BATCH = 8
"""How many frames decord hands over at a time: bounds the memory, and views appear while others decode."""

# The demuxers of media.CONTAINERS, by FFmpeg's names. A file that FFmpeg takes for something else is refused.
_DEMUXERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a video may be, before anything of it is decoded."""

    max_pixels: int
    max_duration_s: float
    max_streams: int


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says of its video stream; width and height as displayed."""

    codec: str
    width: int
    height: int
    duration_s: float


def silence() -> None:
    """Stop the libraries' own messages: they quote the file."""
    av.logging.set_level(av.logging.PANIC)
    decord.logging.set_level(decord.logging.QUIET)


def _url(path: str, span: Span | None) -> str:
    """A part of a file is opened in place, by FFmpeg's subfile protocol."""
    return path if span is None else f"subfile,,start,{span.start},end,{span.end},,:{path}"


def probe(path: str, span: Span | None, limits: Limits) -> VideoInfo:
    """What the headers say, checked against the limits.

    Raises:
        UndecodableVideo: no demuxer takes it, or it has no video stream that can be decoded.
        OverLimit: naming the limit.
    """
    try:
        with av.open(_url(path, span)) as container:
            if container.format.name not in _DEMUXERS:
                raise UndecodableVideo("the demuxer does not agree with the file's first bytes")
            if len(container.streams) > limits.max_streams:
                raise OverLimit(f"{len(container.streams)} streams, {limits.max_streams} are allowed")
            if not container.streams.video:
                raise UndecodableVideo("there is no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None or stream.width < 1 or stream.height < 1:
                raise UndecodableVideo("the video stream has no codec known here, or no size")
            if stream.width * stream.height > limits.max_pixels:
                raise OverLimit(f"{stream.width}x{stream.height} pixels, {limits.max_pixels} in all are allowed")
            duration_s = (container.duration or 0) / av.time_base
            if duration_s > limits.max_duration_s:
                raise OverLimit(f"{duration_s:.0f} s long, {limits.max_duration_s:.0f} s are allowed")
            return VideoInfo(stream.codec_context.name, stream.width, stream.height, duration_s)
    except (av.FFmpegError, ValueError, OSError) as exc:
        raise UndecodableVideo("the container's headers cannot be read") from exc


class Reader:
    """One open video.

    Raises:
        UndecodableVideo: from every method: decord cannot go on with this file.
    """

    def __init__(self, path: str, span: Span | None, threads: int) -> None:
        self._url, self._threads = _url(path, span), threads
        self._video = self._open(-1, -1)
        first = self._frames([0])[0]
        self.height, self.width = first.shape[:2]
        self.frame_count = len(self._video)
        self.fps = float(self._video.get_avg_fps())

    def resize(self, width: int, height: int) -> None:
        """From here on frames come in this size: decord scales inside its decoding pipeline."""
        self._video = self._open(width, height)

    def frames(self, numbers: list[int]) -> Iterator[tuple[int, Frame]]:
        """The frames of these numbers (ascending, each once), as they are decoded."""
        for start in range(0, len(numbers), FRAMES_A_BATCH):
            batch = numbers[start : start + FRAMES_A_BATCH]
            yield from zip(batch, self._frames(batch), strict=True)

    def _open(self, width: int, height: int) -> decord.VideoReader:
        try:
            return decord.VideoReader(self._url, width=width, height=height, num_threads=self._threads)
        except (decord.DECORDError, RuntimeError, AssertionError) as exc:
            raise UndecodableVideo("the video stream cannot be opened") from exc

    def _frames(self, numbers: list[int]) -> npt.NDArray[np.uint8]:  # (N, H, W, C)
        try:
            frames: npt.NDArray[np.uint8] = self._video.get_batch(numbers).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError, StopIteration) as exc:
            raise UndecodableVideo("a frame cannot be decoded") from exc
        return frames
