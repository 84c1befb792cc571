"""torchvision's video networks. Sampling and normalisation are those of its weights: the `VideoClassification` preset
and the rates in their documentation (https://pytorch.org/vision/stable/models.html#video-classification), with 30
frames a second taken for a video's own. Video Swin's clips and crops are the paper's, 4 × 3.

Where the preset scales frames to 128 × 171 or 256 × 256 whatever their shape, the short side is scaled here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from cliplane.policy.sampling import Sampling
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import video

from .network import Network

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_GREY = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
_RESNET = Sampling(16, 2, 128, 112, 112, clips=5, crops=1)
_MVIT = Sampling(16, 4, 256, 224, 224, clips=5, crops=1)
_SWIN = Sampling(32, 2, 256, 224, 224, clips=4, crops=3)


def _build(name: str) -> Callable[[int, Sampling], nn.Module]:
    def build(classes: int, _sampling: Sampling) -> nn.Module:
        builder: Any = getattr(video, name)
        network: nn.Module = builder(weights=None, num_classes=classes)
        return network

    return build


class _Slices(TorchFunctionMode):
    """Splits by slices: what torch.tensor_split is exported as, a sequence, OpenVINO does not read."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.tensor_split:
            return func(*args, **(kwargs or {}))
        return _halves(*args, **(kwargs or {}))


def _halves(tensor: torch.Tensor, indices: tuple[int], dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    (first,) = indices
    return tensor.narrow(dim, 0, first), tensor.narrow(dim, first, tensor.shape[dim] - first)


class Sliced(nn.Module):
    """MViT, whose class token is split from the others before each pooling."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with _Slices():
            output: torch.Tensor = self.network(pixels)
        return output


def _network(name: str, file: str, head: str, sampling: Sampling, colours: tuple[Any, Any], **more: Any) -> Network:
    return Network(
        name,
        _build(name),
        sampling,
        *colours,
        is_softmax_inside=False,
        head_weight=head,
        url=f"https://download.pytorch.org/models/{file}",
        sha256_prefix=file.rpartition("-")[2].removesuffix(".pth"),
        **more,
    )


NETWORKS = (
    _network("r3d_18", "r3d_18-b3b3357e.pth", "fc.weight", _RESNET, _KINETICS),
    _network("mc3_18", "mc3_18-a90a0ba3.pth", "fc.weight", _RESNET, _KINETICS),
    _network("r2plus1d_18", "r2plus1d_18-91a641e6.pth", "fc.weight", _RESNET, _KINETICS),
    _network("s3d", "s3d-d76dad2f.pth", "classifier.1.weight", Sampling(128, 2, 256, 224, 224, 1, 1), _KINETICS),
    _network("mvit_v1_b", "mvit_v1_b-dbeb1030.pth", "head.1.weight", _MVIT, _GREY, whole=Sliced),
    _network("mvit_v2_s", "mvit_v2_s-ae3be167.pth", "head.1.weight", _MVIT, _GREY, whole=Sliced),
    _network("swin3d_t", "swin3d_t-7615ae03.pth", "head.weight", _SWIN, _IMAGENET),
    _network("swin3d_s", "swin3d_s-da41c237.pth", "head.weight", _SWIN, _IMAGENET),
    _network("swin3d_b", "swin3d_b_1k-24f7c7c6.pth", "head.weight", _SWIN, _IMAGENET),
)


def kinetics_labels() -> list[str]:
    """The 400 classes in the order of both libraries' weights."""
    return list(video.Swin3D_T_Weights.KINETICS400_V1.meta["categories"])
