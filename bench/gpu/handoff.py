"""What it costs to bring views to the engine: in system shared memory, and what CUDA shared memory could save.

With system shared memory the backend copies the views into pinned memory, and from there they cross to the card. With
CUDA shared memory the lane would make both copies itself and hand over a handle: its gain is the first of them at most.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np

from bench.gpu.engines import ENGINES, median_ms
from bench.gpu.engines import views as made_views
from bench.gpu.server import MAX_BATCH, Model, Place, Server, region, running
from bench.gpu.steps import Step

VIEWS = (10, 30)
X3D_M_BYTES = 16 * 224 * 224 * 3
HOST_TO_DEVICE = 1


def outside_the_engine(place: Place, model: Model, work: Path, seconds: float) -> dict[str, float]:
    """Milliseconds of a call that are not the engine's, by number of views: HTTP, JSON and the hand-off."""
    engine, row = ENGINES[0], {}
    with running(place, [model], engine.kind, engine.parameters, work) as server:
        if why := server.refused(model.name):
            raise RuntimeError(f"{model.name}: {why}")
        with region(server, made_views(model, MAX_BATCH)) as name:
            for count in VIEWS:
                outside: list[float] = []
                end = time.perf_counter() + seconds
                while len(outside) < 5 or time.perf_counter() < end:
                    computed, began = _computed_ms(server, model), time.perf_counter()
                    server.infer(model, name, 0, count)
                    took = 1000 * (time.perf_counter() - began)
                    outside.append(took - (_computed_ms(server, model) - computed))
                row[str(count)] = round(float(np.median(outside[1:])), 2)
    return row


def _computed_ms(server: Server, model: Model) -> float:
    """What the engine has taken so far, the queue in it included."""
    stats = server.ask(f"/v2/models/{model.name}/stats")["model_stats"][0]["inference_stats"]
    return float(stats["compute_infer"]["ns"]) / 1e6


class Cuda:
    """The CUDA runtime, by name.

    Raises:
        OSError: it is not here.
        RuntimeError: one of its calls failed.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcudart.so.13")
        self._library.cudaGetErrorString.restype = ctypes.c_char_p

    def __call__(self, name: str, *arguments: object) -> None:
        if error := getattr(self._library, name)(*arguments):
            raise RuntimeError(f"{name}: {self._library.cudaGetErrorString(error).decode()}")


def copies(seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of each copy of views of X3D-M's size, by number of views; and what a handle costs to make."""
    cuda, rows = Cuda(), {}
    for count in VIEWS:
        size = count * X3D_M_BYTES
        pixels = np.zeros(size, np.uint8)
        device, pinned = ctypes.c_void_p(), ctypes.c_void_p()
        handle = ctypes.create_string_buffer(64)
        cuda("cudaMalloc", ctypes.byref(device), ctypes.c_size_t(size))
        cuda("cudaMallocHost", ctypes.byref(pinned), ctypes.c_size_t(size))
        source, length = ctypes.c_void_p(pixels.ctypes.data), ctypes.c_size_t(size)
        rows[str(count)] = {
            "memory to pinned": median_ms(lambda: ctypes.memmove(pinned, source, size), seconds),  # noqa: B023
            "pinned to card": median_ms(lambda: cuda("cudaMemcpy", device, pinned, length, HOST_TO_DEVICE), seconds),  # noqa: B023
            "memory to card": median_ms(lambda: cuda("cudaMemcpy", device, source, length, HOST_TO_DEVICE), seconds),  # noqa: B023
            "handle": median_ms(lambda: cuda("cudaIpcGetMemHandle", handle, device), seconds),  # noqa: B023
        }
        cuda("cudaFree", device)
        cuda("cudaFreeHost", pinned)
    return {count: {name: round(ms, 3) for name, ms in row.items()} for count, row in rows.items()}


def steps(place: Place, found: list[Model], work: Path, seconds: float) -> list[Step]:
    largest = max(found, key=lambda model: model.view_bytes)
    return [
        Step("hand-off: outside the engine", lambda: outside_the_engine(place, largest, work, seconds)),
        Step("hand-off: what CUDA shared memory could save", lambda: copies(seconds), ("GPU",)),
    ]
