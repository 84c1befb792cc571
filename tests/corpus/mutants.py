"""Small files of every container and codec that may come in, and mutants of them.

The seed is fixed, so mutant `number` of a file can be had again.
"""

from __future__ import annotations

import random

from tests import media

SEED = 20261124
STEADY = "mbtree=0"
"""With it x264 writes other bytes each time, where pictures are as small as these."""

_MUXED: tuple[tuple[str, str, str], ...] = (
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libsvtav1", "yuv420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("3gp", "h263", "yuv420p"),
    ("mov", "libx265", "yuv420p"),
    ("mov", "prores_ks", "yuv422p10le"),
    ("mov", "cinepak", "rgb24"),
    ("matroska", "libx264", "yuv420p"),
    ("matroska", "ffv1", "yuv420p"),
    ("matroska", "mpeg1video", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("avi", "huffyuv", "yuv422p"),
    ("avi", "ffvhuff", "yuv420p"),
    ("avi", "msmpeg4v2", "yuv420p"),
    ("avi", "msmpeg4", "yuv420p"),
    ("avi", "wmv1", "yuv420p"),
    ("mpegts", "mpeg2video", "yuv420p"),
    ("mpegts", "libx264", "yuv420p"),
    ("flv", "libx264", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("vob", "mpeg2video", "yuv420p"),
    ("asf", "wmv2", "yuv420p"),
    ("ogg", "libvpx", "yuv420p"),
    ("mxf", "mpeg2video", "yuv420p"),
    ("h264", "libx264", "yuv420p"),
    ("hevc", "libx265", "yuv420p"),
    ("ivf", "libvpx-vp9", "yuv420p"),
    ("yuv4mpegpipe", "wrapped_avframe", "yuv420p"),
    ("gif", "gif", "rgb8"),
    ("apng", "apng", "rgb24"),
    ("webp", "libwebp_anim", "yuv420p"),
)
_SIZES = {"h263": (128, 96), "dvvideo": (720, 576), "dnxhd": (256, 120)}  # those that these codecs have


def seeds() -> dict[str, bytes]:
    """The files by container and codec."""
    made = {f"{codec} in {container}": _made(container, codec, pixels) for container, codec, pixels in _MUXED}
    made["dvvideo in dv"] = _made("dv", "dvvideo", "yuv420p", frames=3)
    made["dnxhd in mov"] = _made("mov", "dnxhd", "yuv422p", frames=6, profile="dnxhr_lb")
    moving = media.moving_camera("pan_right", frames=24, width=96, height=64)
    muxer = {"fflags": "+bitexact", "movflags": "frag_keyframe+empty_moov"}
    made["libx264 in mp4, fragmented"] = media.encode(moving, options={"g": "8", "x264-params": STEADY}, muxer=muxer)
    return made


def _made(container: str, codec: str, pixels: str, frames: int = 12, **options: str) -> bytes:
    width, height = _SIZES.get(codec, (96, 64))
    moving = media.moving_camera("pan_right", frames=frames, width=width, height=height)
    if codec == "libx264":
        options["x264-params"] = STEADY
    muxer = {"fflags": "+bitexact"}  # no random numbers: a mutant can be had again
    return media.encode(moving, container=container, codec=codec, pixels=pixels, options=options, muxer=muxer)


def mutant(number: int, original: bytes, url: bytes) -> bytes:
    """Bits flipped, bytes overwritten, pieces cut, moved and doubled, boxes resized, URLs planted."""
    rng = random.Random(f"{SEED}-{number}")
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 4096))
        size = min(rng.choice((1, 4, 16, 256, 4096)), len(data) - at)
        match rng.randrange(9):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                data[at : at + size] = b"\xff" * size
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case 5:
                del data[max(at, 64) :]
            case 6:  # a box's, an element's or a table's size or count
                value = rng.choice((0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.randrange(2**32)))
                data[at : at + 4] = value.to_bytes(4, "big")
            case 7:
                boxes = list(media.boxes(bytes(data)))
                if boxes:
                    start, end = rng.choice(boxes)
                    other = rng.choice(boxes)[0]
                    box = data[start:end][:65536]
                    data[other:other] = box
            case 8:
                data[at : at + len(url)] = url
        if len(data) < 64:
            data.extend(bytes(64))
    return bytes(data)
