"""A checkpoint with random, seeded weights: what tests and measurements of speed use where no weights can be fetched.

    python -m exporter.seeded NAME CLASSES OUT.pth [--videos DIR]

Random weights as they come answer the same to everything, for the activations die away layer by layer. So the batch
normalisations get the statistics of a few clips, as training would give them. And of a random head the top classes lie
so close together that any rounding changes their order, which says nothing of an engine. So each of the first classes
is one of those clips, one of each video: the head's row is the direction from the mean of all their features to that
clip's. What is like a clip gets its class, clearly, as a trained network would answer.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import nn

from .clips import clips
from .networks import NETWORKS, served
from .sampling import changed
from .served import Served

CLIPS = 8
RECOGNISED = 5
MARGIN = 2.0
"""A clip's own class has exp(MARGIN) times the probability of all that say nothing: about 0.9, as of a trained network,
and not so near 1 that differences between engines would vanish."""


def seeded(name: str, classes: int, videos: Path | None, sampling: str = "") -> dict[str, torch.Tensor]:
    """The state_dict, of the network as it is built for its own sampling or one that is changed."""
    about = NETWORKS[name]
    cut = changed(about.sampling, sampling)
    torch.manual_seed(0)
    network = about.build(classes, cut).eval()
    whole, frames = served(network, about), torch.from_numpy(clips(cut, CLIPS, videos).frames)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    head = network.get_submodule(about.head_weight.removesuffix(".weight"))
    assert isinstance(head, nn.Linear | nn.Conv3d)
    with torch.no_grad():
        if norms:
            for norm in norms:
                norm.momentum = None  # the mean over the clips, whatever was there
                norm.train()
            whole(frames)
            network.eval()
        _recognise(head, _features(whole, head, frames[: min(RECOGNISED, classes)]))
    return network.state_dict()


def _features(whole: Served, head: nn.Linear | nn.Conv3d, frames: torch.Tensor) -> torch.Tensor:
    """(clips, features): what reaches the head, the mean over its positions where there are several."""
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    for clip in frames:
        whole(clip[None])
    hook.remove()
    if isinstance(head, nn.Conv3d):  # S3D's: channels come first
        return torch.stack([features.flatten(2).mean((0, 2)) for features in seen])
    return torch.stack([features.reshape(-1, head.in_features).mean(0) for features in seen])


def _recognise(head: nn.Linear | nn.Conv3d, features: torch.Tensor) -> None:
    """The head's first rows say how far a clip lies from the mean in the direction of each of `features`."""
    away, count = features - features.mean(0), len(features)
    weight = head.weight.flatten(1)  # (classes, features); a view
    logit = math.log(len(weight)) + MARGIN
    weight[:count] = logit * away / away.square().sum(1, keepdim=True)
    head.bias[:count] = -weight[:count] @ features.mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(NETWORKS))
    parser.add_argument("classes", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--sampling", default="")
    args = parser.parse_args()
    torch.save({"state_dict": seeded(args.name, args.classes, args.videos, args.sampling)}, args.out)


if __name__ == "__main__":
    main()
