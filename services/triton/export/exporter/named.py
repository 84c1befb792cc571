"""A network that is named: official weights from its publisher, or a checkpoint of one's own."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from cliplane.policy.sampling import Sampling

from .brought import Brought, CannotBring, read_labels
from .checkpoint import class_count, fit, read_weights
from .found import find_network
from .network import Network
from .networks import NETWORKS, served
from .parity import PyTorch
from .sampling import changed
from .torchvision_networks import kinetics_labels


def bring(
    name: str | None, checkpoint: Path | None, labels: Path | None, sampling: str, default: Sampling | None, cache: Path
) -> Brought:
    """One of NETWORKS, that of the checkpoint if none is named; `default` is the sampling that the repository's model
    of this name has.

    Raises:
        CannotBring, BadCheckpoint, BadSampling: it cannot be had, or is not this network.
    """
    if name is not None and name not in NETWORKS:
        raise CannotBring(f"invalid choice: {name!r}; NAME is one of {', '.join(NETWORKS)}")
    if checkpoint:
        weights, source = checkpoint, checkpoint.name
        tensors = read_weights(weights)
        about = NETWORKS[name or find_network(tensors)]
        cut = changed(default or about.sampling, sampling)
    elif name:
        about = NETWORKS[name]
        cut = changed(default or about.sampling, sampling)
        weights, source = _official(about, cache), about.url
        tensors = read_weights(weights)
    else:
        raise CannotBring("it needs NAME=, a network's, or CHECKPOINT=, a file of weights")
    classes = class_count(tensors, about.head_weight)
    names = _labels(labels, classes)
    network = about.build(classes, cut)
    fit(network, tensors)
    return Brought(about.name, PyTorch(served(network, about)), names, cut, weights, source)


def _labels(path: Path | None, classes: int) -> list[str]:
    if path is None:
        labels = kinetics_labels()
        if classes != len(labels):
            raise CannotBring(f"the checkpoint has {classes} classes: LABELS=file names them, one a line")
        return labels
    labels = read_labels(path)
    if len(labels) != classes:
        raise CannotBring(f"LABELS={path.name}: {len(labels)} labels for {classes} classes")
    return labels


def _official(about: Network, cache: Path) -> Path:
    """The publisher's file, fetched if the cache has it not."""
    file = cache / about.url.rpartition("/")[2]
    if not file.exists():
        print(f"downloading {about.url}", file=sys.stderr)
        try:
            _download(about.url, file)
        except (OSError, http.client.HTTPException) as exc:  # URLError is an OSError
            raise CannotBring(
                f"the weights cannot be fetched from here ({exc}): fetch {about.url} elsewhere, put it into "
                ".weights/ as it is named, and run this again"
            ) from exc
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(about.sha256_prefix):
        file.unlink()
        raise CannotBring(f"{about.url}: its digest is {digest[:8]}…, not {about.sha256_prefix}…; it was removed")
    return file


def _download(url: str, file: Path) -> None:
    """Raises OSError, HTTPException: the internet, or the disk. Then there is no file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(url, timeout=60) as response, tempfile.TemporaryDirectory(dir=file.parent) as folder:
        new = Path(folder) / file.name
        with new.open("wb") as out:
            shutil.copyfileobj(response, out)
        # A connection that was lost looks like the end of the file, and X3D's files have no digest to tell.
        length = response.headers["Content-Length"]
        if length and int(length) != new.stat().st_size:
            raise OSError(f"{new.stat().st_size} of {length} bytes came")
        new.rename(file)
