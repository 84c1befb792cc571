"""What Triton runs: a trained network, from the pixels as they are decoded to the probabilities that are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

Layout = Literal["NCTHW", "NTCHW"]
Activation = Literal["none", "softmax", "sigmoid"]
"""Makes probabilities of the output: softmax (a video has one class), sigmoid (any number), none (it has them)."""


class Served(nn.Module):
    """uint8 (N, T, H, W, 3) in, float32 (N, classes) probabilities out.

    `mean`, `std`: of red, green and blue, on the scale of the pixels, 0 to 255. `layout`: of the network's input.
    `temperature`: its logits are divided by it (Guo et al., https://arxiv.org/abs/1706.04599).
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        layout: Layout,
        activation: Activation,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.activation = activation
        self.temperature = temperature
        self.axes = {"NCTHW": (0, 4, 1, 2, 3), "NTCHW": (0, 1, 4, 2, 3)}[layout]
        shape = (1, 3, 1, 1, 1) if layout == "NCTHW" else (1, 1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(shape))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(shape))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = (frames.permute(self.axes).to(torch.float32) - self.mean) / self.std
        output: torch.Tensor = self.network(pixels)
        match self.activation:
            case "softmax":
                return torch.softmax(output / self.temperature, dim=1)
            case "sigmoid":
                return torch.sigmoid(output / self.temperature)
            case _:
                return output
