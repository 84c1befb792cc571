"""OpenVINO as the backend runs it (backends/openvino.cc: the same properties, the same two ways), in Python:
what `make engines` measures, and what the benchmarks give to the servers that Cliplane is compared with.

It is compiled twice: for several views at once, one thread (or a few) each, and for one view with all threads. The
first does more views a second, the second is sooner ready with a single one; whether it is, is found out at the start.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from exporter.engines.all_threads import CLEARLY_SOONER, takes_all_threads

MAX_STREAMS = 4
"""Views at once: each stream has activations of its own in memory."""


def cpus_allowed() -> int:
    """CPUs of this container: its affinity, and its cgroup's quota, version 2 or 1."""
    cpus = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            words = Path(quota_file).read_text().split()
            period = words[1] if period_file is None else Path(period_file).read_text()
        except OSError:
            continue
        if words[0] not in ("max", "-1"):
            cpus = min(cpus, math.ceil(int(words[0]) / int(period)))
    return max(cpus, 1)


class Engine:
    """One model. `streams` views are inferred at once; `description` says what was chosen."""

    def __init__(self, file: Path, shape: Sequence[int], properties: Mapping[str, Any]) -> None:
        """`shape` is that of one view, as the graph takes it: (1, T, H, W, C). `properties` are OpenVINO's, over the
        defaults here.

        Raises:
            RuntimeError: OpenVINO cannot take the file.
        """
        threads = int(properties.get("INFERENCE_NUM_THREADS", cpus_allowed()))
        chosen: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": min(threads, MAX_STREAMS),
            # Pinned, the threads of every process sit on the same first CPUs, beside a decoder or another model's.
            "ENABLE_CPU_PINNING": False,
            **properties,
        }
        core = openvino.Core()
        model = core.read_model(file)
        # One view at a time, its shape known: docs/engines.md has the figures.
        model.reshape(list(shape))
        several = core.compile_model(model, "CPU", chosen)
        single = core.compile_model(model, "CPU", chosen | {"NUM_STREAMS": 1})
        self._several = openvino.AsyncInferQueue(several)
        self._several.set_callback(lambda request, keep: keep(request.get_output_tensor().data.copy()))
        self._single = single.create_infer_request()
        self.streams = len(self._several)
        # The first inferences also allocate; no client should wait for that.
        view = np.zeros(shape, np.uint8)
        self._is_single_sooner = self.streams > 1 and (
            _fastest(lambda: self._infer_one(view)) < CLEARLY_SOONER * _fastest(lambda: self._infer_several([view]))
        )
        precision = several.get_property("INFERENCE_PRECISION_HINT").to_string()
        alone = "all threads" if self._is_single_sooner else "one stream"
        self.description = f"{precision}, {threads} threads, {self.streams} streams; a single view by {alone}"

    def infer(self, views: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The output of each view, (1, classes).

        Raises:
            RuntimeError: OpenVINO failed.
        """
        if takes_all_threads(self._is_single_sooner, in_work=0, waiting=len(views)):
            return [self._infer_one(views[0])]
        return self._infer_several(views)

    def _infer_several(self, views: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs: dict[int, np.ndarray] = {}
        for number, view in enumerate(views):
            # share_inputs: it is read where it is.
            self._several.start_async([view], functools.partial(outputs.__setitem__, number), share_inputs=True)
        self._several.wait_all()
        return [outputs[number] for number in range(len(views))]

    def _infer_one(self, view: np.ndarray) -> np.ndarray:
        # The copy of the output outlives the next inference.
        return np.array(self._single.infer([view], share_inputs=True, share_outputs=True)[0])


def _fastest(work: Callable[[], object]) -> float:
    """Seconds, the least of three after one to warm up."""
    times = []
    for _ in range(4):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])
