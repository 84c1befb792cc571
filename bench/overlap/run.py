"""How much of the inference hides behind the decoding? With a model whose inference takes as long as the decoding.

    make bench ONLY=overlap

The write-up that Cliplane comes from got "nearly 2×" from asyncio. Four ways to answer the same request of 10 views,
with the same reader, the same frames and the same Triton, in turns: one after the other; asyncio (decoding in a thread,
an awaited inference a view); two threads and a queue; Cliplane. The first three are bare: no HTTP, no process of their
own. The bound is max(decode, infer).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
from cliplane.decoder.container import Limits, silence
from cliplane.decoder.reader import open_reader
from cliplane.sampling import Sampling, crop_offset, plan_views, scaled_size
from cliplane.settings import Settings

from bench import videos

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PROJECT = "cliplane-overlap"
SAMPLING = Sampling(13, 6, 182, 182, 182, clips=10, crops=1)
LIMITS = Limits(**Settings().decoder_limits())
ROUNDS = 7


def views_of(path: Path) -> Iterator[np.ndarray]:
    """Each view, (T, H, W, C) uint8, as soon as it is decoded; one thread, as a lane has here."""
    reader = open_reader("pyav", str(path), None, LIMITS, 1)
    views = plan_views(reader.info.frame_count, SAMPLING)
    width, height = scaled_size(reader.info.width, reader.info.height, SAMPLING)
    wanted = list(dict.fromkeys(number for view in views for number in view.frames))
    frames: dict[int, np.ndarray] = {}
    complete = 0
    for number, frame in reader.frames(wanted, width, height):
        x, y = crop_offset(width, height, views[0], SAMPLING)
        frames[number] = frame[y : y + 182, x : x + 182].copy()
        while complete < len(views) and all(n in frames for n in views[complete].frames):
            yield np.stack([frames[n] for n in views[complete].frames])
            complete += 1
    reader.close()


def tensor(kind: type, views: np.ndarray) -> object:
    frames = kind("frames", views.shape, "UINT8")
    frames.set_data_from_numpy(views)
    return frames


def one_after_the_other(path: Path, address: str) -> None:
    views = np.stack(list(views_of(path)))
    with triton_grpc.InferenceServerClient(address) as client:
        client.infer("fixed_time", [tensor(triton_grpc.InferInput, views)])


def with_asyncio(path: Path, address: str) -> None:
    async def run() -> None:
        async with triton_aio.InferenceServerClient(address) as client:
            source, pending = views_of(path), []
            while (view := await asyncio.to_thread(next, source, None)) is not None:
                frames = tensor(triton_aio.InferInput, view[None])
                pending.append(asyncio.create_task(client.infer("fixed_time", [frames])))
            await asyncio.gather(*pending)

    asyncio.run(run())


def with_threads(path: Path, address: str) -> None:
    ready: queue.Queue[np.ndarray | None] = queue.Queue()

    def infer() -> None:
        with triton_grpc.InferenceServerClient(address) as client:
            while (view := ready.get()) is not None:
                client.infer("fixed_time", [tensor(triton_grpc.InferInput, view[None])])

    thread = threading.Thread(target=infer)
    thread.start()
    for view in views_of(path):
        ready.put(view)
    ready.put(None)
    thread.join()


def with_cliplane(path: Path, _address: str) -> None:
    answer = httpx.post(f"http://{PROJECT}-web-1:8080/v1/classify", content=path.read_bytes(), timeout=60)
    assert len(answer.raise_for_status().json()["views"]) == 10


WAYS: dict[str, Callable[[Path, str], None]] = {
    "one after the other": one_after_the_other,
    "asyncio": with_asyncio,
    "threads": with_threads,
    "cliplane": with_cliplane,
}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compose(models: Path, *arguments: str) -> None:
    files = ["-f", "compose.yaml", "-f", "bench/overlap/compose.yaml"]
    env = {**os.environ, "MODELS": str(models), "HTTP_PORT": "0"}
    command = ["docker", "compose", "-p", PROJECT, *files, *arguments]
    subprocess.run(command, cwd=REPOSITORY, env=env, check=True, capture_output=True)


def measure(path: Path, models: Path) -> dict[str, float]:
    """Medians in milliseconds, over `ROUNDS` rounds of all ways in turns."""
    for _ in range(2):
        decode_s = seconds(lambda: list(views_of(path)))
    folder = models / "fixed_time"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "1").mkdir(parents=True)
    shutil.copy(HERE / "model.py", folder / "1")
    (folder / "labels.txt").write_text("one\nother\n")
    config = (HERE / "config.pbtxt").read_text().replace("MS_PER_VIEW", f"{decode_s * 100:.2f}")
    (folder / "config.pbtxt").write_text(config)
    me = socket.gethostname()
    try:
        compose(models, "up", "-d", "--no-build")
        subprocess.run(["docker", "network", "connect", f"{PROJECT}_default", me], check=True)
        deadline = time.monotonic() + 60
        while not _is_ready():
            assert time.monotonic() < deadline, "the stack is not ready"
            time.sleep(0.2)
        times: dict[str, list[float]] = {name: [] for name in ["decode", *WAYS]}
        for round_ in range(ROUNDS + 1):
            took = {"decode": seconds(lambda: list(views_of(path)))}
            took |= {name: seconds(lambda way=way: way(path, f"{PROJECT}-triton-1:8001")) for name, way in WAYS.items()}
            if round_:
                for name, value in took.items():
                    times[name].append(value * 1000)
    finally:
        subprocess.run(["docker", "network", "disconnect", f"{PROJECT}_default", me], check=False)
        compose(models, "down", "--volumes", "-t", "5")
    medians = {name: round(statistics.median(values), 1) for name, values in times.items()}
    bound = max(medians["decode"], decode_s * 1000)
    return {"infer": round(decode_s * 1000, 1), **medians, "cliplane / bound": round(medians["cliplane"] / bound, 3)}


def _is_ready() -> bool:
    try:
        return httpx.get(f"http://{PROJECT}-web-1:8080/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="on the host under the same path")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    silence()
    args.work.mkdir(parents=True, exist_ok=True)
    short = videos.encoded(args.source, args.work, "720p", "h264", 12)
    result = {}
    for name, path in {"10 s": short, "60 s": videos.repeated(short, args.work, 60)}.items():
        result[name] = measure(path, args.work / "models")
        print(name, json.dumps(result[name]), flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
