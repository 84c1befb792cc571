"""The weights of a Hugging Face folder, in one file or in many, read without running any code that is in them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .brought import CannotBring
from .checkpoint import read_tensors
from .processor import read_json

_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"


def read_shards(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor, by the name that it was saved under.

    Raises:
        CannotBring, BadCheckpoint: there are none, or a file is missing, cut off, or more than tensors.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in _shards(folder):
        found = _safetensors(file) if file.suffix == ".safetensors" else read_tensors(file)
        if twice := sorted(tensors.keys() & found.keys()):
            raise CannotBring(f"{file.name}: {twice[0]} is in another of its files too")
        tensors |= found
    return tensors


def _shards(folder: Path) -> list[Path]:
    for name in _FILES:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / (name + _INDEX)
        if not index.is_file():
            continue
        shown = read_json(index).get("weight_map")
        names = sorted(set(map(str, shown.values()))) if isinstance(shown, dict) else []
        if not names or any(Path(shard).name != shard for shard in names):
            raise CannotBring(f"{index.name}: its weight_map does not name the files beside it")
        if missing := [shard for shard in names if not (folder / shard).is_file()]:
            raise CannotBring(f"{missing[0]} is missing, which {index.name} names")
        return [folder / shard for shard in names]
    if (folder / "adapter_config.json").is_file():
        raise CannotBring("it holds an adapter alone (adapter_config.json): merge it into its model, and save that")
    raise CannotBring(f"it has no weights: {' or '.join(_FILES)}, whole or in shards")


def _safetensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return dict(load_file(file))
    except (SafetensorError, OSError, ValueError) as exc:
        raise CannotBring(f"{file.name}: it is cut off, or not a safetensors file") from exc
