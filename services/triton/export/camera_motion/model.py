"""The network: X3D behind a fixed stem that makes motion visible.

pytorchvideo's X3D learns the class of a move slowly and its sign hardly at all from raw pixels in the little
training a CPU allows. So beside RGB it gets the normal flow at four scales, the quotient by which Lucas and
Kanade (1981) estimate displacement: sum(I_x I_t) / sum(I_x² + I_y²) over a neighbourhood, and likewise for y.
The stem has no weights and is part of the exported graph.
"""

from __future__ import annotations

import torch
from pytorchvideo.models.x3d import create_x3d
from torch import Tensor, nn
from torch.nn import functional

from .contract import CLIP_LENGTH, LABELS, SIDE

SCALES = (1, 2, 4, 8)
_WINDOW = 5  # pixels, side of the neighbourhood at each scale


class MotionStem(nn.Module):
    """(N, T, H, W, 3) uint8 → (N, 3 + 2 × scales, T, H, W) float32."""

    def forward(self, frames: Tensor) -> Tensor:
        n, _t, _h, _w, _ = frames.shape
        rgb = frames.permute(0, 4, 1, 2, 3).to(torch.float32) / 255.0
        luma = (0.299 * rgb[:, 0] + 0.587 * rgb[:, 1] + 0.114 * rgb[:, 2]).reshape(n * CLIP_LENGTH, 1, SIDE, SIDE)
        channels = [(rgb - 0.45) / 0.225]
        for scale in SCALES:
            picture = functional.avg_pool2d(luma, scale) if scale > 1 else luma
            flow = self._normal_flow(picture.reshape(n, CLIP_LENGTH, SIDE // scale, SIDE // scale))
            if scale > 1:
                flow = functional.interpolate(flow, scale_factor=float(scale), mode="nearest")
            channels.append(flow.reshape(n, CLIP_LENGTH, 2, SIDE, SIDE).permute(0, 2, 1, 3, 4))
        return torch.cat(channels, dim=1)

    @staticmethod
    def _normal_flow(luma: Tensor) -> Tensor:
        """(N, T, h, w) → (N × T, 2, h, w): displacement to the next frame, pixels of this scale, within ±2."""
        n, t, h, w = luma.shape
        following = torch.cat([luma[:, 1:], luma[:, -1:]], dim=1)
        middle = functional.pad((luma + following) / 2, (1, 1, 1, 1), mode="replicate")
        dx = (middle[:, :, 1:-1, 2:] - middle[:, :, 1:-1, :-2]) / 2
        dy = (middle[:, :, 2:, 1:-1] - middle[:, :, :-2, 1:-1]) / 2
        dt = following - luma
        products = torch.stack([dx * dt, dy * dt, dx * dx + dy * dy], dim=2).reshape(n * t, 3, h, w)
        sums = functional.avg_pool2d(products, _WINDOW, stride=1, padding=_WINDOW // 2)
        return (-2.0 * sums[:, :2] / (sums[:, 2:] + 1e-4)).clamp(-2.0, 2.0)


class CameraMotion(nn.Module):
    """uint8 frames (N, T, H, W, 3) → logits (N, classes); in training also the clip's motion, (N, T - 1, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = MotionStem()
        self.x3d = create_x3d(
            input_channel=3 + 2 * len(SCALES),
            input_clip_length=CLIP_LENGTH,
            input_crop_size=SIDE,
            model_num_class=256,
            width_factor=1.0,
            depth_factor=1.2,
            head_dim_out=512,
            dropout_rate=0.0,
            head_activation=None,
        )
        self.classify = nn.Linear(256, len(LABELS))
        # Only training uses it: what the generator knows exactly teaches more than the label alone.
        self.motion = nn.Linear(256, (CLIP_LENGTH - 1) * 4)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        features = functional.relu(self.x3d(self.stem(frames)))
        return self.classify(features), self.motion(features).reshape(-1, CLIP_LENGTH - 1, 4)


class Served(nn.Module):
    """What Triton runs: probabilities, (N, classes) float32."""

    def __init__(self, model: CameraMotion) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        logits, _ = self.model(frames)
        return torch.softmax(logits, dim=1)
