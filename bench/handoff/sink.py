"""A model that only looks at what it is given: (views, 2), the first and the last number of each view, so that the
client sees that all of its bytes came."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

_CONFIG = """\
name: "{name}"
backend: "openvino"
max_batch_size: 32
input [ {{ name: "frames" data_type: TYPE_{kind} dims: [ {dims} ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters [
  {{ key: "temporal_stride" value {{ string_value: "5" }} }},
  {{ key: "short_side" value {{ string_value: "{short_side}" }} }},
  {{ key: "clips" value {{ string_value: "10" }} }},
  {{ key: "crops" value {{ string_value: "1" }} }}
]
"""


def write(models: Path, name: str, kind: str, view: tuple[int, ...]) -> None:
    """Put it into a model repository. `kind`: Triton's type of the input, "UINT8" or "FP32"; `view`: (T, H, W, C)."""
    (models / name / "1").mkdir(parents=True, exist_ok=True)
    type_ = TensorProto.UINT8 if kind == "UINT8" else TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["frames"], ["flat"]),
            helper.make_node("Gather", ["flat", "ends"], ["seen"], axis=1),
            helper.make_node("Cast", ["seen"], ["probabilities"], to=TensorProto.FLOAT),
        ],
        name,
        [helper.make_tensor_value_info("frames", type_, ["views", *view])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["views", 2])],
        [helper.make_tensor("ends", TensorProto.INT64, [2], [0, -1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, models / name / "1" / "model.onnx")
    dims = ", ".join(map(str, view))
    (models / name / "config.pbtxt").write_text(_CONFIG.format(name=name, kind=kind, dims=dims, short_side=view[1]))
    (models / name / "labels.txt").write_text("0\n1\n")
