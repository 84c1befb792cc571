"""The decoder child: `python -m cliplane.decoder FD BYTES`. Jobs in as JSON lines, reports out as JSON lines.

Reads one file at a time and writes its views into the region behind FD, view k at k × view_bytes. Talks to
nobody but its parent, by the two pipes; knows neither Triton nor HTTP.

    in   {"path", "span", "sampling", "limits", "threads"}
    out  {"event": "video", ...} · {"event": "view", "view", "start_s", "end_s"} ... · {"event": "end"}
         or {"event": "error", "type", "detail"}
"""

from __future__ import annotations

import json
import mmap
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplane.decoder import reader, sandbox
from cliplane.errors import CliplaneError, OverLimit
from cliplane.media import Span
from cliplane.sampling import Sampling, crop_offset, plan_views, scaled_size


def decode(job: dict[str, Any], memory: npt.NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
    """Write the views of one job into `memory` (the region's bytes); yields the reports.

    Each frame is decoded, resized and copied from decord's buffer once for every view that shows it.
    """
    span = Span(*job["span"]) if job["span"] else None
    sampling = Sampling(**job["sampling"])
    info = reader.probe(job["path"], span, reader.Limits(**job["limits"]))
    video = reader.Reader(job["path"], span, job["threads"])
    views = plan_views(video.frame_count, sampling)
    fps = video.fps or 1.0
    yield {
        "event": "video",
        "views": len(views),
        "codec": info.codec,
        "width": video.width,
        "height": video.height,
        "fps": round(fps, 3),
        "frames": video.frame_count,
        "duration_s": round(video.frame_count / fps, 3),
    }
    width, height = scaled_size(video.width, video.height, sampling)
    video.resize(width, height)
    shape = (len(views), sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
    region = memory[: len(views) * sampling.view_bytes].reshape(shape)
    slots: dict[int, list[tuple[int, int]]] = defaultdict(list)  # frame → (view, place in its clip)
    for k, view in enumerate(views):
        for t, number in enumerate(view.frames):
            slots[number].append((k, t))
    missing = [sampling.clip_length] * len(views)
    for number, frame in video.frames(sorted(slots)):
        for k, t in slots[number]:
            x, y = crop_offset(width, height, views[k], sampling)
            region[k, t] = frame[y : y + sampling.crop_height, x : x + sampling.crop_width]
            missing[k] -= 1
            if missing[k] == 0:
                first, last = views[k].frames[0], views[k].frames[-1] + 1
                yield {
                    "event": "view",
                    "view": k,
                    "start_s": round(first / fps, 3),
                    "end_s": round(last / fps, 3),
                }
    yield {"event": "end"}


def main() -> None:
    fd, byte_size, memory_bytes = (int(argument) for argument in sys.argv[1:4])
    memory = np.frombuffer(mmap.mmap(fd, byte_size), np.uint8)
    reader.silence()
    sandbox.enter(memory_bytes)
    for line in sys.stdin:
        try:
            for report in decode(json.loads(line), memory):
                print(json.dumps(report), flush=True)
        except CliplaneError as exc:
            print(json.dumps({"event": "error", "type": exc.type, "detail": exc.detail}), flush=True)
        except MemoryError:
            print(
                json.dumps({"event": "error", "type": OverLimit.type, "detail": "the decoder's memory"}),
                flush=True,
            )
        except Exception as exc:  # a mistake of ours: the parent logs where
            where = f"{type(exc).__name__} at {traceback.extract_tb(exc.__traceback__)[-1]}"
            print(
                json.dumps({"event": "error", "type": CliplaneError.type, "detail": "", "where": where}),
                flush=True,
            )


if __name__ == "__main__":
    main()
