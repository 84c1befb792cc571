"""What the packets of a file say of its times, read without decoding: by the container's index where it lists every
frame, by a look at both ends where the headers then prove right, else by one pass over all of them."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cliplane.decoder import layout, timeline
from cliplane.decoder.container import LIBRARY_ERRORS, byte_size, demuxed, demuxer, until_it_breaks
from cliplane.decoder.doubts import of_timeline
from cliplane.decoder.media import Limits, Span
from cliplane.decoder.timeline import MAX_TIME, UNKNOWN, Clock, Packets, Timeline
from cliplane.decoder.wire import Doubt
from cliplane.errors import OverLimit, UndecodableVideo

_LEAPS = {"mpegts", "mpeg", "flv"}
"""Containers that are cut out of what is sent and joined without a thought: their clock may leap."""

_BY_BYTES = {"mpegts", "mpeg", "flv"}
_FROM_START = {"h264", "hevc", "gif", "apng", "webp_anim"}
"""Without times, or with pictures that stand on all those before them: there is no keyframe to go to."""

_RAW = {"h264", "hevc"}
_IN_ORDER_OF_DECODING = {"avi", *_RAW}
"""Containers without times of showing: FFmpeg makes some up, and for B-frames they are wrong."""

_SENT_TIMES = {"asf"}
"""Containers with the time at which a picture is sent, and no other: where pictures are reordered FFmpeg makes up those
of showing, and others behind a seek than in one go."""

_SAY_NO_RATE = {"gif", "apng", "webp_anim"}
"""Each picture has a delay of its own; FFmpeg's rate is a guess from the first ones."""

_SAY_DURATION = {"mov", "matroska", "avi"}

_INDEXED = {"mov", "avi"}
_LOOKED_INTO = {*_INDEXED, "matroska"}
"""Containers whose headers may prove right, so that not all packets are read."""

_HEAD_PACKETS = 64
_MAX_FPS = 100_000.0
"""A rate that is wrong: the fastest cameras' files say less."""

_FIRST_KEYFRAME, _HEADERS_BYTES = 1000, 4096
_WHOLE_INDEX = 20_000
"""Entries of an index that are all looked at; of more, runs of `_RUN` that are spread over it."""
_RUN, _RUNS = 64, 64
_LOOKS = 16
"""Places of an index that are looked at."""


def without_wrong_index(container: InputContainer, stream: VideoStream, file: int, span: Span | None) -> Span | None:
    """The part of the file to open instead where its index leads nowhere, as a camera leaves it that lost its power;
    None: the file is as it should be."""
    index = stream.index_entries
    if demuxer(container) != "avi" or not len(index):
        return None
    places = np.linspace(0, len(index) - 1, min(len(index), _LOOKS)).astype(int)
    return layout.before_wrong_index(file, span, [index[int(place)].pos for place in places])


def read_timeline(
    container: InputContainer, stream: VideoStream, file: int, span: Span | None, limits: Limits
) -> tuple[Timeline, list[Doubt]]:
    """What is shown when, by what is in the file, not only by what its headers say; and where these are contradicted.
    Leaves the container anywhere.

    Raises:
        OverLimit: the video is too long, or has too many frames.
        UndecodableVideo: there is no picture, or none is shown for any time.
    """
    clock = _clock(container, stream)
    found = _by_index(container, stream, file, span, clock) or _by_both_ends(
        container, stream, file, span, clock, limits
    )
    unread = layout.behind_first_movie(file, span) if demuxer(container) == "mov" else 0.0
    if found is None:
        packets = _all(container, stream, limits)
        found = timeline.read(packets, _seen(clock, packets, stream))
        if goes_by_bytes(container) and packets.pos.size:
            unread = 1 - int(packets.pos[-1]) / byte_size(file, span)
    if found is None:
        raise UndecodableVideo("there is no picture in the file")
    if found.fps > _MAX_FPS:
        raise UndecodableVideo("its pictures are shown for no time at all")
    duration_s = (found.end - found.start) * clock.time_base_s
    if duration_s > limits.max_duration_s:
        raise OverLimit(f"{duration_s:.0f} s long; CLIPLANE_MAX_DURATION_S={limits.max_duration_s:.0f}")
    if max(found.picture_count, duration_s * found.fps) > limits.max_frames:
        raise OverLimit(f"{duration_s * found.fps:.0f} frames; CLIPLANE_MAX_FRAMES={limits.max_frames}")
    return found, of_timeline(found, clock, _said_s(container, stream), unread)


def _said_s(container: InputContainer, stream: VideoStream) -> float:
    """The duration in the header; 0 where it says none of the video's, or FFmpeg has estimated it."""
    if demuxer(container) not in _SAY_DURATION:
        return 0.0
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # The file's is that of its longest stream; Matroska counts it from zero, wherever the times begin.
    said_s = (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0
    start_s = float((stream.start_time or 0) * stream.time_base)
    return said_s - start_s if 0 < start_s < said_s else said_s


def _clock(container: InputContainer, stream: VideoStream) -> Clock:
    name = demuxer(container)
    fps, time_base_s = 0.0 if name in _SAY_NO_RATE else float(stream.average_rate or 0), float(stream.time_base)
    # A raw stream's is the demuxer's own, DV's as many as there can be.
    if (not fps and name not in _SAY_NO_RATE) or name in _RAW or round(fps * time_base_s, 9) == 1:
        fps = float(stream.guessed_rate or 0)
    return Clock(
        time_base_s=time_base_s,
        fps=fps,
        may_leap=name in _LEAPS,
        is_in_order_of_decoding=name in _IN_ORDER_OF_DECODING or seeks_wrongly(container, stream),
        has_times=name not in _RAW,
        has_decoding_times=name != "matroska",
    )


def _seen(clock: Clock, packets: Packets, stream: VideoStream) -> Clock:
    """Where pictures are reordered, and each is said to be shown when it is decoded, the times were made up: by who
    copied a raw stream into the container."""
    is_made_up = stream.codec_context.has_b_frames and np.array_equal(packets.pts, packets.dts)
    return replace(clock, is_in_order_of_decoding=True) if is_made_up else clock


def goes_by_bytes(container: InputContainer) -> bool:
    """Whether a place in the file is found by its byte, whatever the clock says there."""
    return demuxer(container) in _BY_BYTES


def goes_from_start(container: InputContainer) -> bool:
    """Whether there is no other place to go to."""
    return demuxer(container) in _FROM_START


def seeks_wrongly(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a picture may have another time behind a seek."""
    return demuxer(container) in _SENT_TIMES and bool(stream.codec_context.has_b_frames)


def _of(packets: Iterable[Packet[VideoStream]]) -> Packets:
    columns = [array("q") for _ in range(5)]
    is_whole = True
    with until_it_breaks():  # cut off in the middle of something: what came before it counts
        for packet in packets:
            if not packet.size:  # the end
                continue
            is_whole = not packet.is_corrupt
            for column, value in zip(
                columns, (packet.pts, packet.dts, packet.pos, packet.is_keyframe, packet.is_discard), strict=True
            ):
                column.append(UNKNOWN if value is None or abs(value) > MAX_TIME else value)
    # The last one of a file that was cut off is not whole, and what is left of it is no picture.
    arrays = (np.frombuffer(column, np.int64) for column in columns)
    pts, dts, pos, keyframe, hidden = arrays if is_whole else (values[:-1] for values in arrays)
    # What is cut out of a larger unit has no place of its own: that of the packet before it.
    return Packets(pts, dts, np.maximum.accumulate(np.maximum(pos, 0)), keyframe == 1, hidden == 1)


def _all(container: InputContainer, stream: VideoStream, limits: Limits) -> Packets:
    # Where nothing is read yet: FFmpeg's own index may lead elsewhere, and raw streams have times until the first seek.
    if demuxer(container) in _LOOKED_INTO:
        rewind(container, stream)
    return _of(itertools.islice(demuxed(container, stream), limits.max_frames + 2))


def rewind(container: InputContainer, stream: VideoStream) -> None:
    """Go to the first packet.

    Raises:
        UndecodableVideo: the container cannot.
    """
    if not goes_by_bytes(container) and not goes_from_start(container):
        start = stream.start_time or 0
        # A keyframe at or before the first time; there may be none, where times begin late.
        for place, is_before in ((min(start, 0), True), (start, True), (min(start, 0), False)):
            with until_it_breaks():
                container.seek(place, stream=stream, backward=is_before)
                return
    try:
        container.seek(0, unsupported_byte_offset=True)
    except LIBRARY_ERRORS as exc:
        raise UndecodableVideo("the file cannot be read again from its start") from exc


def first_keyframe(container: InputContainer, stream: VideoStream) -> bytes:
    """The beginning of the first keyframe's packet, before its picture; empty: there is none."""
    rewind(container, stream)
    with until_it_breaks():
        for packet in itertools.islice(demuxed(container, stream), _FIRST_KEYFRAME):
            if packet.is_keyframe:
                return bytes(memoryview(packet)[:_HEADERS_BYTES])
    return b""


def _head(container: InputContainer, stream: VideoStream, place: int) -> Packets:
    """The first packets from the keyframe at `place` on, and so many behind what an edit list hides."""

    def packets() -> Iterable[Packet[VideoStream]]:
        container.seek(place, stream=stream, backward=True)
        shown = 0
        for packet in demuxed(container, stream):
            yield packet
            shown += not packet.is_discard
            if shown >= _HEAD_PACKETS:
                return

    return _of(packets())


def _by_index(
    container: InputContainer, stream: VideoStream, file: int, span: Span | None, clock: Clock
) -> Timeline | None:
    """Where the container lists every frame's place, as MP4's and AVI's do, and the file reaches that far."""
    index = stream.index_entries
    name = demuxer(container)
    size = byte_size(file, span)
    count = len(index)
    if count < 2 or name not in _INDEXED:
        return None
    last = index[count - 1]
    if last.pos < 0 or last.size < 0 or last.pos + last.size > size:
        return None
    if name == "avi":
        if layout.goes_on_behind(file, span, last.pos, last.size):
            return None
    elif not stream.frames or count < stream.frames or layout.has_fragments(file, span):
        return None
    first = next((k for k, entry in enumerate(index) if entry.is_keyframe), 0)
    head = _head(container, stream, index[first].timestamp)
    clock = _seen(clock, head, stream)
    beginning = timeline.read(head, clock)
    if beginning is None:
        return None
    # The index has times of decoding; a picture is shown so much later.
    key = np.flatnonzero(head.is_keyframe)[:1]
    delay = int(head.pts[key[0]] - head.dts[key[0]]) if key.size and not clock.is_in_order_of_decoding else 0
    if count <= _WHOLE_INDEX:
        runs = [range(count)]
    else:
        runs = [range(k, k + _RUN) for k in np.linspace(first, count - _RUN, _RUNS).astype(int)]
    entries = [index[int(k)] for run in runs for k in run]
    sampled = np.split(np.array([entry.timestamp for entry in entries], np.int64), len(runs))
    gaps = np.concatenate([np.diff(run) for run in sampled])
    if (gaps < 0).any():
        return None
    hidden = sum(entry.is_discard for entry in entries) if count <= _WHOLE_INDEX else 0
    interval, fps, source = timeline.rate(gaps, clock)
    is_even = timeline.are_even(gaps, interval)
    last_shown = None if is_even else _last_shown(container, stream, index[max(first, count - _RUN)].timestamp)
    end = round((last.timestamp + delay if last_shown is None else last_shown) + interval)
    pictures = count - first - hidden
    return Timeline(
        start=beginning.start,
        end=end,
        interval=interval,
        fps=fps,
        rate_source=source,
        picture_count=pictures,
        is_even=is_even and abs((end - beginning.start) / interval - pictures) < 1.5,
        pieces=beginning.pieces,
        delay=delay,
        is_in_order_of_decoding=clock.is_in_order_of_decoding,
        late_packets=first,
        longest_gap=int(gaps.max()),
        is_mostly_even=timeline.are_mostly_even(gaps, interval),
    )


def _last_shown(container: InputContainer, stream: VideoStream, place: int) -> int | None:
    """The latest time of showing from the keyframe at `place` on; the order of decoding does not say it."""
    with until_it_breaks():
        container.seek(place, stream=stream, backward=True)
        ending = _of(demuxed(container, stream))
        if ending.pts.size and (ending.pts != UNKNOWN).all():
            return int(ending.pts.max())
    return None


def _by_both_ends(
    container: InputContainer, stream: VideoStream, file: int, span: Span | None, clock: Clock, limits: Limits
) -> Timeline | None:
    """Where Matroska's headers say a rate and a duration, and the first and the last packets agree with both."""
    if demuxer(container) != "matroska" or not clock.fps or not container.duration:
        return None
    if not stream.average_rate or stream.average_rate != stream.base_rate or layout.is_joined_matroska(file, span):
        return None
    start = stream.start_time or 0
    said = container.duration / 1e6 / clock.time_base_s
    said -= start if 0 < start < said else 0  # it is counted from zero
    if said * clock.time_base_s > limits.max_duration_s:
        return None
    try:
        beginning = timeline.read(_head(container, stream, start), clock)
        if beginning is None or beginning.rate_source != "header" or beginning.pieces or not beginning.is_even:
            return None
        container.seek(round(start + said - 2 * beginning.interval), stream=stream, backward=True)
        ending = timeline.read(_of(itertools.islice(demuxed(container, stream), _HEAD_PACKETS * 64)), clock)
    except LIBRARY_ERRORS:
        return None
    if ending is None or ending.pieces or not ending.is_even:
        return None
    if abs(ending.end - start - said) > max(1 / clock.time_base_s, said / 50):
        return None
    interval = beginning.interval
    pictures = round((ending.end - beginning.start) / interval)
    return Timeline(beginning.start, ending.end, interval, clock.fps, "header", pictures, is_even=True)
