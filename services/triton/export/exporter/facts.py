"""What the publishers say of the networks, and what they weigh here: for docs/models.md.

python -m exporter.facts > bench/results/models.json

torchvision's figures are read from its weights. pytorchvideo has none in its package: they are those of its model zoo
(docs/source/model_zoo.md of its repository), MViT's of its builder's docstring. Parameters are counted.
"""

from __future__ import annotations

import json
from typing import Any

from torchvision.models import get_model_weights

from . import torchvision_networks
from .network import Network
from .networks import NETWORKS
from .sampling import named

MODEL_ZOO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
_TOP1_GFLOPS = {
    "x3d_xs": (69.12, 0.91),
    "x3d_s": (73.33, 2.96),
    "x3d_m": (75.94, 6.72),
    "x3d_l": (77.44, 26.64),
    "slow_r50": (74.58, 54.52),
    "slowfast_r50": (76.94, 65.71),
    "slowfast_r101": (77.90, 127.20),
    "csn_r101": (77.00, 75.62),
    "r2plus1d_r50": (76.01, 76.45),
}
HUB = "https://github.com/facebookresearch/pytorchvideo/blob/main/pytorchvideo/models/hub/vision_transformers.py"
_MVIT = {"top1": 78.9, "gflops": 70.5, "protocol": "5 clips × 1 crop; GFLOPs: arXiv 2104.11227", "source": HUB}


def facts(about: Network) -> dict[str, Any]:
    """One network's row."""
    network = about.build(400, about.sampling)
    row: dict[str, Any] = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "sampling": named(about.sampling),
    }
    if about.name == "mvit_base_16x4":
        return row | _MVIT
    if about not in torchvision_networks.NETWORKS:
        top1, gflops = _TOP1_GFLOPS[about.name]
        return {**row, "top1": top1, "gflops": gflops, "protocol": "10 clips × 3 crops", "source": MODEL_ZOO}
    weights = get_model_weights(about.name).KINETICS400_V1
    said = dict(part.split("=") for part in weights.meta["_docs"].replace("`", "").split() if "=" in part)
    clips, rate = said["clips_per_video"].strip(",."), said["frame_rate"].strip(",.")
    return {
        **row,
        "top1": round(weights.meta["_metrics"]["Kinetics-400"]["acc@1"], 2),
        "gflops": round(weights.meta["_ops"], 1),
        "protocol": f"{clips} clip{'s' if clips != '1' else ''} × 1 crop, {rate} frames a second",
        "source": "torchvision.models.video, KINETICS400_V1",
    }


if __name__ == "__main__":
    print(json.dumps({name: facts(about) for name, about in NETWORKS.items()}, indent=1))
