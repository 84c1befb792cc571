"""Parity: do the exported graph in OpenVINO, and Triton with the whole folder, answer as PyTorch does, or whatever
library a graph came from?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino
import torch

from .served import Served

MAX_DIFFERENCE = 1e-4


class NoParity(Exception):
    """An answer differs from PyTorch's, or PyTorch's is no answer."""


def of_pytorch(served: Served, frames: np.ndarray) -> np.ndarray:
    """Probabilities, (views, classes) float32, of frames, (views, T, H, W, 3) uint8: what is right.

    Raises:
        NoParity: there are none for frames of this shape, or they are no numbers.
    """
    try:
        with torch.no_grad():
            expected: np.ndarray = np.concatenate([served(torch.from_numpy(view[None])).numpy() for view in frames])
    except RuntimeError as exc:
        raise NoParity(f"PyTorch cannot run this network with this sampling: {str(exc).splitlines()[0]}") from exc
    if not np.isfinite(expected).all():
        raise NoParity("with these weights PyTorch's answers are no numbers (NaN or infinite)")
    return expected


def export(served: Served, frames: np.ndarray, file: Path) -> None:
    """Write the graph, whose number of views is free."""
    axes = {"frames": {0: "views"}, "probabilities": {0: "views"}}
    names = {"input_names": ["frames"], "output_names": ["probabilities"]}
    example = torch.zeros_like(torch.from_numpy(frames[:1]))
    with torch.no_grad():
        torch.onnx.export(served, (example,), str(file), dynamo=False, opset_version=17, dynamic_axes=axes, **names)


@dataclass(frozen=True, slots=True)
class PyTorch:
    """A network of PyTorch's, as it is brought."""

    served: Served
    library: str = "PyTorch"

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """Raises NoParity, as `of_pytorch`."""
        return of_pytorch(self.served, frames)

    def export(self, frames: np.ndarray, file: Path) -> None:
        export(self.served, frames, file)


def of_openvino(file: Path, frames: np.ndarray) -> np.ndarray:
    """Probabilities of the graph in float32, in this process."""
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(view[None])[0] for view in frames])


def max_difference(who: str, found: np.ndarray, expected: np.ndarray, library: str = "PyTorch") -> float:
    """The largest difference of a probability.

    Raises:
        NoParity: it is more than `MAX_DIFFERENCE`, or a view has another top class.
    """
    if found.shape != expected.shape:
        raise NoParity(f"{who} answers {found.shape}, {library} {expected.shape}")
    worst = float(np.abs(found - expected).max())
    agreed = int((found.argmax(1) == expected.argmax(1)).sum())
    if not worst <= MAX_DIFFERENCE or agreed < len(expected):  # `not`: NaN is not less than anything
        raise NoParity(f"{who} differs from {library} by {worst:.1e}; {agreed} of {len(expected)} tops agree")
    return worst
