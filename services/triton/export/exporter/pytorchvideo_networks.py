"""pytorchvideo's networks, as its builders make them for its own weights. Sampling and normalisation are those of its
tutorials and of the SlowFast configurations that its weights come from: 10 clips × 3 crops, for MViT 5 × 1.

https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from cliplane.policy.sampling import Sampling
from pytorchvideo.models.csn import create_csn
from pytorchvideo.models.hub.vision_transformers import mvit_video_base_config
from pytorchvideo.models.r2plus1d import create_r2plus1d
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.slowfast import create_slowfast
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from pytorchvideo.models.x3d import create_x3d
from torch import nn

from .network import Network

_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"
_GREY: dict[str, Any] = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "sha256_prefix": ""}
SLOWFAST_ALPHA = 4

Build = Callable[[int, Sampling], nn.Module]


class Pathways(nn.Module):
    """SlowFast's two inputs cut from one clip: every frame, and a quarter of them, spread from the first to the last,
    as pytorchvideo's tutorial packs them (`PackPathway`)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        frames = pixels.shape[2]
        slow = torch.linspace(0, frames - 1, frames // SLOWFAST_ALPHA).long()
        output: torch.Tensor = self.network([pixels[:, :, slow], pixels])
        return output


def _window(sampling: Sampling, temporal: int = 1, spatial: int = 32) -> tuple[int, int, int]:
    """The head's pooling window: of the network's strides, and of a crop of 224 where the crop is larger, as for the
    official weights; then positions are averaged."""
    side = max(min(7, sampling.crop_height // spatial), 1)
    return sampling.clip_length // temporal, side, side


def _slow(classes: int, sampling: Sampling) -> nn.Module:
    # As hub's slow_r50, whose stem looks at one frame.
    network: nn.Module = create_resnet(
        model_num_class=classes, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=_window(sampling)
    )
    return network


def _slowfast(depth: int) -> Build:
    def build(classes: int, sampling: Sampling) -> nn.Module:
        windows = (_window(sampling, SLOWFAST_ALPHA), _window(sampling))
        network: nn.Module = create_slowfast(
            model_depth=depth,
            model_num_class=classes,
            head_pool_kernel_sizes=windows,
            slowfast_fusion_conv_kernel_size=(7 if depth == 50 else 5, 1, 1),
        )
        return network

    return build


def _r2plus1d(classes: int, sampling: Sampling) -> nn.Module:
    network: nn.Module = create_r2plus1d(
        model_num_class=classes, dropout_rate=0.5, head_pool_kernel_size=_window(sampling, temporal=4)
    )
    return network


def _csn(classes: int, sampling: Sampling) -> nn.Module:
    network: nn.Module = create_csn(
        model_depth=101,
        model_num_class=classes,
        stem_pool=nn.MaxPool3d,
        head_pool_kernel_size=_window(sampling, temporal=8),
    )
    return network


def _mvit(classes: int, sampling: Sampling) -> nn.Module:
    sizes = {"spatial_size": sampling.crop_height, "temporal_size": sampling.clip_length}
    network: nn.Module = create_multiscale_vision_transformers(
        **(mvit_video_base_config | sizes), head_num_classes=classes
    )
    return network


def _x3d(clip_length: int, train_crop: int, depth: float) -> Build:
    def build(classes: int, _sampling: Sampling) -> nn.Module:
        # The head's pooling window is that of the training crop; larger crops are averaged over positions.
        network: nn.Module = create_x3d(
            input_clip_length=clip_length, input_crop_size=train_crop, model_num_class=classes, depth_factor=depth
        )
        return network

    return build


def _x3d_network(name: str, clip_length: int, stride: int, train_crop: int, crop: int, depth: float) -> Network:
    sampling = Sampling(clip_length, stride, crop, crop, crop, clips=10, crops=3)
    build = _x3d(clip_length, train_crop, depth)
    return _network(name, f"{name.upper()}.pyth", build, sampling, is_softmax_inside=True)


def _network(
    name: str,
    file: str,
    build: Build,
    sampling: Sampling,
    *,
    head: str = "blocks.5.proj.weight",
    is_softmax_inside: bool = False,
    **more: Any,
) -> Network:
    facts: dict[str, Any] = {"head_weight": head, "url": _URL + file, "is_softmax_inside": is_softmax_inside}
    return Network(name, build, sampling, **facts, **_GREY, **more)


def _clip(length: int, stride: int) -> Sampling:
    return Sampling(length, stride, 256, 256, 256, clips=10, crops=3)


_TWO: dict[str, Any] = {"head": "blocks.6.proj.weight", "whole": Pathways}

NETWORKS = (
    _x3d_network("x3d_xs", 4, 12, 160, 182, 2.2),
    _x3d_network("x3d_s", 13, 6, 160, 182, 2.2),
    _x3d_network("x3d_m", 16, 5, 224, 256, 2.2),
    _x3d_network("x3d_l", 16, 5, 312, 356, 5.0),
    _network("slow_r50", "SLOW_8x8_R50.pyth", _slow, _clip(8, 8)),
    _network("slowfast_r50", "SLOWFAST_8x8_R50.pyth", _slowfast(50), _clip(32, 2), **_TWO),
    _network("slowfast_r101", "SLOWFAST_8x8_R101.pyth", _slowfast(101), _clip(32, 2), **_TWO),
    _network("r2plus1d_r50", "R2PLUS1D_16x4_R50.pyth", _r2plus1d, _clip(16, 4), is_softmax_inside=True),
    _network("csn_r101", "CSN_32x2_R101.pyth", _csn, _clip(32, 2)),
    _network(
        "mvit_base_16x4",
        "MVIT_B_16x4.pyth",
        _mvit,
        Sampling(16, 4, 224, 224, 224, clips=5, crops=1),
        head="head.proj.weight",
    ),
)
