"""Opens an untrusted file with FFmpeg's demuxers, by PyAV, and refuses what is over a limit.

No frame is decoded here.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from functools import cache

import av
from av.codec import Codec, codecs_available
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.format import ContainerFormat
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from cliplane.decoder.media import CONTAINERS, HEAD_BYTES, Limits, Span, sniff
from cliplane.errors import NotAVideo, OverLimit, UndecodableVideo, UnsupportedCodec

_DEMUXERS = {
    "mp4": "mov",
    "webm": "matroska",
    "mpegps": "mpeg",
    "y4m": "yuv4mpegpipe",
    "webp": "webp_anim",
}
"""FFmpeg's names of media.CONTAINERS, where they differ."""

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
"""Covers and thumbnails: no videos."""

_PROTOCOLS = "fd,subfile"

LIBRARY_ERRORS = (av.FFmpegError, ValueError, ArithmeticError, OSError)
"""What PyAV raises over a broken file. ValueError is its own, for numbers and codecs that FFmpeg let pass."""


_ROOM_BYTES = 32 << 20
_MAX_AGAIN = 1000

SHORTAGES = (MemoryError, BlockingIOError)
"""What of these is no fault of the file: there was no memory, or no thread (FFmpeg: ENOMEM, EAGAIN)."""


@contextlib.contextmanager
def until_it_breaks() -> Iterator[None]:
    """What the file is cut off with ends the block, without an error; a shortage does not."""
    try:
        yield
    except MemoryError:
        if _is_short_of_memory():
            raise
    except BlockingIOError:
        raise
    except LIBRARY_ERRORS:
        pass


def is_shortage(exc: Exception, pixels: int) -> bool:
    """Whether a decoder of pictures of this size was short of a thread or of memory, and the file is not at fault."""
    return isinstance(exc, BlockingIOError) or (isinstance(exc, MemoryError) and _is_short_of_memory(4 * pixels))


def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The stream's packets from here on. A demuxer starts no thread: where it says EAGAIN it has found nothing in what
    it has read, and goes on."""
    for _ in range(_MAX_AGAIN):
        try:
            yield from container.demux(stream)
        except BlockingIOError:
            continue
        return


def _is_short_of_memory(more_bytes: int = 0) -> bool:
    """FFmpeg says so too of what claims more bytes than there can be; then there is room for others."""
    try:
        mmap.mmap(-1, _ROOM_BYTES + more_bytes).close()
    except (MemoryError, OSError):
        return True
    return False


def silence() -> None:
    """Stop the library's own messages: they quote the file.

    With any level but None PyAV would have FFmpeg's threads call Python, and for that wait for the interpreter, which
    may be waiting for them: closing a half-read file could then hang for ever.
    """
    av.logging.set_level(None)


def byte_size(file: int, span: Span | None) -> int:
    """Of the video; whoever reads from the file finds its position where it was."""
    if span is not None:
        return span.end - span.start
    position = os.lseek(file, 0, os.SEEK_CUR)
    size = os.lseek(file, 0, os.SEEK_END)
    os.lseek(file, position, os.SEEK_SET)
    return size


def open_container(file: int, span: Span | None, limits: Limits) -> tuple[InputContainer, VideoStream]:
    """The open file, or a span of it in place, and its video stream, checked against the limits; the caller closes the
    container.

    The container's own demuxer is told to FFmpeg, which would else try all that it has, and so are the decoders that it
    may use: it opens some to look at the first packets, before anything could be asked.

    Raises:
        UndecodableVideo: the demuxer cannot read it, or it has no video stream.
        UnsupportedCodec: naming what was found, and what is allowed.
        OverLimit: naming the limit.
    """
    try:
        name = sniff(_head(file, span))
    except NotAVideo as exc:
        raise UndecodableVideo("it is no container that is known here") from exc
    format_ = _DEMUXERS.get(name, name)
    allowed = [codec for codec in limits.codecs.split(",") if codec in CONTAINERS[name]]
    options = {
        "fd": str(file),
        "protocol_whitelist": _PROTOCOLS,
        "format_whitelist": ContainerFormat(format_, "r").name,
        "codec_whitelist": ",".join(decoder for codec in allowed for decoder in _decoders().get(codec, [])) or "none",
    }
    url = "fd:" if span is None else f"subfile,,start,{span.start},end,{span.end},,:fd:"
    try:
        os.lseek(file, 0, os.SEEK_SET)  # where an earlier opening has left it
        container = av.open(url, format=format_, options=options)
    except LIBRARY_ERRORS as exc:
        if not isinstance(exc, SHORTAGES) or (isinstance(exc, MemoryError) and _is_short_of_memory()):
            raise UndecodableVideo("the container's headers cannot be read") from exc
        container = None
    if container is None:  # not from its error: nothing was short
        raise UndecodableVideo("the container's headers claim more than there can be")
    try:
        return container, _checked(container, name, allowed, limits)
    except BaseException:
        container.close()
        raise


def _head(file: int, span: Span | None) -> bytes:
    start, end = span or (0, HEAD_BYTES)
    return os.pread(file, min(HEAD_BYTES, end - start), start)


@cache
def _decoders() -> dict[str, list[str]]:
    """FFmpeg's decoders of each codec."""
    found: dict[str, list[str]] = {}
    for name in sorted(codecs_available):
        with contextlib.suppress(UnknownCodecError):
            found.setdefault(Codec(name, "r").canonical_name, []).append(name)
    return found


def _checked(container: InputContainer, name: str, allowed: list[str], limits: Limits) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    if len(streams) > limits.max_streams:
        raise OverLimit(f"{len(streams)} video streams; CLIPLANE_MAX_STREAMS={limits.max_streams}")
    if not streams:
        raise UndecodableVideo("there is no video stream")
    best = container.streams.best("video")  # of several, the one a player shows
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    codec = codec_name(stream) if stream.codec_context is not None else "a format that is not known here"
    if codec not in allowed:
        raise UnsupportedCodec(f"{codec} in {name}; allowed there: {', '.join(allowed) or 'none'} (CLIPLANE_CODECS)")
    if stream.width < 1 or stream.height < 1:
        raise UndecodableVideo("the video stream has no size")
    if stream.width * stream.height > limits.max_pixels:
        raise OverLimit(f"{stream.width}x{stream.height} pixels; CLIPLANE_MAX_PIXELS={limits.max_pixels}")
    return stream


def demuxer(container: InputContainer) -> str:
    """FFmpeg's first name of the container's demuxer: "mov", "matroska" …"""
    return container.format.name.partition(",")[0]


def codec_name(stream: VideoStream) -> str:
    """FFmpeg's name of the format, whichever of its decoders is used."""
    return stream.codec_context.codec.canonical_name
