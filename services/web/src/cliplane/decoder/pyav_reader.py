"""Reads frames with PyAV: of each frame number the picture that is shown then, decoded once."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cliplane.decoder.container import codec_name, open_container
from cliplane.decoder.media import Limits, Span
from cliplane.decoder.packets import read_timeline, without_wrong_index
from cliplane.decoder.pictures import Pictures, time_of
from cliplane.decoder.scaler import Scaler, orientation
from cliplane.decoder.video import Frame, VideoInfo
from cliplane.errors import UndecodableVideo

_PIXELS_A_THREAD = 2**17
"""Smaller pictures than this for each thread cost more to share than to decode."""


class Grid(NamedTuple):
    """Frame n is what is shown at n × `step`, in units of the stream's time base, from the first picture on."""

    frame_rate: float
    frame_count: int
    step: float


class Evenly:
    """Frame numbers at a step."""

    def __init__(self, step: float) -> None:
        self._step = step

    def time(self, number: int) -> float:
        return number * self._step

    def number_at(self, time: float) -> int:
        """The first whose time is not before this."""
        return math.ceil(time / self._step)


class Moments:
    """Frame numbers as places in a list of times, which ascend."""

    def __init__(self, times: Sequence[float]) -> None:
        self._times = times

    def time(self, number: int) -> float:
        return self._times[number]

    def number_at(self, time: float) -> int:
        """The first whose time is not before this."""
        return bisect.bisect_left(self._times, time)


class PyavReader:
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
        self._opening = file, span, limits, threads
        self._container, self._stream = self._open()
        try:
            if right := without_wrong_index(self._container, self._stream, file, span):
                span = right
                self._opening = file, span, limits, threads
                self._reopen()
            self._timeline, self.doubts = read_timeline(self._container, self._stream, file, span, limits)
            turned = orientation(self._container, self._stream)
        except BaseException:
            self._container.close()
            raise
        self._turned = turned
        self._scaler = self.scaler(pixels)
        self._pictures = Pictures(self._container, self._stream, self._timeline, self._reopen)
        time_base_s = float(self._stream.time_base)
        length = self._timeline.end - self._timeline.start
        grid_fps = frame_rate or self._timeline.fps
        self._numbers: Evenly | Moments = Evenly(1 / (grid_fps * time_base_s))
        self.info = VideoInfo(
            codec=codec_name(self._stream),
            width=self._scaler.width,
            height=self._scaler.height,
            orientation=turned,
            fps=self._timeline.fps,
            rate_source=self._timeline.rate_source,
            picture_count=self._timeline.picture_count,
            duration_s=length * time_base_s,
            frame_rate=grid_fps,
            frame_count=self.grid(frame_rate).frame_count,
        )
        self.lost: set[int] = set()

    @property
    def decoded(self) -> int:
        return self._pictures.count

    @property
    def broken_packets(self) -> int:
        return len(self._pictures.lost)

    def grid(self, frame_rate: float) -> Grid:
        """The frames of the video at this rate, 0: its own."""
        fps = frame_rate or self._timeline.fps
        step = 1 / (fps * float(self._stream.time_base))
        return Grid(fps, max(1, round((self._timeline.end - self._timeline.start) / step)), step)

    def scaler(self, pixels: str) -> Scaler:
        """One for the pictures of `pictures`; one scaler for one size."""
        return Scaler(self._stream, self._turned, are_stored=pixels == "stored")

    def frames(self, numbers: Sequence[int], width: int, height: int) -> Iterator[tuple[int, Frame]]:
        """The frames of these numbers in this size, as they are decoded: see `video.Reader`.

        Raises:
            UndecodableVideo: there is no picture at all for one of them.
        """
        for number, picture in self._shown(numbers):
            yield number, self._scaler.scaled(picture, width, height)

    def pictures(self, moments: Sequence[float]) -> Iterator[tuple[int, VideoFrame]]:
        """The picture that is shown at each of these times, which ascend, in units of the stream's time base from the
        first picture on; named, in `lost` as well, by its place among them. Each is decoded once, however many show it.

        Raises:
            UndecodableVideo: there is no picture at all for one of them.
        """
        self._numbers = Moments(moments)
        yield from self._shown(range(len(moments)))

    def close(self) -> None:
        self._container.close()

    # Private. Times are in units of the stream's time base.

    def _shown(self, numbers: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        pictures = self._pictures
        due = _Due(numbers)
        pictures.need([self._timeline.shown_at(self._time(number)) for number in due.all()])
        shown: VideoFrame | None = None
        since = 0  # the first number of those that may be taken since the last leap
        for number in numbers:
            if number not in due:  # it was passed on the way
                continue
            if pictures.go_to(self._time(number)):
                shown, since = None, number
            while number in due:
                following = next(pictures, None)
                for k in self._taken(due, since, shown, following):
                    picture = self._picture_of(k, shown, following)
                    due.take(k)
                    yield k, picture
                shown = following or shown

    def _open(self) -> tuple[InputContainer, VideoStream]:
        file, span, limits, threads = self._opening
        container, stream = open_container(file, span, limits)
        codec = stream.codec_context
        codec.thread_type, codec.thread_count = "AUTO", _thread_count(stream, threads)
        # A stream may change its size on the way: FFmpeg then refuses what the headers would have been refused for.
        codec.options = {"max_pixels": str(limits.max_pixels)}
        return container, stream

    def _reopen(self) -> tuple[InputContainer, VideoStream]:
        self._container.close()
        self._container, self._stream = self._open()
        return self._container, self._stream

    def _time(self, number: int) -> float:
        return self._timeline.start + self._numbers.time(number)

    def _latest(self, number: int) -> float:
        """The picture of a frame is the last one that is shown before this."""
        return self._time(number) + self._timeline.interval / 2

    def _number_at(self, time: int) -> int:
        """The first number whose `_latest` is not before `time`."""
        return self._numbers.number_at(time - self._timeline.interval / 2 - self._timeline.start)

    def _taken(self, due: _Due, since: int, shown: VideoFrame | None, following: VideoFrame | None) -> list[int]:
        """The numbers whose picture is known, now that `following` has come behind `shown`; None: there are no more."""
        if first := shown or following:
            since = min(since, self._number_at(time_of(first)))
        if following is None:
            return list(due.since(since))
        time = time_of(following)
        end = self._number_at(time)
        taken = []
        for number in due.since(since):
            if number >= end:  # those that it will be shown for, as far as that is known already
                expected = self._timeline.shown_at(self._time(number))
                if expected is None or expected > time + self._timeline.interval / 2:
                    break
            taken.append(number)
        return taken

    def _picture_of(self, number: int, shown: VideoFrame | None, following: VideoFrame | None) -> VideoFrame:
        """The picture that is shown at the frame's time; where it was lost the one before, or behind."""
        latest = self._latest(number)
        picture = following if following is not None and time_of(following) <= latest else shown or following
        if picture is None:
            raise UndecodableVideo("a frame cannot be decoded")
        time, expected = time_of(picture), self._timeline.shown_at(self._time(number))
        is_other = expected is not None and abs(time - expected) > self._timeline.interval / 2
        if is_other or picture.is_corrupt or self._pictures.has_lost(time, latest):
            self.lost.add(number)
        return picture


class _Due:
    """Frame numbers that have not come yet. In the order of time each is taken from the front, at no cost however many
    there are."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = sorted(set(numbers))
        self._first = 0

    def __contains__(self, number: int) -> bool:
        place = self._place(number)
        return place < len(self._numbers) and self._numbers[place] == number

    def all(self) -> Iterator[int]:
        """All of them, ascending."""
        return itertools.islice(self._numbers, self._first, None)

    def since(self, number: int) -> Iterator[int]:
        """Those from `number` on, ascending."""
        place = self._place(number)
        while place < len(self._numbers):
            yield self._numbers[place]
            place += 1

    def take(self, number: int) -> None:
        """It has come."""
        place = self._place(number)
        if place == self._first:
            self._first += 1
        else:
            del self._numbers[place]

    def _place(self, number: int) -> int:
        return bisect.bisect_left(self._numbers, number, self._first)


def _thread_count(stream: VideoStream, at_once: int) -> int:
    """How many threads keep `at_once` CPUs busy. FFmpeg's frame threads wait for one another, and all of them while a
    frame is scaled: two for each CPU are faster than one. dav1d's are not."""
    count = at_once if at_once == 1 or codec_name(stream) == "av1" else 2 * at_once
    return max(1, min(count, stream.width * stream.height // _PIXELS_A_THREAD))
