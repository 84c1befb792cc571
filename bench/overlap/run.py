"""How much of the inference hides behind the decoding? With a model whose inference takes as long as the decoding.

    make bench ONLY=overlap

The write-up that Cliplane comes from got "nearly 2×" from asyncio. Four ways to answer the same request of 10 views,
with the same reader, the same frames and the same Triton, in turns: one after the other; asyncio (decoding in a thread,
an awaited inference a view); two threads and a queue; Cliplane. The first three are bare: no HTTP, no process of their
own. The bound is max(decode, infer); the least that any way could take is first view + infer, where that is more.
"""

from __future__ import annotations

import asyncio
import json
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
from cliplane.decoder.container import silence
from cliplane.kernel.cpus import decoder_threads
from cliplane.policy.sampling import Sampling

from bench import arguments, videos
from bench.bare import views_of
from bench.stack import Stack, python_model, running

HERE = Path(__file__).parent
MODEL = "fixed_time"
IN_THE_LANE = "cliplane, in the lane"
SAMPLING = Sampling(13, 6, 182, 182, 182, clips=10, crops=1)


def decoded(path: Path) -> Iterator[np.ndarray]:
    """The views as they are decoded, with the threads of a lane that is alone."""
    return views_of(path, SAMPLING, decoder_threads(1))


def tensor(kind: type, views: np.ndarray) -> object:
    frames = kind("frames", views.shape, "UINT8")
    frames.set_data_from_numpy(views)
    return frames


def one_after_the_other(path: Path, stack: Stack) -> None:
    views = np.stack(list(decoded(path)))
    with triton_grpc.InferenceServerClient(address(stack)) as client:
        client.infer(MODEL, [tensor(triton_grpc.InferInput, views)])


def with_asyncio(path: Path, stack: Stack) -> None:
    async def run() -> None:
        async with triton_aio.InferenceServerClient(address(stack)) as client:
            source, pending = decoded(path), []
            while (view := await asyncio.to_thread(next, source, None)) is not None:
                frames = tensor(triton_aio.InferInput, view[None])
                pending.append(asyncio.create_task(client.infer(MODEL, [frames])))
            await asyncio.gather(*pending)

    asyncio.run(run())


def with_threads(path: Path, stack: Stack) -> None:
    ready: queue.Queue[np.ndarray | None] = queue.Queue()

    def infer() -> None:
        with triton_grpc.InferenceServerClient(address(stack)) as client:
            while (view := ready.get()) is not None:
                client.infer(MODEL, [tensor(triton_grpc.InferInput, view[None])])

    thread = threading.Thread(target=infer)
    thread.start()
    for view in decoded(path):
        ready.put(view)
    ready.put(None)
    thread.join()


def with_cliplane(path: Path, stack: Stack) -> float:
    """The seconds that the lane had it: without the upload, which is no part of the others."""
    answer = httpx.post(f"{stack.base}/v1/classify", content=path.read_bytes(), timeout=60).raise_for_status().json()
    assert len(answer["views"]) == 10
    return float(answer["timing_ms"]["total"] - answer["timing_ms"]["spool"]) / 1000


def address(stack: Stack) -> str:
    return f"{stack.container('triton')}:8001"


WAYS: dict[str, Callable[[Path, Stack], float | None]] = {
    "one after the other": one_after_the_other,
    "asyncio": with_asyncio,
    "threads": with_threads,
    "cliplane": with_cliplane,
}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(path: Path, models: Path, rounds: int) -> dict[str, float]:
    """Medians in milliseconds, over the rounds of all ways in turns."""
    for _ in range(2):
        decode_s = seconds(lambda: list(decoded(path)))
    python_model(HERE, models, MODEL, MS_PER_VIEW=f"{decode_s * 100:.2f}")
    times: dict[str, list[float]] = {name: [] for name in ["first view", "decode", *WAYS, IN_THE_LANE]}
    with running("overlap", models, MODEL, open_ports=True, has_python=True) as stack:
        for round_ in range(rounds + 1):
            took = {"first view": seconds(lambda: next(decoded(path))), "decode": seconds(lambda: list(decoded(path)))}
            for name, way in WAYS.items():
                began = time.perf_counter()
                in_the_lane = way(path, stack)
                took[name] = time.perf_counter() - began
            took[IN_THE_LANE] = in_the_lane or 0.0
            if round_:
                for name, value in took.items():
                    times[name].append(value * 1000)
    medians = {name: round(statistics.median(values), 1) for name, values in times.items()}
    infer = decode_s * 1000
    bound, least = max(medians["decode"], infer), max(medians["decode"], medians["first view"] + infer)
    ratios = {"lane / bound": medians[IN_THE_LANE] / bound, "lane / least": medians[IN_THE_LANE] / least}
    return {"infer": round(infer, 1), **medians, **{name: round(ratio, 3) for name, ratio in ratios.items()}}


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    silence()
    args.work.mkdir(parents=True, exist_ok=True)
    short = videos.encoded(args.source, args.work, "720p", "h264", 12)
    result = {}
    for name, path in {"10 s": short, "60 s": videos.repeated(short, args.work, 60)}.items():
        result[name] = measure(path, args.work / "models-overlap", args.rounds)
        print(name, json.dumps(result[name]), flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
