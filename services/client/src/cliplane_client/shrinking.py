"""Make a video small before it is uploaded, where that is faster: to the short side that the model looks at anyway.

Every frame is kept, and its time: another frame rate would be another speed. What the server would have to judge
(damage, a clock that leaps, a beginning without a keyframe) is judged there alone: such a file is sent as it is.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from cliplane_client.source import open_video

CRF = 23
PRESET = "veryfast"
MARGIN = 1.5
"""Short side of what is sent, as a multiple of the model's: its own resize then works on more than enough pixels."""

AHEAD = 4
"""Frames that wait for the scaler: enough to keep it busy, few enough for the memory."""

SAMPLE_FRAMES = 45
GAIN = 0.9
"""Shrinking must be expected to take less than this part of the time, or the file goes as it is."""


MAX_PAUSE_S = 1.0
"""No picture for longer: a clock that leaps, perhaps."""

MAX_UNREAD = 0.1
"""Part of a transport stream behind its last picture: another one may go on there."""


class Doubtful(ValueError):
    """What this file shows, and when, is for the server to say."""


@dataclass(frozen=True, slots=True)
class Shrinking:
    """What was sent and why. `uplink` in bytes a second, 0.0 where it was not measured."""

    path: Path
    was_shrunk: bool
    reason: str
    raw_bytes: int
    sent_bytes: int
    encode_s: float = 0.0
    uplink: float = 0.0


def shrink(
    path: Path,
    short_side: int,
    folder: Path,
    *,
    crf: int = CRF,
    max_frames: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Path, int, float]:
    """Write the video smaller, as H.264 without sound; (where, how many frames, how many seconds it took).

    `progress` is told which part of it is done, 0.0 to 1.0.

    Raises:
        av.FFmpegError, ValueError: it cannot be read here. The server may still read it.
    """
    began = time.perf_counter()
    small = folder / f"{path.stem}.small.mp4"
    frames = 0
    source, stream = open_video(path)
    with source, av.open(str(small), "w", options={"movflags": "faststart"}) as output:
        stream.thread_type = "AUTO"
        # Nothing of it is seen at that size (far less than what x264 leaves out), and it is an eighth of decoding.
        stream.codec_context.options = {"skip_loop_filter": "all"}
        pictures = _pictures(source, stream)
        first = next(pictures, None)
        if first is None:
            raise Doubtful("no picture")
        width, height = _size(stream, short_side)
        start = first.pts or 0
        rate = stream.average_rate or stream.guessed_rate or 25
        target = output.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": PRESET})
        target.width, target.height, target.pix_fmt = width, height, "yuv420p"
        target.codec_context.time_base = stream.time_base  # each picture keeps its time
        target.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
        if matrix := _display_matrix(stream, first):
            target.set_display_matrix(matrix)
        # Scaling takes nearly as long as decoding: it has a thread of its own, while FFmpeg's threads decode.
        scaler = VideoReformatter()
        total = _frame_count(source, stream)
        with ThreadPoolExecutor(1) as thread:
            scaled: deque[Future[VideoFrame]] = deque()
            for frame in islice(chain([first], pictures), max_frames):
                frame.pts = (frame.pts or 0) - start  # MP4 hides what is shown before zero, as where a clock wraps
                scaled.append(thread.submit(_smaller, scaler, frame, width, height))
                frames += 1
                progress(frames / max(total, frames))
                if len(scaled) > AHEAD:
                    output.mux(target.encode(scaled.popleft().result()))
            while scaled:
                output.mux(target.encode(scaled.popleft().result()))
        output.mux(target.encode())
    return small, frames, time.perf_counter() - began


def choose(
    path: Path,
    short_side: int,
    mode: str,
    folder: Path,
    uplink: Callable[[], float],
    progress: Callable[[float], None] = lambda _: None,
) -> Shrinking:
    """What to send of a video. `mode`: "off", "on" or "auto"; `uplink` measures bytes a second, if need be."""
    raw = path.stat().st_size
    as_it_is = Shrinking(path, False, "not asked for", raw, raw)
    if mode == "off":
        return as_it_is
    side = round(short_side * MARGIN)
    try:
        container, stream = open_video(path)
        with container:
            if "mov" in container.format.name and _is_joined(path):
                raise Doubtful("another file is behind it")
            if _displayed_short_side(stream) <= side:
                return Shrinking(path, False, f"its short side is {side} or less already", raw, raw)
            total = _frame_count(container, stream)
        speed = uplink() if mode == "auto" else 0.0
        if mode == "auto":
            with tempfile.TemporaryDirectory() as trial:
                sample, frames, seconds = shrink(path, side, Path(trial), max_frames=SAMPLE_FRAMES)
                part = frames / max(total, frames)
                expected_s = seconds / part + sample.stat().st_size / part / speed
            if expected_s > GAIN * raw / speed:
                reason = f"sending takes {raw / speed:.1f} s, shrinking and sending about {expected_s:.1f} s"
                return Shrinking(path, False, reason, raw, raw, uplink=speed)
        small, _, seconds = shrink(path, side, folder, progress=progress)
    except Doubtful as doubt:
        return Shrinking(path, False, f"the server shall judge it: {doubt}", raw, raw)
    except (av.FFmpegError, ValueError) as error:
        return Shrinking(path, False, f"it cannot be read here ({type(error).__name__})", raw, raw)
    sent = small.stat().st_size
    if sent >= raw:
        return Shrinking(path, False, "it would not be smaller", raw, raw, seconds, speed)
    return Shrinking(small, True, f"to a short side of {side}", raw, sent, seconds, speed)


def _pictures(source: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All pictures of a file that leaves no doubt, in the order in which they are shown.

    Raises:
        Doubtful: this one does; av.FFmpegError: it cannot be decoded.
    """
    decoded: int | None = None
    shown: int | None = None
    last = 0
    for number, packet in enumerate(source.demux(stream)):
        if packet.is_corrupt or (number == 0 and not packet.is_keyframe):
            raise Doubtful("a part of it is missing")
        if packet.dts is not None:
            step = 1 if decoded is None else packet.dts - decoded
            if not 0 < step * packet.time_base <= MAX_PAUSE_S:
                raise Doubtful("its clock leaps")
            decoded = packet.dts
        for frame in packet.decode():
            if not isinstance(frame, VideoFrame):
                continue
            if frame.is_corrupt or frame.pts is None or (shown is not None and frame.pts <= shown):
                raise Doubtful("its pictures have no order")
            shown = frame.pts
            yield frame
        last = packet.pos or last
    if source.format.name == "mpegts" and source.size and last < (1 - MAX_UNREAD) * source.size:
        raise Doubtful("its end has no picture")


def _is_joined(path: Path) -> bool:
    """Whether another MP4 begins behind the first one's `moov`."""
    size, position, has_movie = path.stat().st_size, 0, False
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if has_movie and kind == b"ftyp":
                return True
            if length == 1:
                length = int.from_bytes(head[8:], "big")
            if length < 8:
                return False
            has_movie |= kind == b"moov"
            position += length
    return False


def _display_matrix(stream: VideoStream, first: VideoFrame) -> list[int]:
    """How the pictures are turned and mirrored (ISO/IEC 14496-12, 8.3.2), by the container or by the first of them."""
    matrix = stream.codec_context.coded_side_data.get("display_matrix") or first.side_data.get(Type.DISPLAYMATRIX)
    return list(memoryview(bytes(matrix)).cast("i")) if matrix else []


def _displayed_short_side(stream: VideoStream) -> float:
    """In pixels: one that is not square counts as wide as it is shown, and as high as it is."""
    return min(stream.width * float(stream.sample_aspect_ratio or 1), stream.height)


def _size(stream: VideoStream, short_side: int) -> tuple[int, int]:
    """Stored size, for such a short side as displayed: pixels keep their shape."""
    scale = short_side / _displayed_short_side(stream)
    return round(stream.width * scale / 2) * 2, round(stream.height * scale / 2) * 2


def _smaller(scaler: VideoReformatter, frame: VideoFrame, width: int, height: int) -> VideoFrame:
    # One scaler for all frames: to make one takes longer than to use it. One thread, for the others decode.
    small = scaler.reformat(frame, width, height, "yuv420p", interpolation=Interpolation.AREA, threads=1)
    small.pts, small.time_base = frame.pts, frame.time_base
    return small


def _frame_count(container: InputContainer, stream: VideoStream) -> int:
    duration_s = (container.duration or 0) / av.time_base
    return stream.frames or round(duration_s * float(stream.average_rate or 25))
