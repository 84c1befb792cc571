"""Each engine of the backend on each model: does it answer as the CPU does, and how fast?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu import probe
from bench.gpu.server import MAX_BATCH, Model, Place, Server, region, running
from bench.gpu.steps import Step

BATCHES = (1, 8, 32)
CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Engine:
    """`parameters` are the backend's: the head of services/triton/backends/onnxruntime.cc."""

    name: str
    kind: str = "KIND_GPU"
    parameters: Mapping[str, str] = field(default_factory=dict)


ENGINES = (
    Engine("2 CPU cores", "KIND_CPU", {"intra_op_num_threads": "2"}),
    Engine("CUDA"),
    Engine("CUDA, one stream", parameters={"streams": "1"}),
    Engine("CUDA, HEURISTIC", parameters={"cudnn_conv_algo_search": "HEURISTIC"}),
    Engine("CUDA, TF32", parameters={"use_tf32": "1"}),
    Engine("CUDA graphs", parameters={"enable_cuda_graph": "1"}),
)


def models(repository: Path) -> list[Model]:
    """Every model of this repository with an ONNX file, in its newest version."""
    import onnxruntime

    found = []
    for folder in sorted(repository.iterdir()):
        versions = sorted(folder.glob("[0-9]*/model.onnx"), key=lambda path: int(path.parent.name))
        if not versions:
            continue
        session = onnxruntime.InferenceSession(str(versions[-1]), providers=["CPUExecutionProvider"])
        frames, answer = session.get_inputs()[0], session.get_outputs()[0]
        dims = tuple(int(dim) for dim in frames.shape[1:])
        found.append(
            Model(folder.name, versions[-1].parent.resolve(), frames.name, answer.name, dims, int(answer.shape[-1]))
        )
    return found


def views(model: Model, count: int) -> np.ndarray:
    """(count, T, H, W, C) uint8: patches of 8 × 8 pixels of one colour, for noise alone tells no two models apart."""
    frames, height, width, channels = model.dims
    patches = np.random.default_rng(0).integers(
        0, 256, (count, frames, -(-height // 8), -(-width // 8), channels), np.uint8
    )
    return np.ascontiguousarray(patches.repeat(8, 2).repeat(8, 3)[:, :, :height, :width])


def reference(model: Model, pixels: np.ndarray) -> np.ndarray:
    """(views, classes): plain ONNX Runtime on the CPU, view by view."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {model.input: view[None]})[0] for view in pixels])


def agreement(answers: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Largest difference of a probability, and the share of views whose top label is the same."""
    return {
        "max_abs": float(np.abs(answers - expected).max()),
        "top1": float((answers.argmax(1) == expected.argmax(1)).mean()),
    }


def median_ms(call: Callable[[], object], seconds: float, least: int = 3) -> float:
    """Of at least so many calls, after one that does not count."""
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def views_per_s(call: Callable[[], object], views: int, seconds: float) -> float:
    """With `CLIENTS` that ask at once."""
    counts = [0] * CLIENTS
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        while not counts[number] or time.perf_counter() < end:
            call()
            counts[number] += views

    began = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(place: Place, engine: Engine, found: list[Model], work: Path, seconds: float) -> dict[str, Any]:
    """The engine's row for each model, by the model's name."""
    rows = {}
    with running(place, found, engine.kind, engine.parameters, work) as server:
        for model in found:
            if why := server.refused(model.name):
                raise RuntimeError(f"{model.name}: {why}")
            rows[model.name] = _row(server, model, seconds)
        if engine.kind == "KIND_GPU":
            rows[found[0].name]["gpu_memory_mib_of_all"] = probe.memory_used_mib()
    return rows


def _row(server: Server, model: Model, seconds: float) -> dict[str, Any]:
    pixels = views(model, MAX_BATCH)
    with region(server, pixels) as name:
        answers = np.concatenate([server.infer(model, name, first, 8) for first in range(0, MAX_BATCH, 8)])
        row: dict[str, Any] = agreement(answers, reference(model, pixels))
        for batch in BATCHES:

            def call(batch: int = batch) -> object:
                return server.infer(model, name, 0, batch)

            row[f"ms_a_view_{batch}"] = round(median_ms(call, seconds) / batch, 3)
            row[f"views_per_s_{batch}"] = round(views_per_s(call, batch, seconds), 1)
    return row


def steps(place: Place, found: list[Model], work: Path, seconds: float) -> list[Step]:
    """A step an engine."""
    made = []
    for engine in ENGINES:

        def of(engine: Engine = engine) -> dict[str, Any]:
            return measure(place, engine, found, work, seconds)

        made.append(Step(f"engine: {engine.name}", of, () if engine.kind == "KIND_CPU" else ("GPU",)))
    return made
