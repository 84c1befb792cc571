"""The networks that can be exported: how each is built, what it wants to see, and where its official weights are.

Sampling and normalisation are those of the libraries' own documentation: X3D's of the pytorchvideo tutorial and of
the SlowFast configurations its weights come from (10 clips × 3 crops), Video Swin's of torchvision's weights
(`VideoClassification` preset; 15 frames a second of 30, 4 clips × 3 crops as the paper counts).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pytorchvideo.models.x3d import create_x3d
from torch import nn
from torchvision.models import video as torchvision_video

from .sampling import Sampling

X3D_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"
SWIN_URL = "https://download.pytorch.org/models/"


@dataclass(frozen=True, slots=True)
class Network:
    """One architecture. `build(classes, sampling)` gives it with random weights."""

    name: str
    build: Callable[[int, Sampling], nn.Module]
    sampling: Sampling
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    is_softmax_inside: bool  # its output is probabilities already
    head_weight: str  # the tensor whose first dimension is the number of classes
    url: str
    sha256_prefix: str  # "" where the publisher names none


def _x3d(clip_length: int, train_crop: int, **scale: float) -> Callable[[int, Sampling], nn.Module]:
    def build(classes: int, sampling: Sampling) -> nn.Module:
        # The head's pooling window is that of the training crop; larger crops are averaged over positions.
        network: nn.Module = create_x3d(
            input_clip_length=clip_length, input_crop_size=train_crop, model_num_class=classes, **scale
        )
        return network

    return build


def _swin(name: str) -> Callable[[int, Sampling], nn.Module]:
    def build(classes: int, _sampling: Sampling) -> nn.Module:
        builder: Any = getattr(torchvision_video, name)
        network: nn.Module = builder(weights=None, num_classes=classes)
        return network

    return build


_X3D: dict[str, Any] = {
    "mean": (0.45, 0.45, 0.45),
    "deviation": (0.225, 0.225, 0.225),
    "is_softmax_inside": True,
    "head_weight": "blocks.5.proj.weight",
}
_SWIN: dict[str, Any] = {
    "mean": (0.485, 0.456, 0.406),
    "deviation": (0.229, 0.224, 0.225),
    "is_softmax_inside": False,
    "head_weight": "head.weight",
}


def _x3d_network(name: str, clip_length: int, stride: int, train_crop: int, crop: int, depth: float) -> Network:
    sampling = Sampling(clip_length, stride, crop, crop, clips=10, crops=3)
    build = _x3d(clip_length, train_crop, depth_factor=depth)
    return Network(name, build, sampling, url=f"{X3D_URL}{name.upper()}.pyth", sha256_prefix="", **_X3D)


def _swin_network(name: str, file: str) -> Network:
    sampling = Sampling(32, 2, 256, 224, clips=4, crops=3)
    digest = file.rpartition("-")[2].removesuffix(".pth")
    return Network(name, _swin(name), sampling, url=SWIN_URL + file, sha256_prefix=digest, **_SWIN)


NETWORKS = {
    network.name: network
    for network in (
        _x3d_network("x3d_xs", 4, 12, 160, 182, 2.2),
        _x3d_network("x3d_s", 13, 6, 160, 182, 2.2),
        _x3d_network("x3d_m", 16, 5, 224, 256, 2.2),
        _x3d_network("x3d_l", 16, 5, 312, 356, 5.0),
        _swin_network("swin3d_t", "swin3d_t-7615ae03.pth"),
        _swin_network("swin3d_s", "swin3d_s-da41c237.pth"),
        _swin_network("swin3d_b", "swin3d_b_1k-24f7c7c6.pth"),
    )
}


def kinetics_labels() -> list[str]:
    """The 400 classes in the order of both libraries' weights, from torchvision."""
    return list(torchvision_video.Swin3D_T_Weights.KINETICS400_V1.meta["categories"])


class Served(nn.Module):
    """What Triton runs: uint8 (N, T, H, W, 3) in, float32 (N, classes) probabilities out."""

    def __init__(self, network: nn.Module, about: Network) -> None:
        super().__init__()
        self.network = network
        self.is_softmax_inside = about.is_softmax_inside
        self.register_buffer("mean", torch.tensor(about.mean).view(1, 3, 1, 1, 1) * 255)
        self.register_buffer("deviation", torch.tensor(about.deviation).view(1, 3, 1, 1, 1) * 255)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = (frames.permute(0, 4, 1, 2, 3).to(torch.float32) - self.mean) / self.deviation
        answer: torch.Tensor = self.network(pixels)
        return answer if self.is_softmax_inside else torch.softmax(answer, dim=1)
