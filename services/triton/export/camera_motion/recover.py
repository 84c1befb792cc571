"""The network in PyTorch from the graph that is served: training's checkpoint is not kept in the repository.

The exporter folds each batch normalisation into the convolution before it. Here it is unfolded: the convolution gets
the folded weights, the normalisation becomes "add the folded bias". So the module has training's layers and does
their work, and gives the served probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from .contract import CLIP_LENGTH, SIDE
from .model import CameraMotion, Served

_WITH_WEIGHTS = {"Conv", "Gemm", "MatMul"}


class NotThisNetwork(Exception):
    """The graph's layers are not the network's."""


def from_graph(file: Path) -> Served:
    """The served network with the weights of model.onnx.

    Raises:
        NotThisNetwork: a layer is missing, left over, or of another shape.
    """
    model = CameraMotion()
    served = Served(model).eval()
    layers = _in_order(served)
    weights = _of_graph(file)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv3d | nn.Linear)]
    if len(convolutions) != len(weights):
        raise NotThisNetwork(f"{file}: {len(weights)} layers with weights, the network has {len(convolutions)}")
    for layer, (weight, bias) in zip(convolutions, weights, strict=True):
        if weight.shape != layer.weight.shape:
            raise NotThisNetwork(
                f"{file}: a layer is {tuple(weight.shape)}, the network has {tuple(layer.weight.shape)}"
            )
        layer.weight.data = weight
        if layer.bias is not None:
            layer.bias.data = torch.zeros_like(layer.bias) if bias is None else bias
            continue
        following = layers[layers.index(layer) + 1] if layer is not layers[-1] else None
        if isinstance(following, nn.BatchNorm3d):
            _only_add(following, bias)
        elif bias is not None:
            raise NotThisNetwork(f"{file}: a layer has a bias and nothing to put it in")
    return served


def _in_order(served: nn.Module) -> list[Any]:
    """The layers with weights, in the order in which a clip passes them."""
    passed: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output: passed.append(module))
        for module in served.modules()
        if isinstance(module, nn.Conv3d | nn.Linear | nn.BatchNorm3d) and module is not served.model.motion
    ]
    with torch.no_grad():
        served(torch.zeros(1, CLIP_LENGTH, SIDE, SIDE, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return passed


def _of_graph(file: Path) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """(weight, bias) of each layer of the graph, in its order, weights as PyTorch has them."""
    graph = onnx.load(file).graph
    values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    added = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    found = []
    for node in graph.node:
        if node.op_type not in _WITH_WEIGHTS or node.input[1] not in values:
            continue
        weight, bias = values[node.input[1]], None
        if len(node.input) > 2:
            bias = values[node.input[2]]
        elif node.op_type == "MatMul" and node.output[0] in added:
            bias = next((values[name] for name in added[node.output[0]].input if name in values), None)
        if node.op_type == "MatMul":
            weight = weight.T
        copies = (torch.from_numpy(np.array(weight)), None if bias is None else torch.from_numpy(np.array(bias)))
        found.append(copies)
    return found


def _only_add(norm: nn.BatchNorm3d, bias: torch.Tensor | None) -> None:
    norm.weight.data.fill_(1.0)
    norm.bias.data = torch.zeros_like(norm.bias) if bias is None else bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
