"""With the stack's /dev/shm: the four ways, in turns. `python -m bench.handoff.measure TRITON ROUNDS`"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from cliplane.triton.region import create_region

VIEW = (16, 224, 224, 3)
VIEWS = (1, 10, 30)
TYPES = {"uint8": ("UINT8", np.uint8), "float32": ("FP32", np.float32)}
REGION_BYTES = max(VIEWS) * 16 * 224 * 224 * 3 * 4


class Ways:
    """One request, `frames` of a type of Triton's, in four ways; each gives the model's answer."""

    def __init__(self, triton: str, model: str, kind: str) -> None:
        self._http = triton_http.InferenceServerClient(f"{triton}:8000", network_timeout=60)
        self._grpc = triton_grpc.InferenceServerClient(f"{triton}:8001")
        self._model, self._kind = model, kind

    def by_http(self, frames: np.ndarray) -> np.ndarray:
        tensor = triton_http.InferInput("frames", frames.shape, self._kind)
        tensor.set_data_from_numpy(frames)
        return self._http.infer(self._model, [tensor]).as_numpy("probabilities")

    def by_grpc(self, frames: np.ndarray) -> np.ndarray:
        tensor = triton_grpc.InferInput("frames", frames.shape, self._kind)
        tensor.set_data_from_numpy(frames)
        return self._grpc.infer(self._model, [tensor]).as_numpy("probabilities")

    def in_place(self, frames: np.ndarray, region: str) -> np.ndarray:
        tensor = triton_grpc.InferInput("frames", frames.shape, self._kind)
        tensor.set_shared_memory(region, frames.nbytes)
        return self._grpc.infer(self._model, [tensor]).as_numpy("probabilities")


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def compare(triton: str, region: str, memory: np.ndarray, type_name: str, views: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each way, and of a memcpy; each answer is checked."""
    kind, dtype = TYPES[type_name]
    ways = Ways(triton, f"sink_{type_name}", kind)
    frames = np.random.default_rng(0).integers(0, 255, (views, *VIEW), np.uint8).astype(dtype)
    expected = frames.reshape(views, -1)[:, [0, -1]].astype(np.float32)
    flat = frames.reshape(-1).view(np.uint8)
    place, elsewhere = memory[: flat.size], np.ones_like(flat)

    def copied() -> np.ndarray:
        np.copyto(place, flat)
        return ways.in_place(frames, region)

    todo: dict[str, Callable[[], object]] = {
        "memcpy": lambda: np.copyto(elsewhere, flat),
        "HTTP payload": lambda: ways.by_http(frames),
        "gRPC payload": lambda: ways.by_grpc(frames),
        "shared memory, copied": copied,
        "shared memory, in place": lambda: ways.in_place(frames, region),
    }
    times: dict[str, list[float]] = {name: [] for name in todo}
    for round_ in range(rounds + 1):
        for name, work in todo.items():
            took, seen = seconds(work)
            if seen is not None and not np.array_equal(seen, expected):  # type: ignore[arg-type]
                raise SystemExit(f"{name}: other bytes came than were sent")
            if round_:
                times[name].append(took * 1000)
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def main() -> None:
    triton, rounds = sys.argv[1], int(sys.argv[2])
    region = create_region(REGION_BYTES, 1)
    name = region.name
    assert name is not None
    registry = triton_grpc.InferenceServerClient(f"{triton}:8001")
    registry.register_system_shared_memory(name, f"/{name}", region.byte_size)
    memory = np.frombuffer(region.memory, np.uint8)
    table = {}
    try:
        for type_name, (_, dtype) in TYPES.items():
            for views in VIEWS:
                megabytes = views * int(np.prod(VIEW)) * np.dtype(dtype).itemsize / 2**20
                medians = compare(triton, name, memory, type_name, views, rounds)
                table[f"{type_name}, {views} views"] = {"MiB": round(megabytes, 1), **medians}
    finally:
        registry.unregister_system_shared_memory(name)
        region.unlink()
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
