"""Reads frames with decord. What the headers say is read and checked with PyAV before decord sees the file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence

import decord

from cliplane.decoder.container import byte_size, codec_name, demuxer, open_container
from cliplane.decoder.media import Limits, Span
from cliplane.decoder.orientation import Orientation
from cliplane.decoder.packets import read_timeline
from cliplane.decoder.video import Frame, VideoInfo
from cliplane.errors import UndecodableVideo

FRAMES_A_BATCH = 8
"""How many frames decord hands over at a time: bounds the memory, and views appear while others decode."""


class _File:
    """An open file as decord takes it: it keeps a copy of all of it in memory."""

    def __init__(self, file: int, span: Span | None) -> None:
        self._bytes, self._span = mmap.mmap(file, byte_size(file, None), prot=mmap.PROT_READ), span

    def read(self) -> memoryview:
        whole = memoryview(self._bytes)
        return whole if self._span is None else whole[self._span.start : self._span.end]


class DecordReader:
    """One open video; see `video.Reader`."""

    def __init__(
        self,
        file: int,
        span: Span | None,
        limits: Limits,
        threads: int,
        frame_rate: float = 0,
        pixels: str = "square",
    ) -> None:
        container, stream = open_container(file, span, limits)
        with container:
            timeline, self.doubts = read_timeline(container, stream, file, span, limits)
            codec = codec_name(stream)
            if demuxer(container) == "mpegts":
                # It cannot seek to the first frame of one that has B-frames.
                raise UndecodableVideo("CLIPLANE_READER=decord does not read MPEG-TS")
        decord.logging.set_level(decord.logging.QUIET)
        self._file, self._threads = _File(file, span), threads
        video = self._open(-1, -1)
        height, width = self._frames(video, [0])[0].shape[:2]
        fps, count = float(video.get_avg_fps()), len(video)
        self.info = VideoInfo(
            codec=codec,
            width=width,
            height=height,
            orientation=Orientation(),
            fps=fps,
            rate_source=timeline.rate_source,
            picture_count=count,
            duration_s=count / fps,
            frame_rate=frame_rate or fps,
            frame_count=max(1, round(count * (frame_rate or fps) / fps)),
        )
        self.lost: set[int] = set()
        self.decoded = self.broken_packets = 0
        self._video: decord.VideoReader | None = None

    def frames(self, numbers: Sequence[int], width: int, height: int) -> Iterator[tuple[int, Frame]]:
        """The frames of these numbers in this order and this size, as they are decoded.

        Raises:
            UndecodableVideo: decord cannot go on with this file.
        """
        if self._video is None:  # decord scales inside its decoding pipeline, in the size it was opened with
            self._video = self._open(width, height)
        for start in range(0, len(numbers), FRAMES_A_BATCH):
            batch = list(numbers[start : start + FRAMES_A_BATCH])
            step = self.info.fps / self.info.frame_rate
            pictures = [min(round(number * step), self.info.picture_count - 1) for number in batch]
            self.decoded += len(batch)
            yield from zip(batch, self._frames(self._video, pictures), strict=True)

    def close(self) -> None:
        self._video = None

    def _open(self, width: int, height: int) -> decord.VideoReader:
        try:
            return decord.VideoReader(self._file, width=width, height=height, num_threads=self._threads)
        except (decord.DECORDError, RuntimeError, AssertionError) as exc:
            raise UndecodableVideo("the video stream cannot be opened") from exc

    @staticmethod
    def _frames(video: decord.VideoReader, numbers: list[int]) -> Frame:  # (N, H, W, C)
        try:
            frames: Frame = video.get_batch(numbers).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError, StopIteration) as exc:
            raise UndecodableVideo("a frame cannot be decoded") from exc
        return frames
