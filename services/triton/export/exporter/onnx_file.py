"""A graph of one's own, ONNX=file: whatever trained it, it becomes uint8 in and probabilities out, and is compared with
ONNX Runtime's answers to the graph as it came.

A graph says its shapes and nothing else: NORMALISE and SAMPLING are told, and ACTIVATION unless it ends in a softmax or
sigmoid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from cliplane.policy.sampling import Sampling
from onnx import TensorProto, helper, numpy_helper

from .brought import Brought, CannotBring, read_labels, read_thresholds
from .normalise import Normalisation, read_normalisation
from .parity import NoParity
from .sampling import changed, changes, named

_AXES = {"NCTHW": (0, 4, 1, 2, 3), "NTCHW": (0, 1, 4, 2, 3), "NTHWC": (0, 1, 2, 3, 4)}
_ENDS = ("Softmax", "Sigmoid")
ACTIVATIONS = ("softmax", "sigmoid", "none")
_INNER = "network/"  # before each name of the graph that came, so that none is one of ours


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """`layout`: of its input; `clip`: T and side of it; `views`: 1, or None where their number is free."""

    file: Path
    layout: str
    clip: tuple[int, int]
    views: int | None
    classes: int
    normalisation: Normalisation
    activation: str
    library: str = "ONNX Runtime"

    def answers(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities, (views, classes) float32, of the graph as it came. The frames, (views, T, H, W, 3) uint8, are
        normalised here, by NumPy.

        Raises:
            NoParity: there are none.
        """
        session = onnxruntime.InferenceSession(str(self.file), providers=["CPUExecutionProvider"])
        mean, std = self._colours()
        pixels = np.transpose((frames.astype(np.float32) - mean) / std, _AXES[self.layout])
        name = session.get_inputs()[0].name
        try:
            output = np.concatenate([session.run(None, {name: view[None]})[0] for view in np.ascontiguousarray(pixels)])
        except Exception as exc:  # whatever ONNX Runtime raises is why it cannot run the graph
            raise NoParity(f"ONNX Runtime cannot run this graph: {str(exc).splitlines()[0]}") from exc
        if not np.isfinite(output).all():
            raise NoParity("ONNX Runtime's answers are no numbers (NaN or infinite)")
        if self.activation == "none" and (output.min() < -1e-4 or output.max() > 1 + 1e-4):
            raise NoParity(
                f"its output is no probabilities, from {output.min():.2f} to {output.max():.2f}: ACTIVATION=softmax?"
            )
        match self.activation:
            case "softmax":
                raised = np.exp(output - output.max(1, keepdims=True))
                output = raised / raised.sum(1, keepdims=True)
            case "sigmoid":
                output = 1 / (1 + np.exp(-output))
        return output

    def _colours(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.normalisation.mean, np.float32), np.array(self.normalisation.std, np.float32)

    def export(self, _frames: np.ndarray, file: Path) -> None:
        """Write the graph with what is before and behind it."""
        model = onnx.compose.add_prefix(onnx.load(self.file), _INNER)
        graph = model.graph
        source, sink = graph.input[0].name, graph.output[0].name
        length, side = self.clip
        views = self.views or "views"
        before = [
            helper.make_node("Cast", ["frames"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["cast", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["pixels"]),
            helper.make_node("Transpose", ["pixels"], [source], perm=_AXES[self.layout]),
        ]
        last = {"softmax": "Softmax", "sigmoid": "Sigmoid", "none": "Identity"}[self.activation]
        options: dict[str, Any] = {"axis": 1} if last == "Softmax" else {}
        behind = helper.make_node(last, [sink], ["probabilities"], **options)
        for name, values in zip(("mean", "std"), self._colours(), strict=True):
            graph.initializer.append(numpy_helper.from_array(values, name))
        nodes = [*before, *graph.node, behind]
        del graph.node[:], graph.input[:], graph.output[:]
        graph.node.extend(nodes)
        graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, [views, length, side, side, 3]))
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [views, self.classes]))
        onnx.save(model, file)


def bring(
    file: Path,
    labels: Path | None,
    sampling: str,
    default: Sampling | None,
    normalise: str,
    activation: str | None,
    thresholds: Path | None = None,
) -> Brought:
    """A file that is one graph. `default` is the sampling that the repository's model of this name has.

    Raises:
        CannotBring, BadSampling: it is not to be served, or not told how.
    """
    model = _read(file)
    views, length, side, layout = _input(file.name, model)
    classes = _classes(file.name, model)
    if labels is None:
        raise CannotBring(f"{file.name} has {classes} classes: LABELS=file names them, one a line")
    names = read_labels(labels)
    if len(names) != classes:
        raise CannotBring(f"LABELS={labels.name}: {len(names)} labels for {classes} classes")
    cut = _sampling(sampling, default, length, side)
    activation, is_multi_label = _activation(model, activation)
    if thresholds and not is_multi_label:
        raise CannotBring(f"THRESHOLDS={thresholds.name}: of a softmax one label is answered, and needs no threshold")
    graph = OnnxFile(file, layout, (length, side), views, classes, read_normalisation(normalise), activation)
    least = read_thresholds(thresholds, classes) if thresholds else ()
    return Brought("onnx", graph, names, cut, file, file.name, is_multi_label, least)


def _read(file: Path) -> Any:
    try:
        model = onnx.load(file, load_external_data=False)
        is_whole = all(tensor.data_location != TensorProto.EXTERNAL for tensor in model.graph.initializer)
        if is_whole:
            onnx.checker.check_model(model)
    except Exception as exc:  # of garbage, protobuf and the checker raise whatever they stumble over
        raise CannotBring(f"{file.name}: it is cut off, or not an ONNX graph") from exc
    if not is_whole:
        raise CannotBring(f"{file.name}: its weights are in another file: save it whole (save_as_external_data=False)")
    return model


def _input(name: str, model: Any) -> tuple[int | None, int, int, str]:
    """(views, T, side, layout)."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in given]
    if len(inputs) != 1:
        raise CannotBring(
            f"{name}: it has {len(inputs)} inputs, {', '.join(one.name for one in inputs)}; here it is one"
        )
    tensor = inputs[0].type.tensor_type
    shape: list[Any] = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
    shown = " × ".join(map(str, shape))
    if tensor.elem_type != TensorProto.FLOAT or len(shape) != 5:
        raise CannotBring(f"{name}: its input is {shown}; here it is float32 of five dimensions, clips of frames")
    views, *sizes = shape
    if not all(isinstance(size, int) for size in sizes) or (isinstance(views, int) and views != 1):
        raise CannotBring(f"{name}: its input is {shown}; all but the first are fixed, and that is free or 1")
    layouts = [layout for layout in _AXES if sizes[layout.index("C") - 1] == 3]
    if len(layouts) != 1:
        raise CannotBring(f"{name}: its input is {shown}; one of its dimensions, and only one, is 3, the colours")
    (layout,) = layouts
    length, height, width = (sizes[layout.index(axis) - 1] for axis in "THW")
    if height != width:
        raise CannotBring(f"{name}: its frames are {height} × {width}; here they are squares")
    return (1 if views == 1 else None), length, height, layout


def _classes(name: str, model: Any) -> int:
    tensor = model.graph.output[0].type.tensor_type
    shape = [dim.dim_value for dim in tensor.shape.dim]
    if len(model.graph.output) != 1 or len(shape) != 2 or shape[1] < 2 or tensor.elem_type != TensorProto.FLOAT:
        raise CannotBring(f"{name}: its output is not one float32 of views × classes")
    return int(shape[1])


def _activation(model: Any, told: str | None) -> tuple[str, bool]:
    """(what makes probabilities of the output, whether they are of any number of labels)."""
    end = next((node.op_type for node in model.graph.node if model.graph.output[0].name in node.output), "")
    if told is None and end not in _ENDS:
        raise CannotBring(
            f"it ends in {end or 'no operation'}, which says nothing of its output: ACTIVATION={'|'.join(ACTIVATIONS)}"
        )
    return told or "none", told == "sigmoid" or (told != "softmax" and end == "Sigmoid")


def _sampling(text: str, there: Sampling | None, length: int, side: int) -> Sampling:
    asked = changes(text)
    own = Sampling(length, 1, side, side, side, clips=1, crops=1)
    for name in ("clip_length", "crop"):
        if asked.get(name, named(own)[name]) != named(own)[name]:
            raise CannotBring(f"SAMPLING: {name} is the graph's, {named(own)[name]}")
    is_told = "temporal_stride" in asked or asked.get("mode", "stride") != "stride"
    if there is None and not (is_told and "short_side" in asked):
        raise CannotBring(
            f"a graph does not say how its {length} frames of {side} pixels are cut: "
            "SAMPLING=stride=N (or mode=uniform, mode=segments),short_side=PIXELS, as in its training"
        )
    return changed(there or own, text)
