"""The choice between the two readers; what they have in common is in `video.py`.

PyAV's is the default, for the measurements in docs/benchmarks.md; decord's is there for comparison.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from cliplane.decoder.media import Limits, Span
from cliplane.decoder.video import Reader

_LATE = (
    *("av.audio.codeccontext", "av.audio.stream", "av.subtitles.codeccontext", "av.subtitles.stream"),
    *("av.sidedata.encparams", "av.sidedata.motionvectors", "av.sidedata.sidedata", "av.video.codeccontext"),
    "numpy.ma",
)
"""What the libraries import when they meet a certain file: behind the decoder's walls nothing can be imported."""


class Opener(Protocol):
    """Opens the file behind a descriptor, or a span of it."""

    def __call__(
        self,
        file: int,
        span: Span | None,
        limits: Limits,
        threads: int,
        frame_rate: float = 0,
        pixels: str = "square",
    ) -> Reader:
        """`threads` may work at once; frames are numbered at `frame_rate` a second, 0: at the video's own; `pixels`:
        "square", or as "stored".

        Raises:
            UndecodableVideo: no demuxer takes it, or it has no video stream that can be decoded.
            OverLimit: naming the limit.
        """


def load_reader(name: str) -> Opener:
    """The reader of this name, "pyav" or "decord", with all that it would import when it meets a certain file."""
    for module in _LATE:
        importlib.import_module(module)
    # Imported here: only one of them is needed, and each brings an FFmpeg of its own.
    if name == "decord":
        from cliplane.decoder.decord_reader import DecordReader

        return DecordReader
    from cliplane.decoder.pyav_reader import PyavReader

    return PyavReader
