"""A folder of Hugging Face's Trainer: `config.json`, weights, the processor's file. Read offline; no code in it is run.

The classes are all that AutoModelForVideoClassification maps, whose frames a processor cuts as the service does. What
a folder does not say, the stride, has to be told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from cliplane.policy.sampling import Sampling
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from .brought import Brought, CannotBring, read_labels, read_thresholds
from .checkpoint import BadCheckpoint, refuse_misfits
from .parity import PyTorch
from .processor import read_json, read_preparation
from .sampling import changed, changes, named
from .served import Activation, Served
from .shards import read_shards

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

MAX_FRAMES = 128
"""More than any published model of these classes takes in a clip: TimeSformer-L 96, V-JEPA 2 64."""

_KEPT = "cliplane"  # the only key of the kept file's metadata, so that its digest is always the same


@dataclass(frozen=True, slots=True)
class Class:
    """One `model_type`, and the fields in which its config has the input: frames, side in pixels, channels."""

    network: str
    config: str
    argument: str
    frames: str = "num_frames"
    side: str = "image_size"
    channels: str = "num_channels"
    usual: str = ""


CLASSES = {
    "videomae": Class(
        "VideoMAEForVideoClassification",
        "VideoMAEConfig",
        "pixel_values",
        usual="stride=4,frame_rate=30 for Kinetics, mode=segments for Something-Something",
    ),
    "timesformer": Class(
        "TimesformerForVideoClassification",
        "TimesformerConfig",
        "pixel_values",
        usual="stride=32,frame_rate=30 for 8 frames of Kinetics, a stride of 16 for 16, of 4 for 96; "
        "mode=uniform for Something-Something",
    ),
    "vivit": Class(
        "VivitForVideoClassification",
        "VivitConfig",
        "pixel_values",
        usual="stride=2,frame_rate=25 for 32 frames of Kinetics",
    ),
    "vjepa2": Class(
        "VJEPA2ForVideoClassification",
        "VJEPA2Config",
        "pixel_values_videos",
        frames="frames_per_clip",
        side="crop_size",
        channels="in_chans",
        usual="stride=4,frame_rate=30 for 16 frames; a stride of 2 for 32; mode=segments for Something-Something",
    ),
    "videoprism_vision_model": Class(
        "VideoPrismForVideoClassification",
        "VideoPrismVisionConfig",
        "pixel_values_videos",
        usual="stride=2,frame_rate=30",
    ),
}


class _Logits(nn.Module):
    """One of transformers' networks, which takes pixels by name, as one that takes pixels."""

    def __init__(self, network: Any, argument: str) -> None:
        super().__init__()
        self.network = network
        self.argument = argument

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**{self.argument: pixels}).logits
        return logits.flatten(1)  # VideoPrism's have a dimension of 1 between


def bring(folder: Path, labels: Path | None, sampling: str, default: Sampling | None, work: Path) -> Brought:
    """What a trainer has saved. `default` is the sampling that the repository's model of this name has; `work` is where
    the file is written that the weights are kept in.

    Raises:
        CannotBring, BadCheckpoint, BadSampling: it is not to be served, and why.
    """
    if not (folder / "config.json").is_file():
        raise CannotBring(f"FROM={folder.name}: it has no config.json, so it is no folder of Hugging Face's")
    said = read_json(folder / "config.json")
    about = _class(said)
    try:
        config = getattr(transformers, about.config).from_dict(said)
    except Exception as exc:  # whatever a library raises at a file that it did not write
        raise CannotBring(f"config.json: it is no {about.config}: {str(exc).splitlines()[0]}") from exc
    names = _labels(said, config, labels)
    activation = _activation(config)
    length, side = _input(config, about)
    preparation = read_preparation(folder)
    if preparation.crop != side:
        raise CannotBring(
            f"the processor cuts {preparation.crop} × {preparation.crop}, and config.json says {about.side} {side}: "
            "they contradict each other"
        )
    cut = _sampling(
        about, sampling, default, Sampling(length, 1, preparation.short_side, side, side, 1, 1, fit=preparation.fit)
    )
    network = _fitted(about, config, read_shards(folder))
    facts = {
        "model_type": config.model_type,
        "config": config.to_json_string(use_diff=False),
        "mean": preparation.mean,
        "std": preparation.std,
        "activation": activation,
        "temperature": _temperature(folder / "calibration.json"),
    }
    weights = work / "weights.safetensors"
    state = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    save_file(state, weights, {_KEPT: json.dumps(facts, sort_keys=True)})
    graph = PyTorch(_served(network, facts))
    return Brought(
        config.model_type,
        graph,
        names,
        cut,
        weights,
        folder.name,
        activation == "sigmoid",
        _thresholds(folder, activation, names),
    )


def read_kept(weights: Path) -> Served:
    """What Triton runs, built again from the file that the weights were kept in.

    Raises:
        BadCheckpoint: it is no such file.
    """
    try:
        with safe_open(weights, "pt") as file:
            facts = json.loads(file.metadata()[_KEPT])
        about = CLASSES[facts["model_type"]]
        config = getattr(transformers, about.config).from_dict(json.loads(facts["config"]))
        network = getattr(transformers, about.network)(config)
        network.load_state_dict(load_file(weights))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise BadCheckpoint(f"{weights.name}: it is not what make model keeps of a folder") from exc
    return _served(network, facts)


def _served(network: Any, facts: dict[str, Any]) -> Served:
    logits = _Logits(network, CLASSES[facts["model_type"]].argument)
    mean, std, temperature = facts["mean"], facts["std"], facts["temperature"]
    return Served(logits, mean, std, "NTCHW", facts["activation"], temperature).eval()


def _class(said: dict[str, Any]) -> Class:
    kind = said.get("model_type")
    about = CLASSES.get(str(kind))
    if about is None:
        raise CannotBring(f"config.json: model_type is {kind!r}; it is one of {', '.join(CLASSES)}")
    built = said.get("architectures") or [about.network]
    if built != [about.network]:
        raise CannotBring(f"config.json: architectures is {', '.join(map(str, built))}, not {about.network}")
    return about


def _labels(said: dict[str, Any], config: Any, path: Path | None) -> list[str]:
    """In the order of the classes."""
    named = said.get("id2label")
    if isinstance(named, dict) and sorted(map(str, named)) != sorted(map(str, range(len(named)))):
        raise CannotBring(f"config.json: id2label does not count its {len(named)} labels from 0")
    if path is None:
        return [str(config.id2label[k]) for k in range(config.num_labels)]
    labels = read_labels(path)
    if len(labels) != config.num_labels:
        raise CannotBring(f"LABELS={path.name}: {len(labels)} labels for {config.num_labels} classes")
    return labels


def _activation(config: Any) -> Activation:
    if config.problem_type == "regression" or config.num_labels < 2:
        raise CannotBring("config.json: it is a regression (problem_type, or a single label), and answers no labels")
    return "sigmoid" if config.problem_type == "multi_label_classification" else "softmax"


def _thresholds(folder: Path, activation: Activation, labels: list[str]) -> tuple[float, ...]:
    """From which score on each label is answered: found after the training, where it was sought."""
    file = folder / "thresholds.txt"
    if not file.is_file():
        return ()
    if activation != "sigmoid":
        raise CannotBring(
            f"{file.name}: of a softmax one label is answered, and needs no threshold; "
            "config.json would say problem_type multi_label_classification"
        )
    return read_thresholds(file, len(labels))


def _temperature(file: Path) -> float:
    """What the logits are divided by: found after the training, where it was sought."""
    if not file.is_file():
        return 1.0
    said = read_json(file).get("temperature")
    if not isinstance(said, int | float) or not 0.01 <= said <= 100:
        raise CannotBring(f"{file.name}: temperature is a number from 0.01 to 100, not {said!r}")
    return float(said)


def _input(config: Any, about: Class) -> tuple[int, int]:
    """(frames, side in pixels)."""
    length, side, channels = (getattr(config, field) for field in (about.frames, about.side, about.channels))
    if channels != 3:
        raise CannotBring(f"config.json: {about.channels} is {channels}; videos are decoded to 3, red, green and blue")
    if not 1 <= length <= MAX_FRAMES:
        raise CannotBring(f"config.json: {about.frames} is {length}; a clip has at most {MAX_FRAMES} frames here")
    if isinstance(side, list | tuple):
        if len(set(side)) != 1:
            raise CannotBring(f"config.json: {about.side} is {' × '.join(map(str, side))}; here it is a square")
        side = side[0]
    return length, side


def _sampling(about: Class, text: str, there: Sampling | None, own: Sampling) -> Sampling:
    """`own` has what the folder says; the rest is told, or that of the version before."""
    asked = changes(text)
    for name in ("clip_length", "short_side", "crop", "fit"):
        if asked.get(name, named(own)[name]) != named(own)[name]:
            raise CannotBring(f"SAMPLING: {name} is the folder's, {named(own)[name]}")
    if there is None and "temporal_stride" not in asked and asked.get("mode", "stride") == "stride":
        raise CannotBring(
            f"the folder does not say which frames its {own.clip_length} are: SAMPLING=stride=N of a file's frames, "
            "stride=N,frame_rate=F in time, mode=uniform or mode=segments, as in its training; "
            f"usual with {about.network} is {about.usual}"
        )
    return changed(there or own, text)


def _fitted(about: Class, config: Any, tensors: dict[str, torch.Tensor]) -> Any:
    head = tensors.get("classifier.weight")
    if head is not None and head.dim() and len(head) != config.num_labels:
        raise BadCheckpoint(f"config.json has {config.num_labels} labels, and the weights have {len(head)} classes")
    try:
        # Not from the folder: its files are read by `shards`; here old names of tensors become those of today.
        network, report = getattr(transformers, about.network).from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            dtype=torch.float32,
        )
    except Exception as exc:  # tensors without content, or a config that no network can be built from
        raise BadCheckpoint(f"{about.network} cannot be built from it: {str(exc).splitlines()[0]}") from exc
    refuse_misfits(sorted(report["missing_keys"]), sorted(report["unexpected_keys"]), sorted(report["mismatched_keys"]))
    return network.eval()
