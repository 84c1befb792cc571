"""Which network a checkpoint is of, by the names and shapes of its tensors."""

from __future__ import annotations

import torch

from .checkpoint import BadCheckpoint
from .networks import NETWORKS


def find_network(tensors: dict[str, torch.Tensor]) -> str:
    """The name of the one network that the tensors fit.

    Raises:
        BadCheckpoint: they fit none, or several, which differ only in how their videos are cut.
    """
    found = [
        name
        for name, about in NETWORKS.items()
        # The head's name first: to build a network takes a second.
        if about.head_weight in tensors and _shapes(name) == _but_head(tensors, about.head_weight)
    ]
    if not found:
        raise BadCheckpoint(f"its tensors are of none of the networks here: NAME= one of {', '.join(NETWORKS)}")
    if len(found) > 1:
        raise BadCheckpoint(f"its tensors fit {', '.join(found)}, which cut videos differently: NAME= one of them")
    return found[0]


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    about = NETWORKS[name]
    return _but_head(about.build(2, about.sampling).state_dict(), about.head_weight)


def _but_head(tensors: dict[str, torch.Tensor], head_weight: str) -> dict[str, tuple[int, ...]]:
    head = (head_weight, head_weight.replace("weight", "bias"))
    return {
        name: tuple(tensor.shape)
        for name, tensor in tensors.items()
        if name not in head and not name.endswith("num_batches_tracked")
    }
