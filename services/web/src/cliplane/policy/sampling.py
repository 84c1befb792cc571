"""Which frames make which view. Pure arithmetic on frame numbers; decodes nothing.

A *clip* is T frames at a temporal stride; a *view* is one clip and one crop; views = clips × crops. The clips'
starts are spread evenly from the first frame to the last possible one, on the stride's grid, so that clips that overlap
have their frames in common. That is torchvision's UniformClipSampler on the frames of the grid; tests/models compares
it with that and with pytorchvideo's, and docs/sampling.md says how far it may differ. A single clip is centred.

A model may want its T frames from the whole video instead (`mode`), as networks for Something-Something are trained.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model wants its input cut from a video."""

    clip_length: int  # T, frames
    temporal_stride: int  # source frames from one frame of a clip to the next
    short_side: int  # pixels, after the resize
    crop_height: int  # H, pixels
    crop_width: int  # W, pixels
    clips: int
    crops: int  # 1: centre; 3: both ends of the long side and the centre
    frame_rate: float = 0.0  # a second: clips are cut as if the video had so many; 0: its own
    fit: str = "short_side"  # "square": both sides become `short_side`, whatever the shape of the picture
    mode: str = "stride"  # "uniform", "segments": a clip is spread over the whole video
    pixels: str = "square"  # those of a picture whose pixels are not; "stored": left as they are

    @property
    def views(self) -> int:
        return self.clips * self.crops

    @property
    def view_bytes(self) -> int:
        """Bytes of one view, (T, H, W, C) uint8 with C = 3."""
        return self.clip_length * self.crop_height * self.crop_width * 3


class View(NamedTuple):
    """One clip and crop: `frames` are T frame numbers of the video, ascending."""

    frames: tuple[int, ...]
    crop: int
    crops: int


def split_views(views: int, crops: int) -> tuple[int, int]:
    """`views` asked of a model with `crops` crops, as (clips, crops).

    The model's own crops are used where `views` is a multiple of them, else the centre crop alone.
    """
    return (views // crops, crops) if views % crops == 0 else (views, 1)


def plan_views(frame_count: int, sampling: Sampling) -> list[View]:
    """The views of a video of `frame_count` frames (at least 1), clip by clip.

    A video too short for that many different clips has fewer: two equal views would only cost time. One shorter
    than a single clip is sampled evenly over its whole length.
    """
    match sampling.mode:
        case "uniform":
            clips = [_uniform(frame_count, sampling.clip_length)]
        case "segments":
            clips = _segments(frame_count, sampling)
        case _:
            clips = _strided(frame_count, sampling)
    return [View(frames, crop, sampling.crops) for frames in clips for crop in range(sampling.crops)]


def _strided(frame_count: int, sampling: Sampling) -> list[tuple[int, ...]]:
    length, stride = sampling.clip_length, sampling.temporal_stride
    last_start = frame_count - ((length - 1) * stride + 1)
    if last_start < 0:
        return [tuple(round(i * (frame_count - 1) / max(length - 1, 1)) for i in range(length))]
    return [tuple(range(start, start + length * stride, stride)) for start in _starts(last_start, sampling)]


def _uniform(frame_count: int, length: int) -> tuple[int, ...]:
    """From the first frame to the last: `np.linspace(0, frame_count - 1, length).astype(int)`, with its roundings, as
    TimeSformer's code and most tutorials' have it. There is only one such clip."""
    step = (frame_count - 1) / max(length - 1, 1)
    return (*(int(i * step) for i in range(length - 1)), frame_count - 1 if length > 1 else 0)


def _segments(frame_count: int, sampling: Sampling) -> list[tuple[int, ...]]:
    """One frame of each of T equal parts, its middle, as TSN has it; of k clips the j-th takes the frame that lies j/k
    into each part, as VideoMAE's two test clips do (`SSVideoClsDataset` in its ssv2.py, with the same roundings)."""
    part, count = frame_count / sampling.clip_length, sampling.clips
    places = [0.5] if count == 1 else [k / count for k in range(count)]
    clips = [tuple(int(part * place + part * i) for i in range(sampling.clip_length)) for place in places]
    return list(dict.fromkeys(clips))  # a short video has fewer


def _starts(last_start: int, sampling: Sampling) -> list[int]:
    """Multiples of the stride, so that clips that overlap show the same frames and each is decoded once; any frame
    where there is one clip, or the grid has too few starts."""
    count = min(sampling.clips, last_start + 1)
    if count == 1:
        return [last_start // 2]
    grid = sampling.temporal_stride if last_start // sampling.temporal_stride >= count - 1 else 1
    return [grid * (k * (last_start // grid) // (count - 1)) for k in range(count)]


def coarse_to_fine(count: int) -> list[int]:
    """0 … count - 1, so that any first few of them are spread over the whole: the middle, then the middles of what is
    before and behind it, and so on. The end comes late, for it may cost the decoding of all that is in front of it."""
    order: list[int] = []
    parts = deque([range(count)])
    while parts:
        part = parts.popleft()
        if part:
            middle = (len(part) - 1) // 2
            order.append(part[middle])
            parts += [part[:middle], part[middle + 1 :]]
    return order


def scaled_size(width: int, height: int, sampling: Sampling) -> tuple[int, int]:
    """(width, height) after the resize: the short side is `short_side`, the long one in proportion, rounded down,
    as pytorchvideo's short_side_scale does; never smaller than the crop. Or a square, as Resize((s, s)) makes one."""
    if sampling.fit == "square":
        return sampling.short_side, sampling.short_side
    short = min(width, height)
    return (
        max(width * sampling.short_side // short, sampling.crop_width),
        max(height * sampling.short_side // short, sampling.crop_height),
    )


def crop_offset(width: int, height: int, view: View, sampling: Sampling) -> tuple[int, int]:
    """(x, y) of the view's crop in a frame of the scaled size, as pytorchvideo's uniform_crop has it: three crops lie
    along the longer side, and a centre between two pixels is rounded up."""
    spare_x, spare_y = width - sampling.crop_width, height - sampling.crop_height
    x, y = (spare_x + 1) // 2, (spare_y + 1) // 2
    if view.crops == 3 and view.crop != 1:
        if height > width:
            y = 0 if view.crop == 0 else spare_y
        else:
            x = 0 if view.crop == 0 else spare_x
    return x, y
