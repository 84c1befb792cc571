"""Write the model folder that Triton serves.

    python -m camera_motion.export --weights DIR/model.pt --models ../models

Raw frames in, probabilities out: everything between is in the graph. Nothing is installed unless OpenVINO's answers
equal PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import openvino
import torch

from .contract import CLIP_LENGTH, DESCRIPTIONS, FRAME_RATE, LABELS, SIDE, TEMPORAL_STRIDE
from .model import CameraMotion, Served

NAME = "camera_motion"
MAX_DIFFERENCE = 1e-4  # of a probability, float32

CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: 32
input [ {{ name: "frames" data_type: TYPE_UINT8 dims: [ {length}, {side}, {side}, 3 ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "labels.txt" }} ]
dynamic_batching {{ }}
instance_group [ {{ kind: {kind} count: 1 }} ]
parameters [
  {{ key: "description" value {{ string_value: "The camera's movement, by an X3D trained by this project" }} }},
{descriptions}
  {{ key: "temporal_stride" value {{ string_value: "{stride}" }} }},
  {{ key: "frame_rate" value {{ string_value: "{rate}" }} }},
  {{ key: "short_side" value {{ string_value: "{side}" }} }},
  {{ key: "clips" value {{ string_value: "4" }} }},
  {{ key: "crops" value {{ string_value: "1" }} }}{more}
]
"""
_DESCRIPTION = '  {{ key: "description.{label}" value {{ string_value: "{text}" }} }},'
# The stem divides small differences by small sums: bfloat16 would lose both.
_FLOAT32 = ',\n  { key: "INFERENCE_PRECISION_HINT" value { string_value: "f32" } }'


def config(backend: str, kind: str, more: str) -> str:
    """The text of a config.pbtxt."""
    return CONFIG.format(
        name=NAME,
        backend=backend,
        kind=kind,
        length=CLIP_LENGTH,
        side=SIDE,
        stride=TEMPORAL_STRIDE,
        rate=FRAME_RATE,
        classes=len(LABELS),
        descriptions="\n".join(_DESCRIPTION.format(label=label, text=DESCRIPTIONS[label]) for label in LABELS),
        more=more,
    )


def load(weights: Path) -> Served:
    """The trained network, ready to answer."""
    model = CameraMotion()
    model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    # eval() of the whole: torch.onnx.export puts back the mode of what it is given, and all below it.
    return Served(model).eval()


def parity(file: Path, model: Served) -> float:
    """The largest difference of a probability between OpenVINO in float32 and PyTorch, over batches of 1 to 4."""
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rng = np.random.default_rng(0)
    worst = 0.0
    for n in (1, 2, 4):
        frames = rng.integers(0, 256, (n, CLIP_LENGTH, SIDE, SIDE, 3), np.uint8)
        with torch.no_grad():
            expected = model(torch.from_numpy(frames)).numpy()
        worst = max(worst, float(np.abs(compiled(frames)[0] - expected).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="the model repository")
    args = parser.parse_args()
    model = load(args.weights)
    folder = args.models / NAME
    new = args.models / f".{NAME}.new"
    shutil.rmtree(new, ignore_errors=True)
    (new / "1").mkdir(parents=True)
    (new / "configs").mkdir()
    example = torch.zeros(2, CLIP_LENGTH, SIDE, SIDE, 3, dtype=torch.uint8)
    names = {"input_names": ["frames"], "output_names": ["probabilities"]}
    axes = {"frames": {0: "views"}, "probabilities": {0: "views"}}
    file = new / "1" / "model.onnx"
    torch.onnx.export(model, (example,), str(file), dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    worst = parity(file, model)
    if worst > MAX_DIFFERENCE:
        raise SystemExit(f"OpenVINO differs from PyTorch by {worst:.2e}: nothing is installed")
    (new / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (new / "config.pbtxt").write_text(config("openvino", "KIND_CPU", _FLOAT32))
    (new / "configs" / "gpu.pbtxt").write_text(config("onnxruntime", "KIND_GPU", ""))
    # For the tests: what of `gpu` needs none.
    (new / "configs" / "onnxruntime.pbtxt").write_text(config("onnxruntime", "KIND_CPU", ""))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    print(json.dumps({"bytes": (folder / "1" / "model.onnx").stat().st_size, "max_difference": worst}))


if __name__ == "__main__":
    main()
