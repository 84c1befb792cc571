"""How much does the stack cost on top of the least work? Decode and infer in bare loops, beside Cliplane, in turns.

    make bench ONLY=floor

The floor has the same reader, the same engine, the same clips and the same model, and nothing else: no HTTP, no process
of its own for each, no shared memory. For one request it may use all cores, first to decode and then to infer, or both
at once; the faster of the two counts. For throughput it is one process a core, each of one thread. Load on Cliplane is
by hey.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cliplane.decoder.container import silence
from cliplane.kernel.cpus import decoder_threads

from bench import arguments, load, repository, videos
from bench.bare import views_of
from bench.peers.pipeline import load_engine, read_sampling
from bench.stack import Stack, docker, running

SIZES = ("256p", "720p", "1080p")
CORES = os.process_cpu_count() or 1


class Bare:
    """A model's engine and sampling."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._engine = load_engine(folder, threads)
        self.sampling = read_sampling((folder / "config.pbtxt").read_text())

    def infer(self, views: list[np.ndarray]) -> list[np.ndarray]:
        return self._engine.infer([view[None] for view in views])


def one_after_the_other(bare: Bare, path: Path, threads: int) -> np.ndarray:
    return np.concatenate(bare.infer(list(views_of(path, bare.sampling, threads)))).mean(axis=0)


def both_at_once(bare: Bare, path: Path, threads: int) -> np.ndarray:
    """Views are inferred as they come, all that wait at once, while a thread decodes."""
    decoded: queue.Queue[np.ndarray | None] = queue.Queue()

    def decode() -> None:
        for view in views_of(path, bare.sampling, threads):
            decoded.put(view)
        decoded.put(None)

    thread = threading.Thread(target=decode)
    thread.start()
    scores: list[np.ndarray] = []
    is_over = False
    while not is_over:
        views = [decoded.get()]
        while not decoded.empty():
            views.append(decoded.get())
        is_over = views[-1] is None
        if waiting := [view for view in views if view is not None]:
            scores += bare.infer(waiting)
    thread.join()
    return np.concatenate(scores).mean(axis=0)


FLOORS = {"floor, one after the other": one_after_the_other, "floor, both at once": both_at_once}


def _loop(folder: Path, path: Path, barrier: Any, seconds: float, done: Any) -> None:
    silence()
    bare = Bare(folder, 1)
    one_after_the_other(bare, path, 1)
    barrier.wait()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        one_after_the_other(bare, path, 1)
        count += 1
    done.put(count / (time.perf_counter() - began))


def floor_rate(folder: Path, path: Path, seconds: float) -> float:
    """Videos a second of one process a core."""
    context = multiprocessing.get_context("spawn")
    barrier, done = context.Barrier(CORES), context.Queue()
    workers = [context.Process(target=_loop, args=(folder, path, barrier, seconds, done)) for _ in range(CORES)]
    for worker in workers:
        worker.start()
    rate = sum(done.get() for _ in workers)
    for worker in workers:
        worker.join()
    return float(rate)


def triton_calls(stack: Stack, model: str) -> tuple[int, float]:
    """Calls so far, and milliseconds in Triton but not in the engine, by Triton's own statistics."""
    url = f"http://{stack.container('triton')}:8000/v2/models/{model}/stats"
    inference = httpx.get(url, timeout=10).json()["model_stats"][0]["inference_stats"]
    return inference["success"]["count"], (inference["success"]["ns"] - inference["compute_infer"]["ns"]) / 1e6


def parts(stack: Stack, model: str, path: Path, requests: int) -> dict[str, float]:
    """Where one client's mean time goes, in milliseconds: the parts up to the inference add up to `client`, the time at
    the client.

    hey knows the whole; nginx's log the time of the upload and of the lane; the lane's answer its decoding and its
    whole; Triton's statistics what of a call is its own.
    """
    url = f"{stack.base}/v1/classify?model={model}&views=10"
    load.send(url, path, 1, requests=3)
    since, (calls_before, own_before) = time.time(), triton_calls(stack, model)
    sent = load.send(url, path, 1, requests=requests)
    calls, own = triton_calls(stack, model)
    log = docker("logs", "--since", f"{since:.3f}", stack.container("web"))
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    lanes = [line for line in lines if line["event"] == "classified"]
    access = [line for line in lines if line["event"] == "access" and line["path"] == "/v1/classify"]

    def mean(values: Iterator[float]) -> float:
        return statistics.fmean(values)

    client = mean(iter(sent.ms))
    upstream = mean(float(line["upstream_seconds"]) * 1000 for line in access)
    spool = mean(line["spool_ms"] for line in lanes)
    lane = mean(line["total_ms"] - line["spool_ms"] for line in lanes)
    decode = mean(line["decode_ms"] for line in lanes)
    infer = mean(line["infer_ms"] for line in lanes)
    return {
        "client": client,
        "upload (nginx, spool)": spool,
        "nginx": max(client - spool - upstream, 0.0),
        "gunicorn, Flask, JSON": max(upstream - lane, 0.0),
        "decode": decode,
        "inference, not hidden": max(lane - decode, 0.0),
        "inference": infer,
        "lane": lane,
        "calls": (calls - calls_before) / len(lanes),
        "Triton, a call": (own - own_before) / (calls - calls_before),
    }


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--models", nargs="*", default=[repository.X3D_S, "camera_motion"])
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    silence()
    clips = {size: videos.encoded(args.source, args.work, size, "h264", 250) for size in args.sizes}
    models = repository.models_of(args.work, *args.models)
    result: dict[str, Any] = {}
    threads = decoder_threads(1)
    for model in args.models:
        bare = Bare(models / model, CORES)
        with running("floor", models, model, open_ports=True) as stack:
            url = f"{stack.base}/v1/classify?model={model}&views=10"
            for size, clip in clips.items():
                latency: dict[str, list[float]] = defaultdict(list)
                rate: dict[str, list[float]] = defaultdict(list)
                for way in FLOORS.values():
                    way(bare, clip, threads)
                load.send(url, clip, CORES, requests=2 * CORES)
                for _ in range(args.rounds):
                    for _ in range(3):
                        for name, way in FLOORS.items():
                            began = time.perf_counter()
                            way(bare, clip, threads)
                            latency[name].append((time.perf_counter() - began) * 1000)
                        latency["Cliplane"] += load.send(url, clip, 1, requests=1).ms
                    rate["floor"].append(floor_rate(models / model, clip, args.seconds))
                    rate["Cliplane"].append(load.send(url, clip, 2 * CORES, seconds=args.seconds).per_second)
                medians = {name: round(statistics.median(values), 1) for name, values in latency.items()}
                rates = {name: round(statistics.median(values), 3) for name, values in rate.items()}
                least = min(medians[name] for name in FLOORS)
                result[f"{model}, {size}"] = {
                    "latency_ms": medians,
                    "latency / floor": round(medians["Cliplane"] / least, 3),
                    "per_s": rates,
                    "throughput / floor": round(
                        statistics.median(a / b for a, b in zip(rate["Cliplane"], rate["floor"], strict=True)), 3
                    ),
                    "parts_ms": {k: round(v, 2) for k, v in parts(stack, model, clip, 20).items()},
                }
                print(model, size, json.dumps(result[f"{model}, {size}"]), flush=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
