"""A checkpoint with random, seeded weights: what tests and measurements of speed use where no weights can be fetched.

    python -m exporter.seeded NAME CLASSES OUT.pth [--videos DIR]

Random weights as they come answer the same to everything, for the activations die away layer by layer. So the batch
normalisations get the statistics of a few clips, as training would give them, and the head is enlarged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from .clips import clips
from .networks import NETWORKS, Served

CLIPS = 8
HEAD_SCALE = 30


def seeded(name: str, classes: int, videos: Path | None) -> dict[str, torch.Tensor]:
    """The state_dict."""
    about = NETWORKS[name]
    torch.manual_seed(0)
    network = about.build(classes, about.sampling)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    if norms:
        network.eval()
        for norm in norms:
            norm.momentum = None  # the mean over the clips, whatever was there
            norm.train()
        with torch.no_grad():
            Served(network, about)(torch.from_numpy(clips(about.sampling, CLIPS, videos).frames))
    weights = network.state_dict()
    weights[about.head_weight] *= HEAD_SCALE
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(NETWORKS))
    parser.add_argument("classes", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=Path)
    args = parser.parse_args()
    torch.save({"state_dict": seeded(args.name, args.classes, args.videos)}, args.out)


if __name__ == "__main__":
    main()
