"""Runs in the exporter's image, which has the libraries: their samplers beside ours, as JSON.

Of pytorchvideo everything is used as it is: a video whose frames carry their numbers is cut by its sampler, decoded by
its decoder, subsampled, scaled and cropped by its functions. Of torchvision: VideoClips and UniformClipSampler on frame
numbers.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from cliplane.policy.sampling import Sampling, View, crop_offset, plan_views, scaled_size
from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler
from pytorchvideo.data.encoded_video_pyav import EncodedVideoPyAV
from torchvision.datasets.samplers import UniformClipSampler
from torchvision.datasets.video_utils import VideoClips
from torchvision.transforms.functional import center_crop

FPS = 30  # Kinetics', for which both protocols are written
BITS = 12  # of a frame's number, each a block of pixels

X3D = {"x3d_xs": (4, 12, 182, 182), "x3d_s": (13, 6, 182, 182), "x3d_m": (16, 5, 256, 256), "x3d_l": (16, 5, 356, 356)}
FRAME_COUNTS = (90, 131, 250, 300, 301, 599)
SIZES = ((1280, 720), (720, 1280), (320, 240), (340, 256), (640, 427), (1920, 1080), (333, 500), (256, 256), (455, 256))


def functional() -> Any:
    """pytorchvideo.transforms.functional by itself: its package needs a torchvision before 0.17."""
    package = importlib.util.find_spec("pytorchvideo")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "transforms" / "functional.py"
    spec = importlib.util.spec_from_file_location("pytorchvideo_functional", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TRANSFORMS = functional()


def numbered(frame_count: int) -> io.BytesIO:
    """A lossless video whose frame n shows n in black and white blocks."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 8 * BITS, 16, "gray"
        for n in range(frame_count):
            bits = [255 * (n >> k & 1) for k in range(BITS)]
            picture = np.repeat(np.repeat(np.array([bits], np.uint8), 8, axis=1), 16, axis=0)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        output.mux(stream.encode())
    file.seek(0)
    return file


def numbers(video: torch.Tensor) -> list[int]:
    """The numbers of the frames of a (C, T, H, W) clip."""
    middles = video[0, :, 8, 4::8] > 127
    return [sum(int(bit) << k for k, bit in enumerate(frame)) for frame in middles]


def pytorchvideo_clips(
    video: EncodedVideoPyAV, frame_count: int, length: int, stride: int, clips: int
) -> list[list[int]]:
    """The frames of each clip, from its sampler, its decoder and its subsampling."""
    sampler = ConstantClipsPerVideoSampler(Fraction(length * stride, FPS), clips)
    found = []
    while True:
        start, end, _, _, is_last = sampler(0.0, Fraction(frame_count, FPS), {})
        clip = video.get_clip(start, end)["video"]
        found.append(numbers(TRANSFORMS.uniform_temporal_subsample(clip, length)))
        if is_last:
            return found


def x3d_differences() -> dict[str, Any]:
    """Largest difference of a frame's number, and of a clip's first: with clips spread to the end as in pytorchvideo's
    repository, and with its release 0.1.5, which divides by the number of clips."""
    worst: dict[str, dict[str, float]] = {}
    for name, (length, stride, side, crop) in X3D.items():
        found = worst[name] = {"stride": stride, "to_the_end": 0.0, "release": 0.0, "start": 0.0}
        for frame_count in FRAME_COUNTS:
            video = EncodedVideoPyAV(numbered(frame_count), decode_audio=False)
            ours = [v.frames for v in plan_views(frame_count, Sampling(length, stride, side, crop, crop, 10, 1))]
            last_start = Fraction(frame_count - length * stride, FPS)
            end = video.get_clip(last_start, last_start + Fraction(length * stride, FPS))["video"]
            last = numbers(TRANSFORMS.uniform_temporal_subsample(end, length))
            # k × last start / (clips - 1) for k < clips - 1 is what the release gives for one clip fewer.
            to_the_end = [*pytorchvideo_clips(video, frame_count, length, stride, 9), last]
            release = pytorchvideo_clips(video, frame_count, length, stride, 10)
            assert len(ours) == len(to_the_end) == len(release) == 10
            for key, theirs in (("to_the_end", to_the_end), ("release", release)):
                found[key] = max(found[key], int(np.abs(np.array(ours) - np.array(theirs)).max()))
            starts = np.array(ours)[:, 0] - np.array(to_the_end)[:, 0]
            found["start"] = max(found["start"], int(np.abs(starts).max()))
    return worst


def swin_difference(clips: int) -> int:
    """Largest difference of a frame's number to torchvision's clips of 32 frames at 15 a second."""
    worst, compared = 0, 0
    for frame_count in (*FRAME_COUNTS, *range(64, 140)):
        meta = {"video_paths": ["made"], "video_pts": [torch.arange(frame_count)], "video_fps": [float(FPS)]}
        every = VideoClips(["made"], 32, 1, frame_rate=15, _precomputed_metadata=meta)
        theirs = [every.clips[0][int(k)].tolist() for k in UniformClipSampler(every, clips)]
        if len(every.clips[0]) < clips:
            continue  # theirs repeats clips then
        ours = [list(v.frames) for v in plan_views(frame_count, Sampling(32, 2, 256, 224, 224, clips, 1))]
        worst, compared = max(worst, int(np.abs(np.array(ours) - np.array(theirs)).max())), compared + 1
    assert compared > 20
    return worst


def short_side_differences() -> int:
    """Largest difference of a side after the scaling, pixels."""
    worst = 0
    for width, height in SIZES:
        for side in (182, 256, 356):
            blank = torch.zeros(1, 1, height, width)
            _, _, their_height, their_width = TRANSFORMS.short_side_scale(blank, side).shape
            ours = scaled_size(width, height, Sampling(1, 1, side, side, side, 1, 3))
            worst = max(worst, abs(ours[0] - their_width), abs(ours[1] - their_height))
    return worst


def crop_differences() -> dict[str, int]:
    """Largest difference of a crop's place, pixels: to pytorchvideo's three, and to torchvision's centre crop."""
    worst = {"uniform_crop": 0, "center_crop": 0}
    for width, height in SIZES:
        for side, crop in ((182, 182), (256, 256), (256, 224), (356, 356)):
            sampling = Sampling(1, 1, side, crop, crop, 1, 3)
            w, h = scaled_size(width, height, sampling)
            places = torch.arange(w * h).reshape(1, 1, h, w)
            for k in range(3):
                place = int(TRANSFORMS.uniform_crop(places, crop, k)[0, 0, 0, 0])
                worst["uniform_crop"] = max(
                    worst["uniform_crop"], _distance((place % w, place // w), w, h, k, sampling)
                )
            place = int(center_crop(places, [crop, crop])[0, 0, 0, 0])
            worst["center_crop"] = max(worst["center_crop"], _distance((place % w, place // w), w, h, 1, sampling))
    return worst


def _distance(theirs: tuple[int, int], width: int, height: int, crop: int, sampling: Sampling) -> int:
    ours = crop_offset(width, height, View((), crop, 3), sampling)
    return max(abs(ours[0] - theirs[0]), abs(ours[1] - theirs[1]))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(
        json.dumps(
            {
                "x3d": x3d_differences(),
                "swin": {str(clips): swin_difference(clips) for clips in (4, 12)},
                "scaled": short_side_differences(),
                "crops": crop_differences(),
            }
        )
    )
