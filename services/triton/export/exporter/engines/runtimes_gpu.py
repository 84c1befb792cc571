"""The engines on an NVIDIA GPU. **Never run where this project is built**, which has no GPU: until somebody has,
believe their figures only after a look at the agreement column."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .runtimes import Infer, Task, Unavailable, onnxruntime_on, pytorch


def _need_gpu() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise Unavailable("no NVIDIA GPU: the driver's libcuda.so.1 is not here") from None


def pytorch_cuda(task: Task) -> Infer:
    _need_gpu()
    return pytorch(task, device="cuda")


def onnxruntime_cuda(task: Task) -> Infer:
    _need_gpu()
    return onnxruntime_on("CUDAExecutionProvider")(task)


def onnxruntime_tensorrt(task: Task) -> Infer:
    _need_gpu()
    return onnxruntime_on("TensorrtExecutionProvider")(task)


def tensorrt_fp16(task: Task) -> Infer:
    """TensorRT by itself, in half precision, for batches of 1 to 8. PyTorch holds the memory of the GPU."""
    _need_gpu()
    try:
        import tensorrt
    except ImportError:
        raise Unavailable("the package tensorrt is not in this image") from None
    import torch

    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(task.graph.read_bytes()):
        raise Unavailable(f"TensorRT cannot read the graph: {parser.get_error(0).desc()}")
    frames_in, answer_out = network.get_input(0), network.get_output(0)
    config = builder.create_builder_config()
    config.set_flag(tensorrt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    profile.set_shape(frames_in.name, *((n, *frames_in.shape[1:]) for n in (1, 1, 8)))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Unavailable("TensorRT cannot build the graph")
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan)
    context: Any = engine.create_execution_context()
    classes = answer_out.shape[1]

    def infer(frames: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(frames).cuda()
        answer = torch.empty((len(frames), classes), dtype=torch.float32, device="cuda")
        context.set_input_shape(frames_in.name, frames.shape)
        context.set_tensor_address(frames_in.name, given.data_ptr())
        context.set_tensor_address(answer_out.name, answer.data_ptr())
        stream = torch.cuda.current_stream()
        if not context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError("TensorRT failed")
        return answer.cpu().numpy()

    return infer
