"""Segments of an hour: how near the floor, how soon the first one, and does memory grow?

    make bench ONLY=segments

720p, camera_motion, a window a second. The floor has the same reader, the same windows and the same engine in one
process: one thread decodes, the other infers what has come. Both take a shorter video in turns; the long one is
Cliplane's alone, while a thread reads what memory the decoder and the lane have of their own.
"""

from __future__ import annotations

import json
import queue
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cliplane.decoder.container import silence
from cliplane.decoder.reader import load_reader
from cliplane.kernel.cpus import decoder_threads
from cliplane.policy.sampling import Sampling, View, crop_offset, scaled_size
from cliplane.policy.windows import plan_windows

from bench import arguments, repository, videos
from bench.bare import LIMITS
from bench.floor import CORES, Bare
from bench.stack import Stack, docker, running

MODEL = "camera_motion"
STRIDE_S = 1.0
SAMPLE_S = 2.0
# Processes end while it reads; the brackets keep this shell's own words from being found.
STATUS = "grep -hsE '^(Pid|RssAnon):' /proc/[0-9]*/status; grep -lasE 'cliplane[.]decoder' /proc/[0-9]*/cmdline; true"


def windows_of(path: Path, sampling: Sampling, threads: int) -> Iterator[np.ndarray]:
    """Each window, (T, H, W, C) uint8, as soon as it is decoded."""
    with path.open("rb") as file:
        video = load_reader("pyav")(file.fileno(), None, LIMITS, threads, sampling.frame_rate, sampling.pixels)
        plan = plan_windows(video.info.frame_count, video.info.frame_rate, sampling, STRIDE_S)
        width, height = scaled_size(video.info.width, video.info.height, sampling)
        x, y = crop_offset(width, height, View((), 0, 1), sampling)
        shape = (sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
        begun: dict[int, np.ndarray] = {}
        shown = plan.shown()
        for _, frame in video.frames([one.frame for one in plan.shown()], width, height):
            for window, places in next(shown).windows:
                clip = begun.setdefault(window, np.empty(shape, np.uint8))
                clip[places] = frame[y : y + sampling.crop_height, x : x + sampling.crop_width]
                if places[-1] == sampling.clip_length - 1:
                    yield begun.pop(window)
        video.close()


def floor_s(bare: Bare, path: Path) -> float:
    """Seconds for all windows of a video."""
    decoded: queue.Queue[np.ndarray | None] = queue.Queue(64)

    def decode() -> None:
        for window in windows_of(path, bare.sampling, decoder_threads(1)):
            decoded.put(window)
        decoded.put(None)

    began = time.perf_counter()
    thread = threading.Thread(target=decode)
    thread.start()
    while (window := decoded.get()) is not None:
        bare.infer([window])
    thread.join()
    return time.perf_counter() - began


def cliplane_s(stack: Stack, path: Path) -> dict[str, Any]:
    """Seconds to the first window, to the first segment and to the end; from when the body is whole."""
    found: dict[str, float] = {}
    last = ""
    query = {"stride_s": str(STRIDE_S), "threshold": "0.3"}
    with path.open("rb") as body, httpx.Client(base_url=stack.base, timeout=120) as http:
        began = time.perf_counter()
        headers = {"Accept": "text/event-stream"}
        with http.stream("POST", "/v1/segments", params=query, content=body, headers=headers) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                name = line.removeprefix("event: ")
                if line.startswith("event: ") and name not in found:
                    found[name] = time.perf_counter() - began
                last = line or last
    result = json.loads(last.removeprefix("data: "))
    spool_s = result["timing_ms"]["spool"] / 1000
    return {
        "first_window_s": found["window"] - spool_s,
        "first_segment_s": found.get("segment", found["result"]) - spool_s,
        "seconds": result["timing_ms"]["total"] / 1000 - spool_s,
        "windows": result["windows"],
        "frames": result["video"]["frames"],
        "frames_decoded": result["video"]["frames_decoded"],
    }


class Memory:
    """MB that decoders and lanes have of their own, all of them together, every `SAMPLE_S`."""

    def __init__(self, stack: Stack) -> None:
        self._container = stack.container("web")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.decoders_mb: list[float] = []
        self.others_mb: list[float] = []

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._sample()
            if self._stop.wait(SAMPLE_S):
                return

    def _sample(self) -> None:
        text = docker("exec", self._container, "sh", "-c", STATUS)
        decoders = {line.split("/")[2] for line in text.splitlines() if line.startswith("/proc/")}
        pid, mb = "", {True: 0.0, False: 0.0}
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name == "Pid":
                pid = value.strip()
            elif name == "RssAnon":
                mb[pid in decoders] += int(value.split()[0]) / 1024
        self.decoders_mb.append(mb[True])
        self.others_mb.append(mb[False])


def growth(values: list[float]) -> dict[str, float]:
    """The mean of the first quarter after the beginning, and that of the last one."""
    quarter = max(1, len(values) // 4)
    early, late = (statistics.fmean(part) for part in (values[quarter : 2 * quarter] or values, values[-quarter:]))
    return {"early_mb": round(early, 1), "late_mb": round(late, 1), "growth": round(late / early - 1, 4)}


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--short-s", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    silence()
    clip = videos.encoded(args.source, args.work, "720p", "h264", 250)
    short, long = (videos.repeated(clip, args.work, seconds) for seconds in (args.short_s, 60 * args.minutes))
    models = repository.models_of(args.work, MODEL)
    bare = Bare(models / MODEL, CORES)
    rows: dict[str, list[float]] = {"floor": [], "Cliplane": []}
    with running("segments", models, MODEL) as stack:
        for _ in range(args.rounds):
            rows["floor"].append(floor_s(bare, short))
            rows["Cliplane"].append(cliplane_s(stack, short)["seconds"])
            print(json.dumps({name: round(times[-1], 2) for name, times in rows.items()}), flush=True)
        with Memory(stack) as memory:
            hour = cliplane_s(stack, long)
    ratios = [floor / ours for floor, ours in zip(rows["floor"], rows["Cliplane"], strict=True)]
    result = {
        "short_s": args.short_s,
        "seconds": {name: round(statistics.median(times), 2) for name, times in rows.items()},
        "throughput / floor": round(statistics.median(ratios), 3),
        "minutes": args.minutes,
        "long": {name: round(value, 2) for name, value in hour.items()},
        "decoders": growth(memory.decoders_mb),
        "others": growth(memory.others_mb),
    }
    print(json.dumps(result), flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
