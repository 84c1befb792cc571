"""The engines on a CPU: how each loads a graph and answers. Each library is imported only where it is used, for the
memory of an engine is measured with the library in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Infer = Callable[[np.ndarray], np.ndarray]
"""uint8 (N, T, H, W, 3) → float32 (N, classes)"""


class Unavailable(Exception):
    """The engine cannot run here, and why."""


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine is given. `module` builds the network in PyTorch."""

    graph: Path
    int8_graph: Path
    module: Callable[[], Any]
    threads: int


def has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def pytorch(task: Task, *, device: str = "cpu", is_compiled: bool = False) -> Infer:
    """PyTorch in float32, eager or through torch.compile, which makes C++ and compiles it for each batch size."""
    import torch

    torch.set_num_threads(task.threads)
    module = task.module().to(device)
    if is_compiled:
        module = torch.compile(module, dynamic=False)

    def infer(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            answer: np.ndarray = module(torch.from_numpy(frames).to(device)).cpu().numpy()
            return answer

    return infer


def torch_compile(task: Task) -> Infer:
    return pytorch(task, is_compiled=True)


def onnxruntime_on(provider: str, options: dict[str, str] | None = None) -> Callable[[Task], Infer]:
    """ONNX Runtime with one of its execution providers, and the CPU's for what that one cannot do."""

    def load(task: Task) -> Infer:
        import onnxruntime

        if provider not in onnxruntime.get_available_providers():
            raise Unavailable(f"this onnxruntime is built without {provider}; the package onnxruntime-gpu has it")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = task.threads
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(task.graph), settings, providers=[(provider, options or {})])
        if provider not in session.get_providers():
            raise Unavailable(f"onnxruntime fell back from {provider} to {session.get_providers()[0]}")
        name = session.get_inputs()[0].name

        def infer(frames: np.ndarray) -> np.ndarray:
            answer: np.ndarray = session.run(None, {name: frames})[0]
            return answer

        return infer

    return load


def openvino_in(precision: str) -> Callable[[Task], Infer]:
    """OpenVINO, as the backend runs it."""

    def load(task: Task) -> Infer:
        if precision == "bf16" and not has_bfloat16():
            raise Unavailable("this CPU has no bfloat16 instructions: it would only be emulated")
        return _openvino(task.graph, precision, task.threads)

    return load


def openvino_int8(task: Task) -> Infer:
    """OpenVINO on the graph that `quantise` wrote."""
    return _openvino(task.int8_graph, "bf16" if has_bfloat16() else "f32", task.threads)


def _openvino(file: Path, precision: str, threads: int) -> Infer:
    import openvino

    from .openvino_engine import Engine

    _, *dims = openvino.Core().read_model(file).inputs[0].get_partial_shape()
    properties = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    engine = Engine(file, [1, *(dim.get_length() for dim in dims)], properties)

    def infer(frames: np.ndarray) -> np.ndarray:
        return np.concatenate(engine.infer([frames[k : k + 1] for k in range(len(frames))]))

    return infer
