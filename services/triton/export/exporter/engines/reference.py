"""A model of the repository as a PyTorch module: what every engine is compared with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..kept import kept_weights
from ..pbtxt import classes, sampling


class NoReference(Exception):
    """PyTorch cannot run this model, and why."""


def find_weights(folder: Path, cache: Path, checkpoint: Path | None) -> Path:
    """The file that the newest version was made from.

    Raises:
        NoReference: it is not there, or another one was given.
    """
    if folder.name == "camera_motion" and not (folder / "export.json").exists():
        return newest(folder) / "model.onnx"  # they are read from the graph itself
    try:
        about = json.loads((folder / "export.json").read_text())
    except FileNotFoundError:
        raise NoReference(f"{folder.name} has no export.json: it was not made by make model") from None
    if about["network"] == "onnx":
        raise NoReference(f"{folder.name} came as a graph: PyTorch has no network of it to compare with")
    if checkpoint is not None:
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        if digest != about["sha256"]:
            raise NoReference(f"{checkpoint.name} is not what {folder.name} was made from: {about['source']}")
        return checkpoint
    file = kept_weights(cache, about["sha256"], about["source"])
    if file is None:
        raise NoReference(
            f"the weights of {folder.name} are not in .weights: bring it anew (make model), or, of a file, "
            f"give CHECKPOINT={about['source']}"
        )
    return file


def newest(folder: Path) -> Path:
    """The folder of the version that is served."""
    versions = [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
    if not versions:
        raise NoReference(f"{folder.name} has no version")
    return max(versions, key=lambda path: int(path.name))


def module(folder: Path, weights: Path) -> Any:
    """The network, ready to answer: uint8 frames in, probabilities out. Imports torch."""
    if weights.suffix == ".onnx":
        from camera_motion.recover import from_graph

        return from_graph(weights)
    from ..checkpoint import fit, read_weights
    from ..networks import NETWORKS, served

    name = json.loads((folder / "export.json").read_text())["network"]
    if name not in NETWORKS:
        from ..huggingface import read_kept

        return read_kept(weights)
    about = NETWORKS[name]
    text = (folder / "config.pbtxt").read_text()
    network = about.build(classes(text), sampling(text))
    fit(network, read_weights(weights))
    return served(network, about)
