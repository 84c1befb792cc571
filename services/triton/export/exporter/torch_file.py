"""A TorchScript archive or an ExportedProgram, TORCH=file, as an ONNX graph: `python -m exporter.torch_file FILE OUT`.

To read either is to run what is in it: TorchScript is a program, and the shapes of an ExportedProgram are expressions
that are evaluated. So this is done in a container of its own, which sees the file and the folder of OUT and nothing
else: not the repository, not the weights, no network (`run`; ADR 35). The graph that comes out is then brought as any
other, by `onnx_file.py`, in which nothing of the file is left that could run.

TorchScript says no shapes: `--sampling` has clip_length and crop. An ExportedProgram says them.
"""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from .brought import CannotBring
from .parity import NoParity
from .sampling import BadSampling, changes

CLIPS = 3
MAX_DIFFERENCE = 1e-4
"""Of an output, by its largest magnitude: it may be logits."""

_LAYOUTS = ("NCTHW", "NTCHW", "NTHWC")
_OTHERWISE = "torch.export.save, or ONNX=, or a state_dict as CHECKPOINT= of a network that is known here"


class _Called(nn.Module):
    """A program as a module whose parts the exporter does not look at: some may not be asked to `train()`."""

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = (program,)

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.program[0](pixels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sampling", default="")
    args = parser.parse_args()
    try:
        program, shape = read(args.file, args.sampling)
        export(args.file.name, program, shape, args.out)
    except (CannotBring, NoParity, BadSampling) as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    return 0


def read(file: Path, sampling: str) -> tuple[Any, tuple[int, ...]]:
    """The program, and the shape of one view.

    Raises:
        CannotBring: it is neither, or takes something else than clips of frames.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as exc:
        raise CannotBring(f"{file.name}: it is cut off, or no archive of PyTorch's: {_OTHERWISE}") from exc
    if names & {"archive_format", "serialized_exported_program.json"}:
        return _exported(file)
    if any(name.startswith("code/") for name in names):
        return _script(file, sampling)
    raise CannotBring(
        f"{file.name}: it is a pickle (torch.save), which may hold any code, and is not read: {_OTHERWISE}"
    )


def _exported(file: Path) -> tuple[Any, tuple[int, ...]]:
    try:
        # Some of its tensors are pickles, which torch.export.load would run.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        program = torch.export.load(file)
        inputs = [node for node in program.graph.nodes if node.name in set(program.graph_signature.user_inputs)]
        tensors = [node.meta["val"] for node in inputs]
    except Exception as exc:  # whatever it stumbles over
        why = "its pickles hold more than tensors" if "Weights only load" in str(exc) else _first_line(exc)
        raise CannotBring(f"{file.name}: it is no ExportedProgram that can be read: {why}") from exc
    if len(tensors) != 1 or not isinstance(tensors[0], torch.Tensor) or tensors[0].dtype != torch.float32:
        raise CannotBring(f"{file.name}: it has {len(tensors)} inputs; here it is one, float32 clips of frames")
    (shape,) = (tuple(tensor.shape) for tensor in tensors)
    shown = " × ".join(map(str, shape))
    is_free = len(shape) > 0 and not isinstance(shape[0], int)
    if len(shape) != 5 or not all(isinstance(size, int) for size in shape[1:]) or not (is_free or shape[0] == 1):
        raise CannotBring(
            f"{file.name}: its input is {shown}; all but the first of five are fixed, and that is free or 1"
        )
    return program.module(check_guards=False), (1, *map(int, shape[1:]))


def _script(file: Path, sampling: str) -> tuple[Any, tuple[int, ...]]:
    told = changes(sampling)
    if not {"clip_length", "crop"} <= set(told):
        raise CannotBring(f"{file.name}: TorchScript says no shapes: SAMPLING=clip_length=FRAMES,crop=PIXELS,…")
    try:
        program = torch.jit.load(str(file), map_location="cpu").eval()
    except Exception as exc:  # of garbage, it raises whatever it stumbles over
        raise CannotBring(f"{file.name}: it is no TorchScript that can be read: {_first_line(exc)}") from exc
    length, side = told["clip_length"], told["crop"]
    taken: list[tuple[int, ...]] = []
    wrong = ""
    for layout in _LAYOUTS:
        shape = tuple({"N": 1, "C": 3, "T": length}.get(axis, side) for axis in layout)
        try:
            _outputs(program, torch.zeros(shape))
        except Exception as exc:  # whatever its code raises
            wrong = _last_line(exc)
        else:
            taken.append(shape)
    if not taken:
        raise CannotBring(f"{file.name}: it takes no clips of {length} frames of {side} pixels in any order: {wrong}")
    if len(set(taken)) > 1:
        shown = " and ".join(" × ".join(map(str, shape)) for shape in taken)
        raise CannotBring(f"{file.name}: it takes {shown}, and does not say which it means: {_OTHERWISE}")
    return program, taken[0]


def _outputs(program: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Its answer. Raises ValueError: it is not float32 of (views, classes)."""
    with torch.no_grad():
        found = program(pixels)
    if not isinstance(found, torch.Tensor) or found.dtype != torch.float32:
        raise ValueError("it answers no float32 tensor")
    if found.dim() != 2 or len(found) != len(pixels) or found.shape[1] < 2:
        raise ValueError(f"it answers {' × '.join(map(str, found.shape))}, not views × classes")
    return found


def export(name: str, program: Any, shape: tuple[int, ...], out: Path) -> None:
    """Write the graph of one view, and compare ONNX Runtime's answers with PyTorch's.

    Raises:
        CannotBring: it cannot be written as a graph.
        NoParity: the graph answers otherwise.
    """
    torch.backends.mha.set_fastpath_enabled(False)  # what it calls is no operation of ONNX
    example = torch.zeros(shape)
    try:
        # The operations that are called for one view, as the program came: neither control flow nor free sizes.
        graph: Any = make_fx(program, pre_dispatch=True)(example)
        for tensor in (*graph.parameters(), *graph.buffers()):
            tensor.requires_grad_(False)
        for key, value in list(vars(graph).items()):
            if isinstance(value, torch.Tensor):
                setattr(graph, key, value.detach())
        with torch.no_grad():
            torch.onnx.export(
                _Called(graph),
                (example,),
                str(out),
                dynamo=False,
                opset_version=17,
                input_names=["frames"],
                output_names=["answers"],
            )
        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    except Exception as exc:  # whatever a program stumbles over that it was not written for
        raise CannotBring(f"{name}: it cannot be written as a graph: {_first_line(exc)}: {_OTHERWISE}") from exc
    generator = torch.Generator().manual_seed(0)
    for k in range(CLIPS):
        pixels = torch.randn(shape, generator=generator) * (k + 1) / CLIPS
        try:
            expected = _outputs(program, pixels).numpy()
        except Exception as exc:
            raise CannotBring(f"{name}: {_last_line(exc)}") from exc
        (found,) = session.run(None, {"frames": pixels.numpy()})
        difference = np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max()))
        if not difference <= MAX_DIFFERENCE:  # `not`: NaN is not more than anything
            raise NoParity(f"ONNX Runtime differs from {name} by {difference:.1e}")


def _first_line(exc: Exception) -> str:
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)[:300]


def _last_line(exc: Exception) -> str:
    """Of TorchScript's errors the last one says what happened."""
    return next((line.strip() for line in reversed(str(exc).splitlines()) if line.strip()), type(exc).__name__)[:300]


if __name__ == "__main__":
    sys.exit(main())
