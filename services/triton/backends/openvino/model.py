"""A Python-based Triton backend that runs ONNX files, and OpenVINO's own, with OpenVINO on the CPU.

A model folder needs no code: `backend: "openvino"` in its config.pbtxt (the name of NVIDIA's own backend) and
`<version>/model.onnx`, or the file that `default_model_filename` names. One input, one output. Parameters of the
config, all optional and named as OpenVINO's properties: INFERENCE_PRECISION_HINT (f32, bf16; default: the CPU's
best), PERFORMANCE_HINT (default LATENCY), INFERENCE_NUM_THREADS (default: the CPUs this container may use),
NUM_STREAMS (default: as many as threads, at most 4).

https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
from openvino_engine import Engine

_PROPERTIES = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS")

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
        parameters = config["parameters"]
        properties = {name: parameters[name]["string_value"] for name in _PROPERTIES if name in parameters}
        dims = [int(d) for d in config["input"][0]["dims"]]
        self._shape = [1, *dims] if config.get("max_batch_size", 0) else dims
        try:
            self._engine = Engine(file, self._shape, properties)
        except RuntimeError as exc:
            raise pb_utils.TritonModelException(f"OpenVINO cannot load {file}: {exc}") from exc
        pb_utils.Logger.log_info(f"openvino: {file}, {self._engine.description}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch, in their order; their views are inferred together."""
        inputs = [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, self._input_name)) for r in requests]
        counts = [frames.size // math.prod(self._shape) for frames in inputs]
        try:
            outputs = iter(self._engine.infer([view for frames in inputs for view in frames.reshape(-1, *self._shape)]))
        except RuntimeError as exc:
            error = pb_utils.TritonError(f"OpenVINO: {exc}")
            return [pb_utils.InferenceResponse(error=error) for _ in requests]
        parts = [np.concatenate(list(islice(outputs, count))) for count in counts]
        return [pb_utils.InferenceResponse([_tensor(self._output_name, part)]) for part in parts]

    def finalize(self) -> None:
        """Let go of the model at once when it is unloaded."""
        del self._engine
