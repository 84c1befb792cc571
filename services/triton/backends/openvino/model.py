"""A Python-based Triton backend that runs ONNX files, and OpenVINO's own, with OpenVINO on the CPU.

A model folder needs no code: `backend: "openvino"` in its config.pbtxt (the name of NVIDIA's own backend) and
`<version>/model.onnx`, or the file that `default_model_filename` names. One input, one output. Parameters of the
config, all optional and named as OpenVINO's properties: INFERENCE_PRECISION_HINT (f32, bf16; default: the CPU's
best), PERFORMANCE_HINT (default LATENCY), INFERENCE_NUM_THREADS (default: the CPUs this container may use),
NUM_STREAMS (default: as many as threads, at most MOST_STREAMS).

https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md
"""

from __future__ import annotations

import ctypes
import functools
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

_PROPERTIES = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS")

MOST_STREAMS = 4
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


# Tensors cross to and from the stub by DLPack, never by `as_numpy()` or `pb_utils.Tensor(name, array)`: the stub was
# built for numpy 1, and with numpy 2 those two give an input that repeats its first byte, and an output of zeros.


def _tensor(name: str, array: np.ndarray) -> Any:
    capsule = array.__dlpack__()
    # The stub marks the capsule as consumed by a name of its own, so numpy's destructor would complain of every
    # one. The memory is freed by the stub, through the deleter inside.
    ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
    return pb_utils.Tensor.from_dlpack(name, capsule)


class TritonPythonModel:
    """One instance of one model, which takes its views one by one.

    It is compiled twice: for several views at once, one thread (or a few) each, and for one view with all threads. The
    first does more views a second, the second is sooner ready with a single one; whether it is, is found out here.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Load and compile the model.

        Raises:
            pb_utils.TritonModelException: the file is missing or OpenVINO cannot take it; Triton reports the model
                as not ready with this text.
        """
        config = json.loads(args["model_config"])
        self._input_name = config["input"][0]["name"]
        self._output_name = config["output"][0]["name"]
        version = Path(args["model_repository"]) / args["model_version"]
        named = version / (config.get("default_model_filename") or "model.onnx")
        # Triton fills in a name of its own where the config has none, and a newer version may lack the config's.
        file = named if named.is_file() else version / "model.onnx"
        threads = cpus_allowed()
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": min(threads, MOST_STREAMS),
            # Pinned, the threads of every process sit on the same first CPUs, beside a decoder or another model's.
            "ENABLE_CPU_PINNING": False,
        }
        for name in _PROPERTIES:
            if name in config["parameters"]:
                properties[name] = config["parameters"][name]["string_value"]
        dims = [int(d) for d in config["input"][0]["dims"]]
        self._shape = [1, *dims] if config.get("max_batch_size", 0) else dims
        core = openvino.Core()
        try:
            model = core.read_model(file)
            # One view at a time, its shape known: docs/models.md has the figures, for and against.
            model.reshape(self._shape)
            several = core.compile_model(model, "CPU", properties)
            single = core.compile_model(model, "CPU", properties | {"NUM_STREAMS": 1})
        except RuntimeError as exc:
            raise pb_utils.TritonModelException(f"OpenVINO cannot load {file}: {exc}") from exc
        self._several = openvino.AsyncInferQueue(several)
        self._several.set_callback(lambda request, keep: keep(request.get_output_tensor().data.copy()))
        self._streams = len(self._several)
        self._single = single.create_infer_request()
        # The first inferences also allocate; no client should wait for that.
        view = np.zeros(self._shape, np.uint8)
        self._is_single_sooner = _fastest(lambda: self._infer_one(view)) < 0.9 * _fastest(lambda: self._infer([view]))
        precision = several.get_property("INFERENCE_PRECISION_HINT").to_string()
        alone = "all threads" if self._is_single_sooner else "one stream"
        pb_utils.Logger.log_info(
            f"openvino: {file}, {precision}, {threads} threads, {self._streams} streams; a single view by {alone}"
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch, in their order; their views are inferred together."""
        inputs = [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, self._input_name)) for r in requests]
        views = [view for frames in inputs for view in frames.reshape(-1, *self._shape)]
        # What does not fill all streams is left to all threads, where that is faster.
        left = len(views) % self._streams if self._is_single_sooner else 0
        try:
            outputs = self._infer(views[: len(views) - left]) + [
                self._infer_one(view) for view in views[len(views) - left :]
            ]
        except RuntimeError as exc:
            error = pb_utils.TritonError(f"OpenVINO: {exc}")
            return [pb_utils.InferenceResponse(error=error) for _ in requests]
        responses, first = [], 0
        for frames in inputs:
            count = frames.size // math.prod(self._shape)
            part = np.concatenate(outputs[first : first + count])
            first += count
            responses.append(pb_utils.InferenceResponse([_tensor(self._output_name, part)]))
        return responses

    def finalize(self) -> None:
        """Let go of the model at once when it is unloaded."""
        del self._several, self._single

    def _infer(self, views: list[np.ndarray]) -> list[np.ndarray]:
        """Several views, as many at once as there are streams."""
        outputs: dict[int, np.ndarray] = {}
        for number, view in enumerate(views):
            # share_inputs: it is read where Triton put it.
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
