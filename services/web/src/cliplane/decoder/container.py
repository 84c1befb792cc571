"""Opens an untrusted file with FFmpeg's demuxers, by PyAV, and refuses what is over a limit.

No frame is decoded here. Owns which demuxers and codecs may be used at all.
"""

from __future__ import annotations

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cliplane.errors import OverLimit, UndecodableVideo
from cliplane.media import Limits, Span

# The demuxers of media.CONTAINERS, by FFmpeg's names. A file that FFmpeg takes for something else is refused.
_DEMUXERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts"}

LIBRARY_ERRORS = (av.FFmpegError, ValueError, ArithmeticError, OSError)
"""What PyAV raises over a broken file. ValueError is its own, for numbers and codecs that FFmpeg let pass."""


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
