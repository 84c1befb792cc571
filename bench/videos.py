"""Videos to measure with, made from one real clip: other sizes, codecs, keyframe distances and lengths.

    python -m bench.videos SOURCE DIR

Standard sizes and codecs are encoded once (10 s, 30 frames a second, the source played to and fro); long ones repeat
the packets of a short one, which costs no encoding.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np

from tests import media

FPS = 30
SECONDS = 10
SIZES = {"1080p": 1080, "720p": 720, "256p": 256}
CODECS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
_OPTIONS = {
    "libx264": {"preset": "medium", "crf": "23"},
    "libx265": {"preset": "fast", "crf": "26", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "9", "crf": "32"},
}


_LOW_RATE = {"crf": "34"}


def encoded(source: Path, folder: Path, size: str, codec: str, gop: int, *, low_rate: bool = False) -> Path:
    """The source as 10 s of this size, codec and distance between keyframes; made if it is not there."""
    path = folder / f"{codec}_{size}_gop{gop}{'_low_rate' if low_rate else ''}.mp4"
    if path.exists():
        return path
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 150)]
    to_and_fro = frames + frames[-2:0:-1]
    height = SIZES[size]
    width = round(frames[0].shape[1] * height / frames[0].shape[0] / 2) * 2
    options = _OPTIONS[CODECS[codec]] | (_LOW_RATE if low_rate else {})
    new = path.with_suffix(".new")
    with av.open(str(new), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream = cast(av.VideoStream, output.add_stream(CODECS[codec], rate=FPS, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        for t in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(to_and_fro[t % len(to_and_fro)], format="rgb24")
            output.mux(stream.encode(frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")))
        output.mux(stream.encode())
    new.rename(path)
    return path


def smallest(folder: Path) -> Path:
    """Half a second of 64 × 64 in grey: next to no work; made if it is not there."""
    path = folder / "smallest.mp4"
    if not path.exists():
        frames = (np.full((64, 64, 3), 8 * t, np.uint8) for t in range(FPS // 2))
        path.write_bytes(media.encode(frames, fps=FPS))
    return path


def repeated(short: Path, folder: Path, seconds: int) -> Path:
    """The packets of a 10 s video again and again, to `seconds`; made if it is not there."""
    path = folder / f"{short.stem}_{seconds}s.mp4"
    if path.exists() or seconds <= SECONDS:
        return path if path.exists() else short
    new = path.with_suffix(".new")
    with av.open(str(new), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream = None
        for turn in range(seconds // SECONDS):
            with av.open(str(short)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                shift = round(turn * SECONDS / cast(Fraction, source.time_base))
                for packet in container.demux(source):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        output.mux(packet)
    new.rename(path)
    return path


if __name__ == "__main__":
    to = Path(sys.argv[2])
    to.mkdir(parents=True, exist_ok=True)
    for codec_ in CODECS:
        for size_ in SIZES:
            for gop_ in (12, 250):
                print(encoded(Path(sys.argv[1]), to, size_, codec_, gop_), flush=True)
