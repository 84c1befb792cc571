"""Opens a video of this machine: no file may name another one, or an address, or reach a rare demuxer or decoder.

The lists are the server's (`decoder/container.py`) or shorter: what is not opened here is sent as it is.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

DEMUXERS = ("mov", "matroska", "avi", "mpegts")
CODECS = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "prores", "theora")
_DECODERS = (*CODECS, "libdav1d")

# Given to the opening itself: FFmpeg opens decoders to look at the first packets, before anything could be asked.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(DEMUXERS),
    "codec_whitelist": ",".join(_DECODERS),
}


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """The file and the stream that a player shows, which is no cover; the caller closes the file.

    Raises:
        av.FFmpegError, ValueError: it cannot be read here, or has no such stream.
    """
    container = av.open(str(path.resolve()), options=_OPTIONS)  # "concat:a|b" is a file's name here, and no protocol
    try:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise ValueError("there is no video stream")
        if stream.codec_context.codec.canonical_name not in CODECS:
            raise ValueError("its codec is not read here")
    except BaseException:
        container.close()
        raise
    return container, stream
