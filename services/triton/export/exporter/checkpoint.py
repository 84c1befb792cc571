"""Weights from a file nobody vouches for: read without running its code, and fitted to a network or refused by name."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
_SHOWN = 5


class BadCheckpoint(Exception):
    """The file is no checkpoint, or not one of this network."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, with the names that the bare network has.

    Raises:
        BadCheckpoint: it is missing, truncated, wants to run code, or holds no tensors.
    """
    return _without_prefixes(read_tensors(path))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of PyTorch's, with the names that they have there.

    Raises:
        BadCheckpoint: it is missing, truncated, wants to run code, or holds no tensors.
    """
    name = path.name  # the folder is the container's, not the user's
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as exc:
        raise BadCheckpoint(f"{name}: it cannot be read: {exc.strerror or exc}") from exc
    except pickle.UnpicklingError as exc:
        with path.open("rb") as file:
            is_pickle = file.read(2) in (
                b"PK",
                b"\x80\x02",
                b"\x80\x03",
                b"\x80\x04",
                b"\x80\x05",
            )  # of a zip archive, or of a pickle without one
        if is_pickle:
            raise BadCheckpoint(f"{name}: it holds more than tensors, and is not run to find out what") from exc
        raise BadCheckpoint(f"{name}: it is not a checkpoint of PyTorch's") from exc
    except Exception as exc:  # of garbage, the unpickler raises whatever it stumbles over
        raise BadCheckpoint(f"{name}: it is cut off, or not a checkpoint of PyTorch's") from exc
    for _ in range(3):
        wrapper = next((k for k in _WRAPPERS if isinstance(found, dict) and isinstance(found.get(k), dict)), None)
        if wrapper is None:
            break
        found = found[wrapper]
    if not isinstance(found, dict):
        raise BadCheckpoint(f"{name}: it holds a {type(found).__name__}, not a dict of tensors")
    tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise BadCheckpoint(f"{name}: it holds no tensors")
    return tensors


def _without_prefixes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    while True:
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}


def class_count(tensors: dict[str, torch.Tensor], head_weight: str) -> int:
    """How many classes the weights were trained for.

    Raises:
        BadCheckpoint: they have no such head.
    """
    if head_weight not in tensors:
        names = ", ".join(list(tensors)[:_SHOWN])
        raise BadCheckpoint(f"it has no {head_weight}, so it is not of this network; its first tensors are {names}")
    if not tensors[head_weight].dim():
        raise BadCheckpoint(f"its {head_weight} is a single number")
    return int(tensors[head_weight].shape[0])


def fit(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put the weights into the network.

    Raises:
        BadCheckpoint: naming the first tensors that are missing, left over, or of another shape.
    """
    wanted = network.state_dict()
    refuse_misfits(
        [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")],
        [name for name in tensors if name not in wanted],
        [
            (name, tensors[name].shape, wanted[name].shape)
            for name in wanted
            if name in tensors and tensors[name].shape != wanted[name].shape
        ],
    )
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as exc:  # of the right shape, but sparse, without content, or no numbers that can be copied
        last = next((line.strip() for line in reversed(str(exc).splitlines()) if line.strip()), "")
        raise BadCheckpoint(f"its tensors cannot be copied into the network: {last}") from exc


def refuse_misfits(
    missing: Sequence[str], extra: Sequence[str], shapes: Sequence[tuple[str, Sequence[int], Sequence[int]]]
) -> None:
    """`shapes`: a tensor's name, its shape in the checkpoint and in the network.

    Raises:
        BadCheckpoint: there are any; naming the first of each.
    """
    others = [f"{name} is {tuple(found)}, the network has {tuple(wanted)}" for name, found, wanted in shapes]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("left over", extra), ("of another shape", others))
        if names
    ]
    if problems:
        raise BadCheckpoint("; ".join(problems))
