"""What the serving images can run, and how a choice is written into a model's configs. Texts in, texts out."""

from __future__ import annotations

from typing import Any

from ..pbtxt import with_model_file, with_parameter, with_tensorrt
from .runtimes import has_bfloat16

PRECISION = "INFERENCE_PRECISION_HINT"
INT8_FILE = "model_int8.xml"
CPU_IMAGE = ("openvino_f32", "openvino_bf16", "openvino_int8")
"""Target `cpu` of docker/triton.Dockerfile."""
GPU_IMAGE = ("onnxruntime_cuda",)
"""Target `gpu` of docker/triton.Dockerfile; TensorRT is only in NVIDIA's own image."""


def cpu_config(text: str, engine: str | None) -> str:
    """config.pbtxt for an engine of `CPU_IMAGE`; None leaves it as it is."""
    match engine:
        case None:
            return text
        case "openvino_int8":
            # What is not in INT8 is computed as the shoot-out had it.
            return with_model_file(with_parameter(text, PRECISION, "bf16" if has_bfloat16() else "f32"), INT8_FILE)
        case _:
            return with_model_file(with_parameter(text, PRECISION, engine.removeprefix("openvino_")), None)


def with_figures(text: str, results: dict[str, Any]) -> str:
    """config.pbtxt with what was measured of the engine that serves it, for `/v1/models`; as it was where none does."""
    chosen = next((one for one in results["engines"] if one["engine"] == results["choice"]["engine"]), None)
    if chosen is None:
        return text
    figures = {
        "measured_engine": chosen["engine"],
        "measured_view_ms": f"{chosen['latency_ms']:g}",
        "measured_agreement": f"{chosen['agreement']:g}",
        "measured_clips": str(results["clips"]["measured"]),
    }
    for key, value in figures.items():
        text = with_parameter(text, key, value)
    return text


def gpu_config(text: str, engine: str | None) -> str:
    """configs/gpu.pbtxt for an engine of `GPU_IMAGE`; None leaves it as it is."""
    return text if engine is None else with_tensorrt(text, is_wanted=engine == "onnxruntime_tensorrt")
