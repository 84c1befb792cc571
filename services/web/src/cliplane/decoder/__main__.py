"""The decoder child: `python -m cliplane.decoder FD REGION_BYTES MEMORY_BYTES SPOOL`.

Jobs come in and reports go out by the socket that is its standard input, as `wire.py` has them. It reads one file of
SPOOL at a time and writes its views into the region behind FD, the k-th of the plan's order at k × view_bytes.
MEMORY_BYTES is all the address space it may have. It talks to nobody but its parent, and knows neither Triton nor HTTP.
"""

from __future__ import annotations

import gc
import mmap
import os
import select
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cliplane.decoder import sandbox, wire
from cliplane.decoder.container import silence
from cliplane.decoder.reader import open_reader
from cliplane.decoder.video import Reader
from cliplane.errors import CliplaneError, OverLimit
from cliplane.sampling import Sampling, View, coarse_to_fine, crop_offset, plan_views, scaled_size

_SOCKET = 0


def decode(job: wire.Job, memory: npt.NDArray[np.uint8], is_stopped: Callable[[], bool]) -> Iterator[wire.Report]:
    """Write the views of one job into `memory` (the region's bytes); yields the reports.

    Each frame is decoded and resized once, and copied from the resizer's buffer once for every view that shows it.
    """
    sampling = job.sampling
    video = open_reader(job.reader, job.path, job.span, job.limits, job.threads)
    try:
        info, fps = video.info, video.info.fps
        views = plan_views(info.frame_count, sampling)
        duration_s = round(info.frame_count / fps, 3)
        facts = wire.Facts(info.codec, info.width, info.height, round(fps, 3), info.frame_count, duration_s)
        yield wire.Video(len(views), facts)
        order = coarse_to_fine(len(views)) if job.coarse_to_fine else list(range(len(views)))
        shape = (len(views), sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
        region = memory[: len(views) * sampling.view_bytes].reshape(shape)
        for slot in _write_views(video, [views[k] for k in order], sampling, region, is_stopped):
            frames = views[order[slot]].frames
            yield wire.View(order[slot], round(frames[0] / fps, 3), round((frames[-1] + 1) / fps, 3))
    finally:
        video.close()
    yield wire.End()


def _write_views(
    video: Reader,
    views: list[View],
    sampling: Sampling,
    region: npt.NDArray[np.uint8],
    is_stopped: Callable[[], bool],
) -> Iterator[int]:
    """Decode view after view into region[k], until stopped; yields each k when it is complete, in order."""
    width, height = scaled_size(video.info.width, video.info.height, sampling)
    shown: dict[int, list[tuple[int, int]]] = defaultdict(list)  # frame → (view, place in its clip)
    for k, view in enumerate(views):
        for t, number in enumerate(view.frames):
            shown[number].append((k, t))
    missing = [sampling.clip_length] * len(views)
    complete = 0
    # `shown` is in the order of its first use: view by view.
    for number, frame in video.frames(list(shown), width, height):
        for k, t in shown[number]:
            x, y = crop_offset(width, height, views[k], sampling)
            region[k, t] = frame[y : y + sampling.crop_height, x : x + sampling.crop_width]
            missing[k] -= 1
        while complete < len(views) and missing[complete] == 0:
            yield complete
            complete += 1
        if is_stopped():
            return


def _report(report: wire.Report) -> None:
    os.write(_SOCKET, wire.encode(report))


def _has_input() -> bool:
    return bool(select.select([_SOCKET], [], [], 0)[0])


def _run(job: wire.Job, memory: npt.NDArray[np.uint8]) -> None:
    """One job and its reports; a mistake of ours says where it is."""
    sandbox.limit_cpu(job.cpu_s)
    try:
        for report in decode(job, memory, is_stopped=_has_input):
            _report(report)
    except CliplaneError as exc:
        _report(wire.Fault(exc.type, exc.detail))
    except MemoryError:
        _report(wire.Fault(OverLimit.type, "memory; CLIPLANE_DECODER_MEMORY_BYTES"))
    except Exception as exc:
        where = f"{type(exc).__name__} at {traceback.extract_tb(exc.__traceback__)[-1]}"
        _report(wire.Fault(CliplaneError.type, "", where))


def main() -> None:
    fd, byte_size, memory_bytes = (int(argument) for argument in sys.argv[1:4])
    spool = sys.argv[4]
    memory = np.frombuffer(mmap.mmap(fd, byte_size), np.uint8)
    silence()
    sandbox.enter(memory_bytes, [Path(spool)])
    gc.freeze()
    while packet := os.read(_SOCKET, wire.PACKET_BYTES):
        order = wire.read_order(packet)
        if isinstance(order, wire.Job):  # a stop ended the job before it, or came too late for it
            _run(order, memory)
            # PyAV's containers and streams hold one another: until the next collection, so would they FFmpeg's threads
            # and their frames.
            gc.collect()


if __name__ == "__main__":
    main()
