"""Windows of a whole video into the region's ring, in the order of time; each frame is decoded and resized once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from cliplane.decoder import wire
from cliplane.decoder.doubts import DAMAGED, left_out
from cliplane.decoder.effort import check_damage, effort
from cliplane.decoder.video import Reader
from cliplane.errors import OverLimit, UndecodableVideo
from cliplane.policy.sampling import Sampling, View, crop_offset, scaled_size
from cliplane.policy.windows import Windows, plan_windows


def plan(video: Reader, job: wire.Job, sliding: wire.Sliding) -> Windows:
    """The job's windows.

    Raises:
        OverLimit: they are too many, or too many overlap for the ring.
    """
    info = video.info
    windows = plan_windows(info.frame_count, info.frame_rate, job.sampling, sliding.stride_s, sliding.window_s)
    if windows.count > sliding.max_windows:
        raise OverLimit(f"stride_s={sliding.stride_s:g}: {windows.count} windows; at most {sliding.max_windows}")
    if windows.overlap() > sliding.max_overlap:
        least_s = (windows.clip[-1] + windows.grid) / info.frame_rate / sliding.max_overlap
        raise OverLimit(
            f"stride_s={sliding.stride_s:g}: {windows.overlap()} windows overlap, and CLIPLANE_REGION_BYTES has room "
            f"for {sliding.max_overlap}: from about {least_s:.2f} on"
        )
    return windows


def write_windows(
    video: Reader,
    windows: Windows,
    job: wire.Job,
    memory: npt.NDArray[np.uint8],
    *,
    slots: int,
    has_credit: Callable[[int], bool],
) -> Iterator[wire.Report]:
    """Decode window after window into its slot; reports each when it is whole, in order.

    `has_credit`: waits until a window's slot may be written; False: the job is stopped.
    """
    sampling = job.sampling
    width, height = scaled_size(video.info.width, video.info.height, sampling)
    x, y = crop_offset(width, height, View((), 0, 1), sampling)
    region = _slots(memory, slots, sampling)
    numbers = [shown.frame for shown in windows.shown()]
    # The reader gives frames in the order of their numbers, which is that of time.
    plan = windows.shown()
    missing: dict[int, int] = {}  # windows that are begun → frames to come
    gaps = _Gaps()
    whole = sound = 0
    is_damaged = False
    for number, frame in video.frames(numbers, width, height):
        shown = next(plan)
        assert shown.frame == number
        if not has_credit(shown.windows[-1][0]):
            break
        cut = frame[y : y + sampling.crop_height, x : x + sampling.crop_width]
        for window, places in shown.windows:
            for place in places:
                region[window % slots, place] = cut
            missing[window] = missing.get(window, sampling.clip_length) - len(places)
        check_damage(video, max(len(numbers), 1), job.limits.max_damage)
        while missing.get(whole) == 0:
            del missing[whole]
            frames = windows.frames(whole)
            start_s, end_s = (round(n / video.info.frame_rate, 3) for n in (frames[0], frames[-1] + 1))
            if not is_damaged and (video.lost or video.broken_packets):
                is_damaged = True
                yield DAMAGED
            if video.lost.issuperset(frames):
                gaps.add(start_s, end_s)
                yield wire.LeftOut(whole)
            else:
                yield from gaps.told()
                sound += 1
                yield wire.View(whole, start_s, end_s, effort(video, len(numbers)))
            whole += 1
    yield from gaps.told()
    if not is_damaged and video.broken_packets:
        yield DAMAGED
    if whole and not sound:
        raise UndecodableVideo("no frame that a window needs can be decoded")
    yield wire.End(effort(video, len(numbers)))


def _slots(memory: npt.NDArray[np.uint8], slots: int, sampling: Sampling) -> npt.NDArray[np.uint8]:
    shape = (slots, sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
    return memory[: slots * sampling.view_bytes].reshape(shape)


class _Gaps:
    """Windows that are left out: a doubt for those that follow one another, and not without end."""

    def __init__(self) -> None:
        self._gap: tuple[float, float] | None = None
        self._count = 0

    def add(self, start_s: float, end_s: float) -> None:
        self._gap = (self._gap[0] if self._gap else start_s, end_s)

    def told(self) -> Iterator[wire.Doubt]:
        """The gap that has ended, if there is one."""
        if self._gap and self._count < wire.MAX_GAPS:
            self._count += 1
            yield left_out(*self._gap)
        self._gap = None
