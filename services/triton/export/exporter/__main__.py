"""Bring a model: official weights or one's own checkpoint in, a folder that Triton serves out.

    python -m exporter NAME --models DIR --staged DIR [--as NAME] [--checkpoint FILE --labels FILE]
        [--sampling clip_length=8,…]

Nothing is installed unless OpenVINO in this process, and then a Triton that serves the folder from --staged, answer in
float32 as PyTorch does: every probability within 1e-4, the same top class, on real or made clips. For a name that is
there, the checkpoint becomes its next version. The script `run` starts both containers.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import http.client
import importlib.metadata
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

from . import parity, triton
from .checkpoint import BadCheckpoint, class_count, fit, read_weights
from .clips import clips
from .folder import CannotInstall, check_same, installed, new_folder, put, put_model, put_version, write
from .kept import keep_weights
from .networks import NETWORKS, Network, Served, kinetics_labels
from .parity import NoParity
from .sampling import Sampling
from .triton import TritonFailed

PARITY_CLIPS = 3
LIBRARIES = ("torch", "torchvision", "pytorchvideo", "openvino")


class CannotExport(Exception):
    """Wrong arguments, or no weights."""


def main() -> int:
    try:
        args = _arguments()
        about = NETWORKS[args.name]
        as_name = args.as_name or args.name
        there = installed(args.models, as_name)
        if there and args.precision:
            raise CannotExport(f"PRECISION is of a new model; {as_name!r} is there: make engines NAME={as_name}")
        sampling = _sampling(there.sampling if there else about.sampling, args.sampling)
        weights, source = _weights(about, args)
        tensors = read_weights(weights)
        classes = class_count(tensors, about.head_weight)
        labels = _labels(args.labels, classes)
        if there:
            check_same(as_name, there, args.name, labels, sampling)
        network = about.build(classes, sampling)
        fit(network, tensors)
        version, description = there.version + 1 if there else 1, f"{args.name}, {classes} classes"
        with new_folder(args.staged, as_name, version) as folder:
            write(folder, as_name, labels, sampling, description, "f32")
            tried = clips(sampling, PARITY_CLIPS, args.videos)
            folder, differences = _compared(Served(network, about).eval(), tried.frames, folder, version)
            facts = {
                "version": version,
                "network": args.name,
                "source": source,
                "sha256": keep_weights(args.cache, weights),
                "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
                "parity": {"clips": len(tried.frames), "real_clips": tried.real, "max_difference": differences},
            }
            if there:
                earlier = there.facts.pop("earlier", [])
                put_version(folder, args.models / as_name, version, facts | {"earlier": [there.facts, *earlier]})
            else:
                if args.precision == "bf16":
                    write(folder, as_name, labels, sampling, description, "bf16")
                put_model(folder, args.models / as_name, facts)
    except (CannotExport, CannotInstall, BadCheckpoint, NoParity, TritonFailed) as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    print(f"{as_name}: version {version} installed; largest difference of a probability from PyTorch's: ", end="")
    print(", ".join(f"{difference:.1e} in {who}" for who, difference in differences.items()))
    if there:
        print(f"Its engine was chosen for the version before: make engines NAME={as_name} compares anew")
    return 0


def _compared(served: Served, frames: np.ndarray, folder: Path, version: int) -> tuple[Path, dict[str, float]]:
    """Export the graph, and show the folder to the Triton beside this container when OpenVINO agrees on it.

    Gives the folder's new place, and for each of the two the largest difference of a probability.

    Raises:
        NoParity, TritonFailed: it is not what PyTorch answers.
    """
    expected = parity.of_pytorch(served, frames)
    graph = folder / str(version) / "model.onnx"
    parity.export(served, frames, graph)
    differences = {"openvino": parity.largest_difference("OpenVINO", parity.of_openvino(graph, frames), expected)}
    shown = folder.parent / "models" / folder.name
    put(folder, shown)
    answers = triton.answers(folder.name, version, frames)
    differences["triton"] = parity.largest_difference("Triton", answers, expected)
    return shown, differences


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--models", type=Path, required=True, help="the model repository")
    parser.add_argument("--staged", type=Path, required=True, help="on its disk; a Triton serves DIR/models from there")
    parser.add_argument("--as", dest="as_name", help="another name in the repository")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--labels", type=Path, help="one label a line, in the order of the classes")
    parser.add_argument("--sampling", default="", help="clip_length=8,… of " + ", ".join(Sampling.__dataclass_fields__))
    parser.add_argument("--precision", choices=("f32", "bf16"), help="of OpenVINO, f32 if not given; parity is f32's")
    parser.add_argument("--cache", type=Path, default=Path("/cache"), help="where weights are kept")
    parser.add_argument("--videos", type=Path, default=Path("/videos"), help="real clips for the parity")
    args = parser.parse_args()
    if args.as_name and not args.as_name.replace("_", "").replace("-", "").isalnum():
        raise CannotExport(f"AS={args.as_name}: letters, digits, _ and -")
    return args


def _sampling(default: Sampling, text: str) -> Sampling:
    changes = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        name = "temporal_stride" if name == "stride" else name
        if name not in Sampling.__dataclass_fields__ or not value.isdigit() or int(value) < 1:
            raise CannotExport(f"SAMPLING: {part!r}; it is {', '.join(Sampling.__dataclass_fields__)}=whole number")
        changes[name] = int(value)
    sampling = dataclasses.replace(default, **changes)
    if sampling.crop > sampling.short_side:
        raise CannotExport(f"SAMPLING: a crop of {sampling.crop} does not fit a short side of {sampling.short_side}")
    if sampling.crops not in (1, 3):
        raise CannotExport("SAMPLING: crops is 1 or 3")
    return sampling


def _weights(about: Network, args: argparse.Namespace) -> tuple[Path, str]:
    """The file of weights, and where it came from."""
    if args.checkpoint:
        return args.checkpoint, args.checkpoint.name
    file = args.cache / about.url.rpartition("/")[2]
    if not file.exists():
        print(f"downloading {about.url}", file=sys.stderr)
        try:
            _download(about.url, file)
        except (OSError, http.client.HTTPException) as exc:  # URLError is an OSError
            raise CannotExport(
                f"the weights cannot be fetched from here ({exc}): fetch {about.url} elsewhere, put it into "
                ".weights/ as it is named, and run this again"
            ) from exc
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(about.sha256_prefix):
        file.unlink()
        raise CannotExport(f"{about.url}: its digest is {digest[:8]}…, not {about.sha256_prefix}…; it was removed")
    return file, about.url


def _download(url: str, file: Path) -> None:
    """Raises OSError, HTTPException: the internet, or the disk. Then there is no file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(url, timeout=60) as answer, tempfile.TemporaryDirectory(dir=file.parent) as folder:
        new = Path(folder) / file.name
        with new.open("wb") as out:
            shutil.copyfileobj(answer, out)
        # A connection that was lost looks like the end of the file, and X3D's files have no digest to tell.
        length = answer.headers["Content-Length"]
        if length and int(length) != new.stat().st_size:
            raise OSError(f"{new.stat().st_size} of {length} bytes came")
        new.rename(file)


def _labels(path: Path | None, classes: int) -> list[str]:
    if path is None:
        labels = kinetics_labels()
        if classes != len(labels):
            raise CannotExport(f"the checkpoint has {classes} classes: LABELS=file names them, one a line")
        return labels
    try:
        labels = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotExport(f"LABELS={path.name}: it cannot be read as text") from exc
    if len(labels) != classes:
        raise CannotExport(f"LABELS={path.name}: {len(labels)} labels for {classes} classes")
    return labels


if __name__ == "__main__":
    sys.exit(main())
