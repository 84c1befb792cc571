"""Bring a model: official weights, one's own checkpoint or a trainer's folder in, a folder that Triton serves out.

    python -m exporter NAME --models DIR --staged DIR [--as NAME] [--checkpoint FILE --labels FILE]
        [--sampling clip_length=8,…]
    python -m exporter --from DIR --as NAME --sampling stride=4 --models DIR --staged DIR [--labels FILE]

Nothing is installed unless OpenVINO in this process, and then a Triton that serves the folder from --staged, answer in
float32 as PyTorch does: every probability within 1e-4, the same top class, on real or made clips. For a name that is
there, the checkpoint becomes its next version. The script `run` starts both containers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cliplane.policy.sampling import Sampling

from . import parity, triton
from .brought import Brought, CannotBring, Graph
from .check import check
from .checkpoint import BadCheckpoint
from .clips import clips
from .folder import CannotInstall, check_same, installed, new_folder, put, put_model, put_version, write
from .kept import keep_weights
from .parity import NoParity
from .sampling import NAMES, BadSampling
from .triton import TritonFailed

PARITY_CLIPS = 3
LIBRARIES = ("torch", "torchvision", "pytorchvideo", "transformers", "openvino")


def main() -> int:
    try:
        args = _arguments()
        as_name = args.as_name or args.name
        there = installed(args.models, as_name)
        if there and args.precision:
            raise CannotBring(f"PRECISION is of a new model; {as_name!r} is there: make engines NAME={as_name}")
        brought = _brought(args, there.sampling if there else None)
        if there:
            check_same(as_name, there, brought)
        checked = check(args.check, brought.sampling) if args.check else None
        version = there.version + 1 if there else 1
        with new_folder(args.staged, as_name, version) as folder:
            write(folder, as_name, brought, "f32")
            tried = clips(brought.sampling, PARITY_CLIPS, args.videos)
            folder, differences = _compared(brought.graph, tried.frames, folder, version)
            facts: dict[str, Any] = {
                "version": version,
                "network": brought.network,
                "source": brought.source,
                "sha256": keep_weights(args.cache, brought.weights),
                "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
                "parity": {"clips": len(tried.frames), "real_clips": tried.real, "max_difference": differences},
            }
            if checked:
                facts["sampling"] = checked
            if there:
                earlier = there.facts.pop("earlier", [])
                put_version(folder, args.models / as_name, version, facts | {"earlier": [there.facts, *earlier]})
            else:
                if args.precision == "bf16":
                    write(folder, as_name, brought, "bf16")
                put_model(folder, args.models / as_name, facts)
    except (CannotBring, CannotInstall, BadCheckpoint, BadSampling, NoParity, TritonFailed) as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    print(
        f"{as_name}: version {version} installed; largest difference of a probability from {brought.graph.library}'s: ",
        end="",
    )
    print(", ".join(f"{difference:.1e} in {who}" for who, difference in differences.items()))
    if there:
        print(f"Its engine was chosen for the version before: make engines NAME={as_name} compares anew")
    return 0


def _brought(args: argparse.Namespace, default: Sampling | None) -> Brought:
    # Each imports a library that takes seconds, and that the others do without.
    if args.onnx:
        from . import onnx_file

        return onnx_file.bring(
            args.onnx, args.labels, args.sampling, default, args.normalise, args.activation, args.thresholds
        )
    if args.folder:
        from . import huggingface

        return huggingface.bring(args.folder, args.labels, args.sampling, default, args.staged)
    from . import named

    return named.bring(args.name, args.checkpoint, args.labels, args.sampling, default, args.cache)


def _compared(graph: Graph, frames: np.ndarray, folder: Path, version: int) -> tuple[Path, dict[str, float]]:
    """Export the graph, and show the folder to the Triton beside this container when OpenVINO agrees on it.

    Gives the folder's new place, and for each of the two the largest difference of a probability.

    Raises:
        NoParity, TritonFailed: it is not what the library answers.
    """
    expected, library = graph.answers(frames), graph.library
    file = folder / str(version) / "model.onnx"
    graph.export(frames, file)
    found = parity.of_openvino(file, frames)
    differences = {"openvino": parity.max_difference("OpenVINO", found, expected, library)}
    shown = folder.parent / "models" / folder.name
    put(folder, shown)
    answers = triton.infer(folder.name, version, frames)
    differences["triton"] = parity.max_difference("Triton", answers, expected, library)
    return shown, differences


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of networks.py")
    parser.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="what Hugging Face's Trainer saved")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="a graph, with --normalise and perhaps --activation")
    parser.add_argument("--normalise", default="", help="none, scale, or mean=r/g/b,std=r/g/b of pixels from 0 to 1")
    parser.add_argument(
        "--activation",
        choices=("softmax", "sigmoid", "none"),
        help="what makes probabilities of its output; none: it has them",
    )
    parser.add_argument("--models", type=Path, required=True, help="the model repository")
    parser.add_argument("--staged", type=Path, required=True, help="on its disk; a Triton serves DIR/models from there")
    parser.add_argument("--as", dest="as_name", help="another name in the repository")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--labels", type=Path, help="one label a line, in the order of the classes")
    parser.add_argument("--thresholds", type=Path, help="of an ONNX graph's labels: a number from 0 to 1 a line")
    parser.add_argument("--sampling", default="", help="clip_length=8,… of " + ", ".join(NAMES))
    parser.add_argument("--check", type=Path, metavar="FILE", help="the trainer's sampler, or frames it has taken")
    parser.add_argument("--precision", choices=("f32", "bf16"), help="of OpenVINO, f32 if not given; parity is f32's")
    parser.add_argument("--cache", type=Path, default=Path("/cache"), help="where weights are kept")
    parser.add_argument("--videos", type=Path, default=Path("/videos"), help="real clips for the parity")
    args = parser.parse_args()
    if args.as_name and not args.as_name.replace("_", "").replace("-", "").isalnum():
        raise CannotBring(f"AS={args.as_name}: letters, digits, _ and -")
    whole = [word for word, value in (("FROM", args.folder), ("ONNX", args.onnx)) if value is not None]
    if len(whole) > 1 or (whole and (args.name or args.checkpoint)):
        raise CannotBring(f"{whole[0]} has its network and its weights: it stands alone, without NAME and CHECKPOINT")
    if not args.onnx and (args.normalise or args.activation or args.thresholds):
        raise CannotBring(
            "NORMALISE, ACTIVATION, THRESHOLDS are for ONNX: the others say it themselves, a folder in thresholds.txt"
        )
    if not whole and not args.name and not args.checkpoint:
        raise CannotBring(
            "it needs NAME=, a network's, CHECKPOINT=, its weights, or FROM=, the folder that a trainer saved"
        )
    if args.name is None and not args.as_name:
        raise CannotBring("it needs AS=, the model's name here")
    return args


if __name__ == "__main__":
    sys.exit(main())
