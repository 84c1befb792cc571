"""Opens an untrusted file with FFmpeg's demuxers, by PyAV, and refuses what is over a limit.

No frame is decoded here. Owns which demuxers and codecs may be used at all.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cliplane.errors import OverLimit, UndecodableVideo
from cliplane.media import Limits, Span

# The demuxers of media.CONTAINERS, by FFmpeg's names. A file that FFmpeg takes for something else is refused.
_DEMUXERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts"}

_FALLBACK_FPS = 25.0

LIBRARY_ERRORS = (av.FFmpegError, ValueError, ArithmeticError, OSError)
"""What PyAV raises over a broken file. ValueError is its own, for numbers and codecs that FFmpeg let pass."""


class Timeline(NamedTuple):
    """Frame n of the stream is the one shown at `start + n × step`, in units of the stream's time base.

    So a number means the same moment whatever the file says of its frames, and frames of a variable rate are
    numbered evenly over time.
    """

    start: float
    step: float
    frame_count: int
    fps: float


def silence() -> None:
    """Stop the library's own messages: they quote the file.

    With any level but None PyAV would have FFmpeg's threads call Python, and for that wait for the interpreter, which
    may be waiting for them: closing a half-read file could then hang for ever.
    """
    av.logging.set_level(None)


def url(path: str, span: Span | None) -> str:
    """A part of a file is opened in place, by FFmpeg's subfile protocol."""
    return path if span is None else f"subfile,,start,{span.start},end,{span.end},,:{path}"


def open_container(path: str, span: Span | None, limits: Limits) -> tuple[InputContainer, VideoStream]:
    """The file and its video stream, checked against the limits; the caller closes the file.

    Raises:
        UndecodableVideo: no demuxer takes it, or it has no video stream that can be decoded.
        OverLimit: naming the limit.
    """
    try:
        container = av.open(url(path, span))
    except LIBRARY_ERRORS as exc:
        raise UndecodableVideo("the container's headers cannot be read") from exc
    try:
        return container, _checked(container, limits)
    except BaseException:
        container.close()
        raise


def _checked(container: InputContainer, limits: Limits) -> VideoStream:
    if container.format.name not in _DEMUXERS:
        raise UndecodableVideo("the demuxer does not agree with the file's first bytes")
    if len(container.streams) > limits.max_streams:
        raise OverLimit(f"{len(container.streams)} streams; CLIPLANE_MAX_STREAMS={limits.max_streams}")
    stream = container.streams.best("video")  # of several, the one a player shows
    if not isinstance(stream, VideoStream):
        raise UndecodableVideo("there is no video stream")
    if stream.codec_context is None or stream.width < 1 or stream.height < 1:
        raise UndecodableVideo("the video stream has no codec known here, or no size")
    codec = codec_name(stream)
    if codec not in limits.codecs.split(","):
        raise OverLimit(f"codec {codec}; CLIPLANE_CODECS={limits.codecs}")
    if stream.width * stream.height > limits.max_pixels:
        raise OverLimit(f"{stream.width}x{stream.height} pixels; CLIPLANE_MAX_PIXELS={limits.max_pixels}")
    return stream


def codec_name(stream: VideoStream) -> str:
    """FFmpeg's name of the format, whichever of its decoders is used."""
    return stream.codec_context.codec.canonical_name


def read_timeline(container: InputContainer, stream: VideoStream, path: str, limits: Limits) -> Timeline:
    """How many frames there are and when, by what is in the file, not only by what its headers say.

    A file that was cut off, or that says too much of itself, ends where its last packet does. Only the packets after
    the last keyframe are read for that, unless the file does not say how long it is. Leaves the container anywhere.

    Raises:
        OverLimit: the video is too long, or has too many frames.
        UndecodableVideo: there is no packet at all.
    """
    assert stream.time_base is not None
    fps = float(stream.average_rate or stream.guessed_rate or 0) or _FALLBACK_FPS
    step = 1 / (fps * float(stream.time_base))
    start = float(stream.start_time or 0)
    said = _said_duration_s(container, stream) / float(stream.time_base)
    _check_length(said * float(stream.time_base), fps, limits)
    if said and _index_is_whole(stream, path):
        end = start + said
    else:
        end = _last_packet_end(container, stream, start, said, step, limits)
    frame_count = max(1, round((end - start) / step))
    _check_length(frame_count / fps, fps, limits)
    return Timeline(start, step, frame_count, fps)


def _check_length(duration_s: float, fps: float, limits: Limits) -> None:
    if duration_s > limits.max_duration_s:
        raise OverLimit(f"{duration_s:.0f} s long; CLIPLANE_MAX_DURATION_S={limits.max_duration_s:.0f}")
    if duration_s * fps > limits.max_frames:
        raise OverLimit(f"{duration_s * fps:.0f} frames; CLIPLANE_MAX_FRAMES={limits.max_frames}")


def _said_duration_s(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _index_is_whole(stream: VideoStream, path: str) -> bool:
    """Whether the headers list every frame's place (as MP4's do), and the file reaches that far."""
    entries = stream.index_entries
    if not stream.frames or len(entries) < stream.frames:
        return False
    last = entries[len(entries) - 1]
    return last.pos + last.size <= os.path.getsize(path)


def _last_packet_end(
    container: InputContainer, stream: VideoStream, start: float, said: float, step: float, limits: Limits
) -> float:
    """When the last packet ends, in units of the time base."""
    last = None
    # Where the headers are wrong about the end there may be nothing: then all that there is.
    for offset in (start + said - step, start) if said else (start,):
        try:
            container.seek(max(round(offset), 0), stream=stream, backward=True)
            for packet in container.demux(stream):
                if packet.pts is not None and not packet.is_corrupt:  # the last one of a file that was cut off is
                    last = packet.pts if last is None else max(last, packet.pts)
                    if (last - start) * float(stream.time_base or 1) > limits.max_duration_s:
                        break
        except LIBRARY_ERRORS:
            pass  # cut off in the middle of something: what came before it counts
        if last is not None:
            return last + step
    raise UndecodableVideo("there is no picture in the file")
