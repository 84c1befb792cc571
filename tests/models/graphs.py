"""Runs in the exporter's image: graphs as they come from elsewhere, of each layout, with and without a softmax of their
own, one view at a time or any number; then those that are not understood. Prints what came of each, as JSON.

    python graphs.py WORK
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from exporter import onnx_file, parity, torch_file
from exporter.brought import CannotBring
from exporter.parity import NoParity
from torch import nn

FRAMES, SIDE, CLASSES = 4, 32, 5
NORMALISE = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
SAMPLING = "stride=2,short_side=36"


class Net(nn.Module):
    """A small one, of pixels (N, …) in `layout`."""

    def __init__(self, layout: str, end: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.order = [layout.index(axis) for axis in "NCTHW"]
        self.conv = nn.Conv3d(3, 8, 3, stride=2)
        self.head = nn.Linear(8, CLASSES)
        self.end = end

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.conv(pixels.permute(self.order))).mean((2, 3, 4))
        return self.end(20 * self.head(features))


def _same(output: torch.Tensor) -> torch.Tensor:
    return output


def _softmax(output: torch.Tensor) -> torch.Tensor:
    return torch.softmax(output, 1)


def save(file: Path, layout: str, end: Callable[[torch.Tensor], torch.Tensor] = _same, free: bool = True) -> None:
    sizes = {"N": 1, "C": 3, "T": FRAMES, "H": SIDE, "W": SIDE}
    example = torch.zeros([sizes[axis] for axis in layout])
    axes: dict[str, Any] = {"dynamic_axes": {"frames": {0: "n"}, "out": {0: "n"}}} if free else {}
    # Named as what is put before and behind it.
    names = {"input_names": ["frames"], "output_names": ["out"]}
    torch.onnx.export(Net(layout, end).eval(), (example,), str(file), dynamo=False, opset_version=17, **names, **axes)


def compared(file: Path, activation: str | None) -> dict[str, Any]:
    brought = onnx_file.bring(file, file.parent / "labels.txt", SAMPLING, None, NORMALISE, activation)
    frames = np.random.default_rng(0).integers(0, 256, (3, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    frames[1] //= 4
    expected = brought.graph.answers(frames)
    out = file.with_suffix(".served.onnx")
    brought.graph.export(frames, out)
    return {
        "difference": float(np.abs(parity.of_openvino(out, frames) - expected).max()),
        "spread": float(expected.std(0).max()),
        "sum": float(expected.sum(1).max()),
    }


def refused(work: Path) -> dict[str, str]:
    labels, good = work / "labels.txt", work / "NCTHW.onnx"
    (work / "cut.onnx").write_bytes(good.read_bytes()[:500])
    (work / "text.onnx").write_text("no graph")
    changed: dict[str, Callable[[Any], None]] = {
        "free frames": lambda graph: graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value"),
        "two colours": lambda graph: _set(graph.input[0], 1, 2),
        "three frames": lambda graph: _set(graph.input[0], 2, 3),
        "two views": lambda graph: _set(graph.input[0], 0, 2),
        "no square": lambda graph: _set(graph.input[0], 3, 40),
    }
    for name, change in changed.items():
        model = onnx.load(good)
        change(model.graph)
        onnx.save(model, work / f"{name}.onnx")
    onnx.save(onnx.load(good), work / "outside.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (work / "three.txt").write_text("a\nb\nc\n")
    cases: dict[str, tuple[Any, ...]] = {
        **{name: (work / f"{name}.onnx", labels, SAMPLING, None, NORMALISE, "softmax") for name in changed},
        "cut": (work / "cut.onnx", labels, SAMPLING, None, NORMALISE, "softmax"),
        "text": (work / "text.onnx", labels, SAMPLING, None, NORMALISE, "softmax"),
        "outside": (work / "outside.onnx", labels, SAMPLING, None, NORMALISE, "softmax"),
        "no normalisation": (good, labels, SAMPLING, None, "", "softmax"),
        "two means": (good, labels, SAMPLING, None, "mean=0.5/0.5,std=1/1/1", "softmax"),
        "no deviation": (good, labels, SAMPLING, None, "mean=0.5/0.5/0.5,std=0/1/1", "softmax"),
        "no activation": (good, labels, SAMPLING, None, NORMALISE, None),
        "no sampling": (good, labels, "", None, NORMALISE, "softmax"),
        "another clip": (good, labels, SAMPLING + ",clip_length=8", None, NORMALISE, "softmax"),
        "no labels": (good, None, SAMPLING, None, NORMALISE, "softmax"),
        "three labels": (good, work / "three.txt", SAMPLING, None, NORMALISE, "softmax"),
        "no probabilities": (good, labels, SAMPLING, None, NORMALISE, "none"),
    }
    said = {}
    for name, case in cases.items():
        try:
            onnx_file.bring(*case).graph.answers(np.zeros((1, FRAMES, SIDE, SIDE, 3), np.uint8))
        except (CannotBring, NoParity) as error:
            said[name] = str(error)
        else:
            said[name] = ""
    return said


def _set(tensor: Any, axis: int, size: int) -> None:
    tensor.type.tensor_type.shape.dim[axis].dim_value = size


class Evil:
    """Its file, unpickled, makes the file `harm`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{sys.argv[1]}/harm'",)


def save_programs(work: Path) -> None:
    """The same network as TorchScript, by script and by trace, and exported, with one view and any number of them."""
    example, network = torch.zeros((1, 3, FRAMES, SIDE, SIDE)), Net("NCTHW", _same).eval()
    torch.jit.save(torch.jit.script(network), work / "script.pt")
    torch.jit.save(torch.jit.trace(Net("NTHWC", _same).eval(), example.permute(0, 2, 3, 4, 1)), work / "trace.pt")
    torch.export.save(torch.export.export(network, (example,)), work / "one.pt2")
    free = {"pixels": {0: torch.export.Dim("views")}}
    torch.export.save(
        torch.export.export(network, (torch.zeros((2, *example.shape[1:])),), dynamic_shapes=free), work / "any.pt2"
    )
    torch.export.save(torch.export.export(network, (torch.zeros((2, *example.shape[1:])),)), work / "two.pt2")


def program(file: Path, sampling: str = f"clip_length={FRAMES},crop={SIDE}") -> dict[str, Any]:
    """What comes of it as a graph, against the network that it was made of."""
    out = file.with_name(f"{file.name}.onnx")
    torch_file.export(file.name, *torch_file.read(file, sampling), out)
    brought = onnx_file.bring(out, file.parent / "labels.txt", SAMPLING, None, "scale", "softmax")
    frames = np.random.default_rng(0).integers(0, 256, (3, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    frames[1] //= 4
    with torch.no_grad():
        own = Net("NTHWC", _same).eval()(torch.from_numpy(frames).to(torch.float32) / 255)
    found = brought.graph.answers(frames)
    return {
        "difference": float(np.abs(found - torch.softmax(own, 1).numpy()).max()),
        "spread": float(found.std(0).max()),
    }


def refused_programs(work: Path) -> dict[str, str]:
    torch.save(Evil(), work / "pickle.pt")
    (work / "cut.pt2").write_bytes((work / "one.pt2").read_bytes()[:2000])
    # Each of its tensors a pickle that wants to run something.
    with zipfile.ZipFile(work / "one.pt2") as good, zipfile.ZipFile(work / "evil.pt2", "w") as evil:
        for name in good.namelist():
            evil.writestr(name, pickle.dumps(Evil()) if name.endswith(".pt") else good.read(name))
    torch.jit.save(torch.jit.script(_Pooled().eval()), work / "ambiguous.pt")
    said = {}
    for file, sampling in (
        ("pickle.pt", ""),
        ("cut.pt2", ""),
        ("evil.pt2", ""),
        ("two.pt2", ""),
        ("text.onnx", ""),
        ("script.pt", ""),
        ("script.pt", f"clip_length={FRAMES},crop=1"),
        ("ambiguous.pt", f"clip_length={FRAMES},crop={SIDE}"),
    ):
        try:
            program(work / file, sampling)
        except (CannotBring, NoParity) as error:
            said[f"{file} {sampling}".strip()] = str(error)
        else:
            said[f"{file} {sampling}".strip()] = ""
    return said


class _Pooled(nn.Module):
    """It takes whatever there is."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1)[:, :5]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    (place / "labels.txt").write_text("".join(f"class {k}\n" for k in range(CLASSES)))
    found = {}
    for one in ("NCTHW", "NTCHW", "NTHWC"):
        save(place / f"{one}.onnx", one)
        found[one] = compared(place / f"{one}.onnx", "softmax")
    found["sigmoid"] = compared(place / "NCTHW.onnx", "sigmoid")
    save(place / "softmax.onnx", "NCTHW", _softmax)
    found["its own softmax"] = compared(place / "softmax.onnx", None)
    save(place / "one.onnx", "NCTHW", free=False)
    found["one view"] = compared(place / "one.onnx", "softmax")
    said = refused(place)
    save_programs(place)
    programs = {file: program(place / file) for file in ("script.pt", "trace.pt", "one.pt2", "any.pt2")}
    said_of_programs = refused_programs(place)
    print(
        json.dumps(
            {
                "compared": found,
                "refused": said,
                "programs": programs,
                "refused programs": said_of_programs,
                "harm": (place / "harm").exists(),
            }
        )
    )
