"""The pictures of a stream from some keyframe on, each with its time on the timeline: seeks, decodes, and goes on
behind packets that cannot be decoded. Which picture a frame number wants is not known here."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cliplane.decoder.container import LIBRARY_ERRORS, demuxed, is_shortage, until_it_breaks
from cliplane.decoder.packets import goes_by_bytes, goes_from_start, rewind, seeks_wrongly
from cliplane.decoder.timeline import Timeline
from cliplane.errors import UndecodableVideo

_EARLIER_S = (0.0, 1.0, 4.0, 16.0, math.inf)
"""How much before a picture to look for a keyframe, when looking nearer led behind the picture."""

_SEEK_PICTURES = 16
"""Pictures that must lie between, up to the keyframe: a seek throws away what the decoder's threads have in hand."""

_SEEK_WITHOUT_INDEX_S = 8.0
"""A gap worth a seek in a file that does not say where its keyframes are."""


Reopen = Callable[[], tuple[InputContainer, VideoStream]]


class Pictures:
    """Of one open stream, which `reopen` opens anew. Times are those of the timeline; `lost` are those of packets that
    could not be decoded, or not wholly."""

    def __init__(self, container: InputContainer, stream: VideoStream, timeline: Timeline, reopen: Reopen) -> None:
        self._container, self._stream, self._timeline, self._reopen = container, stream, timeline, reopen
        self._goes_by_bytes = goes_by_bytes(container)
        # Where all was read the list of keyframes is whole; where the clock starts again a time alone is no place.
        is_unmarked = timeline.times is not None and not timeline.keyframes
        is_joined = len(timeline.pieces) > 1 and not self._goes_by_bytes
        is_unsure = seeks_wrongly(container, stream)
        self._must_rewind = goes_from_start(container) or is_unmarked or is_joined or is_unsure
        self._decoded: Iterator[VideoFrame] = iter(())
        self._needed: frozenset[int] | None = None
        self._sent: deque[int] = deque()  # times of decoding of packets whose pictures have not come yet
        self._pos = 0  # of the packet read last
        self._read = 0  # packets since the start of the file, where they have no times
        self.position = -math.inf  # time of the picture that came last
        self.count = 0
        self.lost: list[int] = []  # ascending

    def need(self, times: list[float | None]) -> None:
        """From now on pictures at other times may be left out, where no needed one depends on them. None: the time of a
        picture is not known, so that all are needed."""
        if self._timeline.is_in_order_of_decoding or None in times:
            self._needed = None
        else:
            self._needed = frozenset(self._number(time) for time in times if time is not None)

    def go_to(self, time: float) -> bool:
        """Make the pictures go on at `time` or before; whether that was a leap.

        Raises:
            UndecodableVideo: the file cannot be read from its middle.
        """
        if not self._should_seek(time):
            return False
        self._seek(time)
        return True

    def __next__(self) -> VideoFrame:
        frame = next(self._decoded)
        self.position = time_of(frame)
        return frame

    def has_lost(self, first: float, last: float) -> bool:
        """Whether a lost picture's time is from `first` to `last`."""
        place = bisect.bisect_left(self.lost, first)
        return place < len(self.lost) and self.lost[place] <= last

    # Private.

    def _number(self, time: float) -> int:
        return round((time - self._timeline.start) / self._timeline.interval)

    def _should_seek(self, time: float) -> bool:
        """Whether a keyframe lies between the picture that came last and this one, or this one lies behind."""
        if self.position > time or self.position == -math.inf:
            return True
        if self._must_rewind:
            return False
        if self._timeline.keyframes or self._has_index():
            keyframe = self._keyframe(time)
            return keyframe is not None and keyframe > self.position + _SEEK_PICTURES * self._timeline.interval
        return (time - self.position) * float(self._stream.time_base) > _SEEK_WITHOUT_INDEX_S

    def _has_index(self) -> bool:
        return len(self._stream.index_entries) > 1

    def _keyframe(self, time: float) -> int | None:
        """When the last keyframe at or before `time` is shown, which is also what a seek takes. An index has the time
        of its decoding."""
        latest = time + self._timeline.interval / 2
        if self._timeline.keyframes:
            number = bisect.bisect_right(self._timeline.keyframes, latest, key=lambda keyframe: keyframe[0]) - 1
            return self._timeline.keyframes[max(number, 0)][0]
        index = self._stream.index_entries
        entry = index.search_timestamp(math.floor(latest - self._timeline.delay), backward=True)
        return index[entry].timestamp + self._timeline.delay if entry >= 0 else None

    def _seek(self, time: float) -> None:
        """Go to the last keyframe that is not after `time`."""
        latest = time + self._timeline.interval / 2
        for place in self._places(time):
            self._sent.clear()
            lost = len(self.lost)
            self._leap(place)
            decoded = self._decode()
            first = next(decoded, None)
            self._decoded = decoded if first is None else chain([first], decoded)
            # What is broken at its keyframe does not get better by another one.
            if (first is not None and time_of(first) <= latest) or len(self.lost) > lost:
                return

    def _places(self, time: float) -> Iterator[float]:
        """Where to look for a keyframe, best first; -inf: the start of the file."""
        if not self._must_rewind:
            if (self._timeline.keyframes or self._has_index()) and (keyframe := self._keyframe(time)) is not None:
                yield keyframe
            if self._goes_by_bytes:  # where a keyframe shares its unit with what is before it, its byte is past
                number = bisect.bisect_right(self._timeline.keyframes, time, key=lambda keyframe: keyframe[0]) - 1
                yield from (self._timeline.keyframes[number - k][0] for k in (1, 3) if number >= k)
            else:
                yield from (time - earlier_s / float(self._stream.time_base) for earlier_s in _EARLIER_S[:-1])
        yield -math.inf

    def _leap(self, place: float) -> None:
        self._read = 0
        if place == -math.inf:
            # Where FFmpeg has an index it may lead elsewhere: of files that were joined, to the last one.
            if self._goes_by_bytes or goes_from_start(self._container):
                rewind(self._container, self._stream)
            else:
                self._container, self._stream = self._reopen()
            return
        try:
            if self._goes_by_bytes:
                number = bisect.bisect_right(self._timeline.keyframes, place, key=lambda keyframe: keyframe[0]) - 1
                self._container.seek(self._timeline.keyframes[max(number, 0)][1], unsupported_byte_offset=True)
            else:
                self._container.seek(math.floor(place), stream=self._stream, backward=True)
        except LIBRARY_ERRORS as exc:
            raise UndecodableVideo("the file cannot be read from its middle") from exc

    def _decode(self) -> Iterator[VideoFrame]:
        """All pictures from here on, but for those that are not needed, neither here nor by other pictures."""
        codec, in_order = self._stream.codec_context, self._timeline.is_in_order_of_decoding
        for packet in self._packets():
            time = None
            if packet.size and (own := self._own_time(packet)) is not None:
                self._pos = self._pos if packet.pos is None else packet.pos
                time = self._timeline.place(self._pos, own)
                if time is None:
                    continue
                packet.pts = time
                if in_order and not packet.is_discard:
                    self._sent.append(time)
                # The demuxer has a part of it only; or it is the last one before a join, which looks the same.
                if packet.is_corrupt and not self._timeline.leaps:
                    bisect.insort(self.lost, time)
            codec.skip_frame = "DEFAULT" if time is None or self._is_needed(time) else "NONREF"
            try:
                frames = packet.decode()
            except LIBRARY_ERRORS as exc:
                if is_shortage(exc, self._stream.width * self._stream.height):
                    raise
                if time is not None:
                    bisect.insort(self.lost, time)
                    if in_order and time in self._sent:
                        self._sent.remove(time)
                continue
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    self.count += 1
                    if in_order and self._sent:
                        frame.pts = self._sent.popleft()
                    if frame.pts is not None:
                        yield frame

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        # Cut off in the middle of something: what is missing is seen by the times that do not come.
        with until_it_breaks():
            yield from demuxed(self._container, self._stream)

    def _own_time(self, packet: Packet[VideoStream]) -> int | None:
        """What the file says; of a raw stream's packets, which have no times, that of the picture in turn."""
        if not self._timeline.is_in_order_of_decoding:
            return self._timeline.told(packet.pts, packet.dts)
        times, number = self._timeline.times, self._read
        self._read += 1
        if packet.dts is None and times is not None and number < len(times):
            return int(times[number])
        return packet.dts

    def _is_needed(self, time: int) -> bool:
        return self._needed is None or self._number(time) in self._needed


def time_of(frame: VideoFrame) -> int:
    assert frame.pts is not None
    return frame.pts
