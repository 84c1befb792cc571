"""Reads frames with PyAV: seeks to the keyframe before a frame, and leaves out what no needed frame depends on."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from cliplane.decoder.container import LIBRARY_ERRORS, codec_name, open_container, read_timeline
from cliplane.decoder.video import Frame, VideoInfo
from cliplane.errors import UndecodableVideo
from cliplane.media import Limits, Span

MOST_BROKEN_PACKETS = 16
"""Packets before the first picture that may fail to decode: a stream cut out of a broadcast starts with a few."""

_EARLIER_S = (0.0, 1.0, 4.0, 16.0, math.inf)
"""How much before a frame to look for a keyframe, when looking nearer led behind the frame."""

_SEEK_FRAMES = 16
"""Frames that must lie between, up to the keyframe: a seek throws away what the decoder's threads have in hand."""

_PIXELS_A_THREAD = 2**17
"""Smaller pictures than this for each thread cost more to share than to decode."""

_SEEK_WITHOUT_INDEX_S = 8.0
"""A gap worth a seek in a file that does not say where its keyframes are."""


class PyavReader:
    """One open video; see `video.Reader`."""

    def __init__(self, path: str, span: Span | None, limits: Limits, threads: int) -> None:
        self._container, self._stream = open_container(path, span, limits)
        try:
            self._timeline = read_timeline(self._container, self._stream, path, limits)
        except BaseException:
            self._container.close()
            raise
        codec = self._stream.codec_context
        codec.thread_type, codec.thread_count = "AUTO", _thread_count(self._stream, threads)
        # A stream may change its size on the way: FFmpeg then refuses what the headers would have been refused for.
        codec.options = {"max_pixels": str(limits.max_pixels)}
        self._reformatter = VideoReformatter()
        self._quarter_turns = _quarter_turns(self._stream)
        width, height = self._stream.width, self._stream.height
        if self._quarter_turns % 2:
            width, height = height, width
        fps, frame_count = self._timeline.fps, self._timeline.frame_count
        self.info = VideoInfo(codec_name(self._stream), width, height, fps, frame_count)
        # Where frames are evenly spaced, a packet's time says whether its frame is needed.
        self._is_even = bool(self._stream.average_rate) and self._stream.average_rate == self._stream.base_rate
        index = self._stream.index_entries
        self._delay = max(0.0, self._timeline.start - index[0].timestamp) if len(index) > 1 else 0.0
        self._decoded: Iterator[VideoFrame] = iter(())
        self._position = -math.inf  # time of the frame decoded last

    def frames(self, numbers: Sequence[int], width: int, height: int) -> Iterator[tuple[int, Frame]]:
        """The frames of these numbers in this size, as they are decoded: see `video.Reader`.

        The frame of a number is the one shown at that time; after the end, the last one.

        Raises:
            UndecodableVideo: it cannot go on with this file.
        """
        needed = frozenset(numbers)
        due = set(needed)
        frame: VideoFrame | None = None
        ahead: VideoFrame | None = None  # decoded, but shown later than the number asked for
        for number in numbers:
            if number not in due:
                continue
            time = self._time(number)
            latest = time + self._timeline.step / 2
            if self._should_seek(time):
                self._seek(time, needed)
                frame = ahead = None
            while frame is None or _time_of(frame) < time - self._timeline.step / 2:
                following = ahead or next(self._decoded, None)
                ahead = None
                if following is None:
                    break
                self._position = _time_of(following)
                if frame is not None and self._position > latest:
                    ahead = following
                    break
                frame = following
                passed = self._number(self._position)
                if passed != number and passed in due:
                    due.remove(passed)
                    yield passed, self._scaled(frame, width, height)
            if frame is None:
                raise UndecodableVideo("a frame cannot be decoded")
            due.remove(number)
            yield number, self._scaled(frame, width, height)

    def close(self) -> None:
        self._container.close()

    # Private. Times are in units of the stream's time base.

    def _time(self, number: int) -> float:
        return self._timeline.start + number * self._timeline.step

    def _number(self, time: float) -> int:
        return round((time - self._timeline.start) / self._timeline.step)

    def _should_seek(self, time: float) -> bool:
        """Whether a keyframe lies between the frame decoded last and this one, or this one lies behind."""
        if self._position > time or self._position == -math.inf:
            return True
        if self._has_index():
            keyframe = self._keyframe(time)
            if keyframe is None:
                return False
            return keyframe > self._position + _SEEK_FRAMES * self._timeline.step
        gap_s = (time - self._position) * float(self._stream.time_base)
        return gap_s > _SEEK_WITHOUT_INDEX_S

    def _has_index(self) -> bool:
        return len(self._stream.index_entries) > 1

    def _keyframe(self, time: float) -> float | None:
        """When the last keyframe at or before `time` is shown, which is also what a seek takes. The index has the time
        of its decoding, earlier by `_delay` where frames are reordered."""
        index = self._stream.index_entries
        entry = index.search_timestamp(math.floor(time + self._timeline.step / 2 - self._delay), backward=True)
        return index[entry].timestamp + self._delay if entry >= 0 else None

    def _seek(self, time: float, needed: frozenset[int]) -> None:
        """Go to the last keyframe that is not after `time`."""
        places = [max(time - earlier_s / float(self._stream.time_base), 0.0) for earlier_s in _EARLIER_S]
        if self._has_index() and (keyframe := self._keyframe(time)) is not None:
            places.insert(0, keyframe)
        for place in places:
            try:
                self._container.seek(math.floor(place), stream=self._stream, backward=True)
            except LIBRARY_ERRORS as exc:
                raise UndecodableVideo("the file cannot be read from its middle") from exc
            decoded = self._decode(needed)
            first = next(decoded, None)
            self._decoded = decoded if first is None else chain([first], decoded)
            if first is not None and _time_of(first) <= time + self._timeline.step / 2:
                break

    def _decode(self, needed: frozenset[int]) -> Iterator[VideoFrame]:
        """All frames from here on, but for those that are not needed, neither here nor by other frames."""
        codec = self._stream.codec_context
        forgiven = MOST_BROKEN_PACKETS
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:  # cut off: the demuxer got only a part of it
                    continue
                codec.skip_frame = "DEFAULT" if self._is_needed(packet, needed) else "NONREF"
                try:
                    frames = packet.decode()
                except LIBRARY_ERRORS:
                    if not forgiven:
                        raise
                    forgiven -= 1
                    continue
                for frame in frames:
                    if isinstance(frame, VideoFrame) and frame.pts is not None:
                        forgiven = 0
                        yield frame
        except LIBRARY_ERRORS as exc:
            raise UndecodableVideo("the video stream is broken") from exc

    def _is_needed(self, packet: Packet[VideoStream], needed: frozenset[int]) -> bool:
        if not self._is_even or packet.pts is None:
            return True
        return self._number(packet.pts) in needed

    def _scaled(self, frame: VideoFrame, width: int, height: int) -> Frame:
        if self._quarter_turns % 2:
            width, height = height, width
        try:
            # One thread: as many as the host has CPUs otherwise, and with one it is no slower.
            small = self._reformatter.reformat(
                frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
            )
        except LIBRARY_ERRORS as exc:
            raise UndecodableVideo("a frame cannot be converted") from exc
        plane = small.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        pixels = rows[:, : width * 3].reshape(height, width, 3)
        return np.rot90(pixels, -self._quarter_turns) if self._quarter_turns else pixels


def _thread_count(stream: VideoStream, at_once: int) -> int:
    """How many threads keep `at_once` CPUs busy. FFmpeg's frame threads wait for one another, and all of them while a
    frame is scaled: two for each CPU are faster than one. dav1d's are not."""
    count = at_once if at_once == 1 or codec_name(stream) == "av1" else 2 * at_once
    return max(1, min(count, stream.width * stream.height // _PIXELS_A_THREAD))


def _time_of(frame: VideoFrame) -> int:
    assert frame.pts is not None
    return frame.pts


def _quarter_turns(stream: VideoStream) -> int:
    """Clockwise quarter turns that the display matrix asks for (ISO/IEC 14496-12, 8.3.2: 16.16 fixed point)."""
    matrix = stream.codec_context.coded_side_data.get("display_matrix")
    if matrix is None:
        return 0
    cosine, sine = struct.unpack_from("<2i", bytes(matrix))
    return round(math.atan2(sine, cosine) / (math.pi / 2)) % 4
