"""A Python-based Triton backend that runs ONNX files with OpenVINO on the CPU.

A model folder needs no code: `backend: "openvino"` in its config.pbtxt (the name of NVIDIA's own backend) and
`<version>/model.onnx`. One input, one output. Parameters of the config, all optional and named as OpenVINO's
properties: INFERENCE_PRECISION_HINT (f32, bf16; default: the CPU's best), PERFORMANCE_HINT (default LATENCY),
INFERENCE_NUM_THREADS (default: the CPUs this container may use), NUM_STREAMS.

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
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": cpus_allowed()}
        for name in _PROPERTIES:
            if name in config["parameters"]:
                properties[name] = config["parameters"][name]["string_value"]
        try:
            compiled = openvino.Core().compile_model(file, "CPU", properties)
        except RuntimeError as exc:
            raise pb_utils.TritonModelException(f"OpenVINO cannot load {file}: {exc}") from exc
        self._request = compiled.create_infer_request()
        # The first inference allocates; no client should wait for it.
        dims = [int(d) for d in config["input"][0]["dims"]]
        self._infer(np.zeros([1, *dims] if config.get("max_batch_size", 0) else dims, np.uint8))
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        pb_utils.Logger.log_info(f"openvino: {file}, {precision}, {threads} threads")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch by one inference. Answers are in the order of the requests."""
        inputs = [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, self._input_name)) for r in requests]
        try:
            # A single request is read where Triton put it; only several must be brought together.
            outputs = self._infer(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        except RuntimeError as exc:
            error = pb_utils.TritonError(f"OpenVINO: {exc}")
            return [pb_utils.InferenceResponse(error=error) for _ in requests]
        responses, first = [], 0
        for frames in inputs:
            part = np.ascontiguousarray(outputs[first : first + len(frames)])
            first += len(frames)
            responses.append(pb_utils.InferenceResponse([_tensor(self._output_name, part)]))
        return responses

    def finalize(self) -> None:
        """Let go of the model at once when it is unloaded."""
        del self._request

    def _infer(self, frames: np.ndarray) -> np.ndarray:
        # share_inputs: OpenVINO reads the array in place. The copy of the output outlives the next inference.
        return np.array(self._request.infer([frames], share_inputs=True, share_outputs=True)[0])
