"""The decoder child: `python -m cliplane.decoder FD REGION_BYTES MEMORY_BYTES SPOOL`.

Jobs come in and reports go out as JSON lines. It reads one file of SPOOL at a time and writes its views into the region
behind FD, the k-th of the plan's order at k × view_bytes. MEMORY_BYTES is all the address space it may have. It talks
to nobody but its parent, by the two pipes, and knows neither Triton nor HTTP.

    in   {"path", "span", "sampling", "limits", "threads", "reader", "coarse_to_fine", "cpu_s"}
         and in the middle of a job "stop": end it
    out  {"event": "video", ...} · {"event": "view", "view", "start_s", "end_s"} ... · {"event": "end"}
         or {"event": "error", "type", "detail"}
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import select
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplane.decoder import sandbox
from cliplane.decoder.container import Limits, silence
from cliplane.decoder.reader import Reader, open_reader
from cliplane.decoder.wire import STOP
from cliplane.errors import CliplaneError, OverLimit
from cliplane.media import Span
from cliplane.sampling import Sampling, View, coarse_to_fine, crop_offset, plan_views, scaled_size

Report = dict[str, Any]


def decode(job: dict[str, Any], memory: npt.NDArray[np.uint8], is_stopped: Callable[[], bool]) -> Iterator[Report]:
    """Write the views of one job into `memory` (the region's bytes); yields the reports.

    Each frame is decoded and resized once, and copied from the resizer's buffer once for every view that shows it.
    """
    span = Span(*job["span"]) if job["span"] else None
    sampling = Sampling(**job["sampling"])
    video = open_reader(job["reader"], job["path"], span, Limits(**job["limits"]), job["threads"])
    try:
        views = plan_views(video.info.frame_count, sampling)
        fps = video.info.fps
        yield {
            "event": "video",
            "views": len(views),
            "codec": video.info.codec,
            "width": video.info.width,
            "height": video.info.height,
            "fps": round(fps, 3),
            "frames": video.info.frame_count,
            "duration_s": round(video.info.frame_count / fps, 3),
        }
        order = coarse_to_fine(len(views)) if job["coarse_to_fine"] else list(range(len(views)))
        shape = (len(views), sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
        region = memory[: len(views) * sampling.view_bytes].reshape(shape)
        for slot in _write_views(video, [views[k] for k in order], sampling, region, is_stopped):
            frames = views[order[slot]].frames
            times = {"start_s": round(frames[0] / fps, 3), "end_s": round((frames[-1] + 1) / fps, 3)}
            yield {"event": "view", "view": order[slot], **times}
    finally:
        video.close()
    yield {"event": "end"}


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


def _lines(fd: int) -> Iterator[str]:
    """Lines as they come, none read ahead: what waits in the pipe can be seen by `select`."""
    unread = b""
    while data := os.read(fd, 65536):
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            yield line.decode()


def _report(report: Report) -> None:
    os.write(sys.stdout.fileno(), json.dumps(report).encode() + b"\n")


def _has_input() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _run(job: dict[str, Any], memory: npt.NDArray[np.uint8]) -> None:
    """One job and its reports; a mistake of ours says where it is."""
    sandbox.limit_cpu(job["cpu_s"])
    try:
        for report in decode(job, memory, is_stopped=_has_input):
            _report(report)
    except CliplaneError as exc:
        _report({"event": "error", "type": exc.type, "detail": exc.detail})
    except MemoryError:
        _report({"event": "error", "type": OverLimit.type, "detail": "memory; CLIPLANE_DECODER_MEMORY_BYTES"})
    except Exception as exc:
        where = f"{type(exc).__name__} at {traceback.extract_tb(exc.__traceback__)[-1]}"
        _report({"event": "error", "type": CliplaneError.type, "detail": "", "where": where})


def main() -> None:
    fd, byte_size, memory_bytes = (int(argument) for argument in sys.argv[1:4])
    spool = sys.argv[4]
    memory = np.frombuffer(mmap.mmap(fd, byte_size), np.uint8)
    silence()
    sandbox.enter(memory_bytes, [Path(spool)])
    gc.freeze()
    for line in _lines(sys.stdin.fileno()):
        if line != STOP:  # one stopped the job that has just ended, or came too late for it
            _run(json.loads(line), memory)
            # PyAV's containers and streams hold one another: until the next collection, so would they FFmpeg's threads
            # and their frames.
            gc.collect()


if __name__ == "__main__":
    main()
