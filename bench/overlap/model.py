"""A model that takes a fixed time a view and knows nothing: what is left of a request is everything around it."""

from __future__ import annotations

import ctypes
import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers zeros after `ms_per_view` milliseconds a view."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self._view_s = float(parameters["ms_per_view"]["string_value"]) / 1000

    def execute(self, requests: list[Any]) -> list[Any]:
        answers = []
        for request in requests:
            views = pb_utils.get_input_tensor_by_name(request, "frames").shape()[0]
            time.sleep(views * self._view_s)
            # By DLPack: with numpy 2 the stub makes an empty tensor of an array.
            capsule = np.zeros((views, 2), np.float32).__dlpack__()
            ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
            output = pb_utils.Tensor.from_dlpack("probabilities", capsule)
            answers.append(pb_utils.InferenceResponse([output]))
        return answers
