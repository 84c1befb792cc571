"""The choice between the two readers; what they have in common is in `video.py`.

PyAV's is the default, for the measurements in docs/benchmarks.md; decord's is there for comparison.
"""

from __future__ import annotations

from cliplane.decoder.video import Reader
from cliplane.media import Limits, Span


def open_reader(
    name: str,
    path: str,
    span: Span | None,
    limits: Limits,
    threads: int,
    frame_rate: float = 0,
    pixels: str = "square",
) -> Reader:
    """Open a file with the reader of this name, "pyav" or "decord"; `threads` of it may work at once, and frames are
    numbered at `frame_rate` a second; 0: at the video's own. `pixels`: "square", or as "stored".

    Raises:
        UndecodableVideo: no demuxer takes it, or it has no video stream that can be decoded.
        OverLimit: naming the limit.
    """
    # Imported here: only one of them is needed, and each brings an FFmpeg of its own.
    if name == "decord":
        from cliplane.decoder.decord_reader import DecordReader

        return DecordReader(path, span, limits, threads, frame_rate, pixels)
    from cliplane.decoder.pyav_reader import PyavReader

    return PyavReader(path, span, limits, threads, frame_rate, pixels)
