"""Runs in the exporter's image: kinds of networks that can be named, small where their builders allow it, brought from
checkpoints. Prints what OpenVINO's answers differ by from PyTorch's, as JSON.

    python networks.py WORK NAME…
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exporter import named, parity
from exporter.clips import clips
from exporter.seeded import seeded

CLASSES = 5
# Name, and a sampling that costs little. MViT and S3D have one size: their weights are of places, or their window is.
SMALL = {
    "r3d_18": "clip_length=8,crop=56",
    "mc3_18": "clip_length=8,crop=56",
    "r2plus1d_18": "clip_length=8,crop=56",
    "s3d": "clip_length=16,crop=224",
    "mvit_v1_b": "",
    "mvit_v2_s": "",
    "slow_r50": "clip_length=4,crop=64",
    "slowfast_r50": "clip_length=16,crop=64",
    "r2plus1d_r50": "clip_length=8,crop=64",
    "csn_r101": "clip_length=8,crop=64",
    "mvit_base_16x4": "clip_length=8,crop=64",
}


def compared(name: str, sampling: str, work: Path) -> dict[str, Any]:
    checkpoint, labels = work / f"{name}.pth", work / "labels.txt"
    torch.save({"model_state": seeded(name, CLASSES, None, sampling)}, checkpoint)
    # Told where keys and shapes leave a choice, else found.
    told = None if name != "mvit_base_16x4" else name
    brought = named.bring(told, checkpoint, labels, sampling, None, work)
    frames = clips(brought.sampling, 2, None).frames
    expected = brought.graph.answers(frames)
    graph = work / f"{name}.onnx"
    brought.graph.export(frames, graph)
    found = parity.of_openvino(graph, frames)
    checkpoint.unlink()
    graph.unlink()
    return {
        "network": brought.network,
        "difference": float(np.abs(found - expected).max()),
        "spread": float(expected.std(0).max()),
        "sum": expected.sum(1).tolist(),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    (place / "labels.txt").write_text("".join(f"class {k}\n" for k in range(CLASSES)))
    print(json.dumps({name: compared(name, SMALL[name], place) for name in sys.argv[2:]}))
