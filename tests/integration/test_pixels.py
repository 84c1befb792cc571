"""Pixels against a reference: a chart of known colours, written in every form of YUV by its own formula, comes back.

Tolerances are of the 8-bit result: rounding to 8-bit YUV costs up to 2, to 10 bits 1. PQ and HLG are not tone-mapped:
code values stay, as the libraries that models are trained with leave them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cliplane.decoder.container import silence
from cliplane.decoder.reader import load_reader
from cliplane.settings import Settings

from tests import media

SIDE = 64
# Of red and blue in the luma (ITU-R BT.709-6, 3.2; BT.601-7, 2.5.1; BT.2020-2, table 4), and FFmpeg's numbers.
MATRICES = {"BT.709": (0.2126, 0.0722, 1), "BT.601": (0.299, 0.114, 6), "BT.2020": (0.2627, 0.0593, 9)}
FULL, LIMITED = 2, 1
PQ, HLG, SDR = 16, 18, 1


def chart() -> np.ndarray:
    """(SIDE, SIDE, 3) in 16 fields."""
    colours = np.random.default_rng(0).integers(20, 236, (4, 4, 3))
    return np.repeat(np.repeat(colours, SIDE // 4, 0), SIDE // 4, 1)


def planes(rgb: np.ndarray, matrix: str, colour_range: int, bits: int) -> list[np.ndarray]:
    """Y, Cb and Cr by the recommendation's formulas."""
    red, blue, _ = MATRICES[matrix]
    r, g, b = (rgb[..., k] / 255 for k in range(3))
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))]
    scale, top = 1 << (bits - 8), (1 << bits) - 1
    if colour_range == FULL:
        found = [luma * top, *(part * top + 128 * scale for part in chroma)]
    else:
        found = [(16 + 219 * luma) * scale, *((128 + 224 * part) * scale for part in chroma)]
    return [np.clip(np.round(plane), 0, top) for plane in found]


def encoded(matrix: str, colour_range: int, bits: int, transfer: int = SDR) -> bytes:
    """The chart without loss, 4:4:4, tagged."""
    form, kind = ("yuv444p", np.uint8) if bits == 8 else ("yuv444p10le", np.uint16)
    frame: Any = av.VideoFrame(SIDE, SIDE, form)
    for plane, values in zip(frame.planes, planes(chart(), matrix, colour_range, bits), strict=True):
        rows: np.ndarray = np.zeros((SIDE, plane.line_size // np.dtype(kind).itemsize), kind)
        rows[:, :SIDE] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = MATRICES[matrix][2], colour_range
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, form
        stream.codec_context.colorspace, stream.codec_context.color_range = MATRICES[matrix][2], colour_range
        stream.codec_context.color_trc = transfer
        for number in range(3):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def read(data: bytes, path: Path, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """Frame 1 as a model gets it."""
    silence()
    path.write_bytes(data)
    with path.open("rb") as file:
        video = load_reader("pyav")(file.fileno(), None, Settings().decoder_limits(), 1)
        ((_, frame),) = [(number, frame.copy()) for number, frame in video.frames([1], width, height)]
        video.close()
    return frame.astype(int)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("colour_range", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
def test_colours_come_back_from_every_matrix_range_and_depth(
    tmp_path: Path, matrix: str, colour_range: int, bits: int
) -> None:
    difference = np.abs(read(encoded(matrix, colour_range, bits), tmp_path / "video") - chart())
    assert difference.max() <= (3 if bits == 8 else 2)


@pytest.mark.parametrize("transfer", [PQ, HLG], ids=["PQ", "HLG"])
def test_hdr_keeps_its_code_values(tmp_path: Path, transfer: int) -> None:
    difference = np.abs(read(encoded("BT.2020", LIMITED, 10, transfer), tmp_path / "video") - chart())
    assert difference.max() <= 2


def test_what_is_transparent_has_the_colour_beneath(tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="apng") as output:
        stream: Any = output.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "rgba"
        for alpha in (255, 128, 255):
            rgba = np.dstack([chart(), np.full((SIDE, SIDE, 1), alpha)]).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        output.mux(stream.encode())
    found = read(file.getvalue(), tmp_path / "video")
    # Frame 1 is laid over frame 0, which is the same: half of each, to the last bit.
    assert np.abs(found - chart()).max() <= 1


def test_interlaced_pictures_are_woven_as_in_a_whole_decode(tmp_path: Path) -> None:
    path = tmp_path / "video"
    frames = media.moving_camera("pan_left", frames=6, width=SIDE * 2, height=SIDE)
    options = {"flags": "+ildct+ilme", "b": "4000k"}
    data = media.encode(frames, container="mpegts", codec="mpeg2video", options=options)
    found = read(data, path, SIDE * 2, SIDE)
    with av.open(str(path), "r") as container:
        stream: Any = container.streams.video[0]
        whole = [frame for packet in container.demux(stream) for frame in packet.decode()]
    expected = whole[1].to_ndarray(format="rgb24", interpolation="BILINEAR").astype(int)
    assert np.abs(found - expected).max() <= 1
