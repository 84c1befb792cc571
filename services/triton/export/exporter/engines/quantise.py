"""A graph in INT8, by NNCF, for OpenVINO. Runs in a process of its own: NNCF is large, and is no part of serving.

python -m exporter.engines.quantise MODEL.onnx CLIPS.npy OUT.xml

The CPU plugin has no depthwise 3D convolution in INT8 and refuses to compile one; then those layers stay as they are,
and the last line of the output says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino


def main() -> int:
    graph, clips, out = map(Path, sys.argv[1:])
    calibration = np.load(clips)
    note = ""
    try:
        _quantise(graph, calibration, out, [])
    except RuntimeError as exc:
        reason = next((line.strip() for line in reversed(str(exc).splitlines()) if line.strip()), "")
        note = f"without its depthwise convolutions, with which OpenVINO refuses to compile it: {reason}"
        _quantise(graph, calibration, out, ["GroupConvolution"])
    print(note)
    return 0


def _quantise(graph: Path, calibration: np.ndarray, out: Path, left_out: list[str]) -> None:
    core = openvino.Core()
    dataset = nncf.Dataset([clip[None] for clip in calibration])
    scope = nncf.IgnoredScope(types=left_out, validate=False) if left_out else None
    model = nncf.quantize(core.read_model(graph), dataset, subset_size=len(calibration), ignored_scope=scope)
    openvino.save_model(model, out)
    core.compile_model(out, "CPU")(calibration[:1])


if __name__ == "__main__":
    sys.exit(main())
