"""The networks that can be exported by name."""

from __future__ import annotations

from torch import nn

from . import pytorchvideo_networks, torchvision_networks
from .network import Network
from .served import Activation, Served

NETWORKS: dict[str, Network] = {
    network.name: network for network in (*pytorchvideo_networks.NETWORKS, *torchvision_networks.NETWORKS)
}


def served(network: nn.Module, about: Network) -> Served:
    """What Triton runs of one of these networks."""
    activation: Activation = "none" if about.is_softmax_inside else "softmax"
    mean, std = ([255 * value for value in values] for values in (about.mean, about.std))
    return Served(about.whole(network), mean, std, "NCTHW", activation).eval()
