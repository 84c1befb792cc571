"""What the publishers say of the networks, and what they weigh here: for docs/models.md.

python -m exporter.facts > bench/results/models.json

Video Swin's figures are read from torchvision's weights. pytorchvideo has none in its package: X3D's are those of its
model zoo (docs/source/model_zoo.md of its repository). Parameters are counted.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from torchvision.models import video as torchvision_video

from .network import Network
from .networks import NETWORKS

MODEL_ZOO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
_X3D_TOP1_GFLOPS = {"x3d_xs": (69.12, 0.91), "x3d_s": (73.33, 2.96), "x3d_m": (75.94, 6.72), "x3d_l": (77.44, 26.64)}


def facts(about: Network) -> dict[str, Any]:
    """One network's row."""
    network = about.build(400, about.sampling)
    row: dict[str, Any] = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "sampling": asdict(about.sampling),
    }
    if about.name in _X3D_TOP1_GFLOPS:
        top1, gflops = _X3D_TOP1_GFLOPS[about.name]
        return {**row, "top1": top1, "gflops": gflops, "protocol": "10 clips × 3 crops", "source": MODEL_ZOO}
    prefix = {"t": "T", "s": "S", "b": "B"}[about.name.removeprefix("swin3d_")]
    weights = getattr(torchvision_video, f"Swin3D_{prefix}_Weights").KINETICS400_V1
    said = dict(part.split("=") for part in weights.meta["_docs"].replace("`", "").split() if "=" in part)
    clips, rate = said["clips_per_video"].strip(","), said["frame_rate"].strip(",")
    return {
        **row,
        "top1": round(weights.meta["_metrics"]["Kinetics-400"]["acc@1"], 2),
        "gflops": round(weights.meta["_ops"], 1),
        "protocol": f"{clips} clips × 1 crop, {rate} frames a second",
        "source": "torchvision.models.video, KINETICS400_V1",
    }


if __name__ == "__main__":
    print(json.dumps({name: facts(about) for name, about in NETWORKS.items()}, indent=1))
