"""How OpenVINO is best asked: shapes, streams and batches, in random order, against one dynamic batch in one stream.

    python -m exporter.engines.variants MODEL.onnx PRECISION BATCH SECONDS

Prints JSON: of each way the median in ms a view, and the median of its ratio to the first in the same round.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino

BASE = "dynamic, whole batch"


class Variants:
    """The ways, each as a function that infers all views."""

    def __init__(self, file: Path, precision: str, batch: int) -> None:
        self._file, self._core = file, openvino.Core()
        self._properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
            "INFERENCE_PRECISION_HINT": precision,
            "ENABLE_CPU_PINNING": False,
        }
        shape = [int(str(n)) for n in list(self._core.read_model(file).inputs[0].get_partial_shape())[1:]]
        self._shape, self._batch = shape, batch
        self._frames = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)

    def all(self) -> dict[str, Callable[[], None]]:
        streams = {key: value for key, value in self._properties.items() if key != "PERFORMANCE_HINT"}
        ways = {
            BASE: self._whole(self._compiled(0)),
            "static, one by one": self._one_by_one(self._compiled(1)),
            "static, one by one in 2 streams": self._in_turns(self._compiled(1, streams | {"NUM_STREAMS": 2})),
            "THROUGHPUT, dynamic, whole batch": self._whole(
                self._compiled(0, self._properties | {"PERFORMANCE_HINT": "THROUGHPUT"})
            ),
        }
        if self._batch > 1:
            ways["dynamic, one by one"] = self._one_by_one(self._compiled(0))
            ways["static, whole batch"] = self._whole(self._compiled(self._batch))
        return ways

    def _compiled(self, batch: int, properties: dict[str, Any] | None = None) -> Any:
        """`batch` 0: dynamic."""
        model = self._core.read_model(self._file)
        if batch:
            model.reshape([batch, *self._shape])
        return self._core.compile_model(model, "CPU", properties or self._properties)

    def _whole(self, compiled: Any) -> Callable[[], None]:
        request = compiled.create_infer_request()
        return lambda: request.infer([self._frames], share_inputs=True, share_outputs=True) and None

    def _one_by_one(self, compiled: Any) -> Callable[[], None]:
        request = compiled.create_infer_request()

        def run() -> None:
            for k in range(self._batch):
                request.infer([self._frames[k : k + 1]], share_inputs=True, share_outputs=True)

        return run

    def _in_turns(self, compiled: Any) -> Callable[[], None]:
        requests = [compiled.create_infer_request() for _ in range(2)]

        def run() -> None:
            for k in range(self._batch):
                if k > 1:
                    requests[k % 2].wait()
                requests[k % 2].start_async([self._frames[k : k + 1]], share_inputs=True)
            for request in requests[: self._batch]:
                request.wait()

        return run


def main() -> None:
    file, precision, batch, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    ways = Variants(file, precision, batch).all()
    for run in ways.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in ways}
    order, shuffle, end = list(ways), random.Random(0).shuffle, time.monotonic() + seconds
    while time.monotonic() < end:
        shuffle(order)
        for name in order:
            started = time.perf_counter()
            ways[name]()
            times[name].append((time.perf_counter() - started) * 1000 / batch)
    found = {
        name: {
            "ms_per_view": round(statistics.median(ms), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(ms, times[BASE], strict=True)), 3),
        }
        for name, ms in times.items()
    }
    print(json.dumps({"precision": precision, "batch": batch, "rounds": len(times[BASE]), "ways": found}))


if __name__ == "__main__":
    main()
