"""A model that only looks at what it is given: the first and the last number of each view."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers (views, 2): so the client sees that all of its bytes came."""

    def execute(self, requests: list[Any]) -> list[Any]:
        answers = []
        for request in requests:
            frames = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "frames"))
            flat = frames.reshape(len(frames), -1)
            seen = np.ascontiguousarray(flat[:, [0, -1]].astype(np.float32))
            # By DLPack, as in backends/openvino: with numpy 2 the stub makes an empty tensor of an array.
            capsule = seen.__dlpack__()
            ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
            output = pb_utils.Tensor.from_dlpack("probabilities", capsule)
            answers.append(pb_utils.InferenceResponse([output]))
        return answers
