"""What is known of a network that can be named: how it is built, what it sees, where its official weights are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cliplane.policy.sampling import Sampling
from torch import nn


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


@dataclass(frozen=True, slots=True)
class Network:
    """One architecture. `build(classes, sampling)` gives it with random weights, under the names that its library's
    builder gives; `whole(network)` takes pixels, (N, C, T, H, W), which the network itself may not."""

    name: str
    build: Callable[[int, Sampling], nn.Module]
    sampling: Sampling
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    is_softmax_inside: bool  # its output is probabilities already
    head_weight: str  # the tensor whose first dimension is the number of classes
    url: str
    sha256_prefix: str  # "" where the publisher names none
    whole: Callable[[nn.Module], nn.Module] = _as_it_is
