"""A Python-based Triton backend that runs ONNX files, and OpenVINO's own, with OpenVINO on the CPU.

A model folder needs no code: `backend: "openvino"` in its config.pbtxt (the name of NVIDIA's own backend) and
`<version>/model.onnx`, or the file that `default_model_filename` names. One input, one output. Parameters of the
config, all optional and named as OpenVINO's properties: INFERENCE_PRECISION_HINT (f32, bf16; default: the CPU's
best), PERFORMANCE_HINT (default LATENCY), INFERENCE_NUM_THREADS (default: the CPUs this container may use),
NUM_STREAMS.

https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md
"""

from __future__ import annotations

import ctypes
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

_PROPERTIES = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS")


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
    """One instance of one model."""

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
        properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": cpus_allowed()}
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
            compiled = core.compile_model(model, "CPU", properties)
        except RuntimeError as exc:
            raise pb_utils.TritonModelException(f"OpenVINO cannot load {file}: {exc}") from exc
        self._request = compiled.create_infer_request()
        self._infer(np.zeros(self._shape, np.uint8))  # the first one allocates; no client should wait for it
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        pb_utils.Logger.log_info(f"openvino: {file}, {precision}, {threads} threads")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch, in their order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        frames = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, self._input_name))
        try:
            views = frames.reshape(-1, *self._shape)
            outputs = np.concatenate([self._infer(view) for view in views])
        except RuntimeError as exc:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"OpenVINO: {exc}"))
        return pb_utils.InferenceResponse([_tensor(self._output_name, outputs)])

    def finalize(self) -> None:
        """Let go of the model at once when it is unloaded."""
        del self._request

    def _infer(self, view: np.ndarray) -> np.ndarray:
        # share_inputs: it is read where Triton put it. The copy of the output outlives the next inference.
        return np.array(self._request.infer([view], share_inputs=True, share_outputs=True)[0])
