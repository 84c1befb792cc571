"""Bring a model: official weights or one's own checkpoint in, a folder that Triton serves out.

    python -m exporter NAME --models DIR [--as NAME] [--checkpoint FILE --labels FILE] [--sampling clip_length=8,…]

Nothing is installed unless OpenVINO in float32 answers as PyTorch does: every probability within 1e-4, the same top
class, on real or made clips. For a name that is there, the checkpoint becomes its next version.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.metadata
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch

from .checkpoint import BadCheckpoint, class_count, fit, read_weights
from .clips import Clips, clips
from .folder import CannotInstall, as_json, check_same, installed, new_folder, new_version, replace, write
from .kept import keep_weights
from .networks import NETWORKS, Network, Served, kinetics_labels
from .sampling import Sampling

MOST_DIFFERENCE = 1e-4
PARITY_CLIPS = 3
LIBRARIES = ("torch", "torchvision", "pytorchvideo", "openvino")


class CannotExport(Exception):
    """Wrong arguments, no weights, or no parity."""


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
        served = Served(network, about).eval()
        tried = clips(sampling, PARITY_CLIPS, args.videos)
        facts: dict[str, Any] = {"version": there.version + 1 if there else 1, "network": args.name, "source": source}
        facts["sha256"] = keep_weights(args.cache, weights)
        facts["versions"] = {library: importlib.metadata.version(library) for library in LIBRARIES}
        if there:
            with new_version(args.models, as_name, there) as folder:
                facts["parity"] = export(served, tried, folder / "model.onnx")
            earlier = there.facts.pop("earlier", [])
            facts["earlier"] = [there.facts, *earlier]
            replace(args.models, args.models / as_name / "export.json", as_json(facts))
        else:
            with new_folder(args.models, as_name) as folder:
                facts["parity"] = export(served, tried, folder / "1" / "model.onnx")
                precision = args.precision or "f32"
                write(folder, as_name, labels, sampling, f"{args.name}, {classes} classes", precision, facts)
    except (CannotExport, CannotInstall, BadCheckpoint) as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    difference = facts["parity"]["max_difference"]
    print(f"{as_name}: version {facts['version']} installed; largest difference of a probability {difference:.1e}")
    if there:
        print(f"Its engine was chosen for the version before: make engines NAME={as_name} compares anew")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--models", type=Path, required=True, help="the model repository")
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
            args.cache.mkdir(parents=True, exist_ok=True)
            with (
                urllib.request.urlopen(about.url, timeout=60) as answer,
                tempfile.TemporaryDirectory(dir=args.cache) as folder,
            ):
                new = Path(folder) / file.name
                with new.open("wb") as out:
                    shutil.copyfileobj(answer, out)
                new.rename(file)
        except (urllib.error.URLError, OSError) as exc:
            raise CannotExport(
                f"the weights cannot be fetched from here: fetch {about.url} elsewhere and run "
                f"make model NAME={about.name} CHECKPOINT=that file"
            ) from exc
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(about.sha256_prefix):
        file.unlink()
        raise CannotExport(f"{about.url}: its digest is {digest[:8]}…, not {about.sha256_prefix}…; it was removed")
    return file, about.url


def _labels(path: Path | None, classes: int) -> list[str]:
    if path is None:
        labels = kinetics_labels()
        if classes != len(labels):
            raise CannotExport(f"the checkpoint has {classes} classes: LABELS=file names them, one a line")
        return labels
    try:
        labels = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotExport(f"LABELS={path}: it cannot be read as text") from exc
    if len(labels) != classes:
        raise CannotExport(f"LABELS={path}: {len(labels)} labels for {classes} classes")
    return labels


def export(served: Served, tried: Clips, file: Path) -> dict[str, float]:
    """Write the graph and compare it with PyTorch.

    Raises:
        CannotExport: they differ.
    """
    axes = {"frames": {0: "views"}, "probabilities": {0: "views"}}
    names = {"input_names": ["frames"], "output_names": ["probabilities"]}
    example = torch.zeros_like(torch.from_numpy(tried.frames[:1]))
    with torch.no_grad():
        torch.onnx.export(served, (example,), str(file), dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    worst, agreed = 0.0, 0
    for clip in tried.frames:
        with torch.no_grad():
            expected = served(torch.from_numpy(clip[None])).numpy()
        answer = compiled(clip[None])[0]
        worst = max(worst, float(np.abs(answer - expected).max()))
        agreed += int(answer.argmax() == expected.argmax())
    if worst > MOST_DIFFERENCE or agreed < len(tried.frames):
        raise CannotExport(f"OpenVINO differs from PyTorch by {worst:.1e}; {agreed} of {len(tried.frames)} tops agree")
    return {"max_difference": worst, "clips": len(tried.frames), "real_clips": tried.real}


if __name__ == "__main__":
    sys.exit(main())
