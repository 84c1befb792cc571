"""Runs in the exporter's image: folders as Hugging Face's Trainer leaves them, small and with random weights, read and
compared; then damaged ones, each offered to `make model`. Prints what came of each, as JSON.

    python folders.py WORK
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from exporter import huggingface, parity
from exporter.__main__ import main
from safetensors.torch import load_file, save_file

LABELS = ["fall", "jump", "run", "sit", "walk"]
THRESHOLDS = [0.1, 0.9, 0.3, 0.7, 0.5]
FRAMES, SIDE, CLASSES = 4, 32, len(LABELS)
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "num_frames": FRAMES,
}
_VJEPA2 = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "crop_size": SIDE,
    "patch_size": 8,
    "frames_per_clip": FRAMES,
    "num_pooler_layers": 1,
    "pred_hidden_size": 48,
    "pred_num_attention_heads": 4,
    "pred_num_hidden_layers": 1,
}
_VIDEOPRISM = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "tubelet_size": [1, 8, 8],
    "num_frames": FRAMES,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
}
CUT = {"size": {"shortest_edge": 36}, "crop_size": {"height": SIDE, "width": SIDE}}
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
# By model_type. The processor's values are not its class's: TimeSformer's are those of Facebook's file.
KINDS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "videomae": (_VIT | {"patch_size": 8}, "VideoMAEImageProcessor", CUT),
    "timesformer": (
        _VIT | {"patch_size": 8},
        "VideoMAEImageProcessor",
        CUT | {"image_mean": [0.45, 0.45, 0.45], "image_std": [0.225, 0.225, 0.225]},
    ),
    "vivit": (_VIT | {"tubelet_size": [2, 8, 8]}, "VivitImageProcessor", CUT),
    "vjepa2": (_VJEPA2, "VJEPA2VideoProcessor", CUT),
    "videoprism_vision_model": (_VIDEOPRISM, "LlavaOnevisionVideoProcessor", SQUARE),
}


def save(kind: str, folder: Path, shards: bool = False, **changes: Any) -> tuple[Any, Any]:
    """A folder of this kind, and the network and processor that are in it."""
    small, processor_name, values = KINDS[kind]
    about = huggingface.CLASSES[kind]
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: k for k, label in enumerate(LABELS)}}
    config = getattr(transformers, about.config)(**small, **labels, **changes)
    network = getattr(transformers, about.network)(config).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if not name.startswith("classifier"):
                tensor.add_(0.05 * torch.randn_like(tensor))
        # So that clips differ in their answers.
        pixels = torch.randn((8, FRAMES, 3, SIDE, SIDE)) * torch.linspace(0.2, 2, 8).view(8, 1, 1, 1, 1)
        logits = network(pixels).logits.flatten(1)
        network.classifier.weight.div_(logits.std(0)[:, None])
        network.classifier.bias.copy_(-(logits.mean(0) / logits.std(0)))
    network.save_pretrained(folder, max_shard_size="40KB" if shards else "5GB")
    processor = getattr(transformers, processor_name)(**values)
    processor.save_pretrained(folder)
    return network, processor


def compared(kind: str, work: Path, temperature: float = 1.0, **changes: Any) -> dict[str, Any]:
    """The largest difference of a probability: OpenVINO from what is served, that from transformers' own processor and
    network, and what `make engines` builds again from the kept file."""
    folder = work / f"{kind} {len(changes)}"
    network, processor = save(kind, folder, **changes)
    (folder / "calibration.json").write_text(json.dumps({"temperature": temperature}))
    if changes.get("problem_type") == "multi_label_classification":
        (folder / "thresholds.txt").write_text("".join(f"{threshold}\n" for threshold in THRESHOLDS))
    brought = huggingface.bring(folder, None, "stride=2", None, work)
    frames = np.random.default_rng(0).integers(0, 256, (3, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    served = brought.graph.answers(frames)
    graph = work / f"{folder.name}.onnx"
    brought.graph.export(frames, graph)
    videos = [list(clip) for clip in frames] if "Image" in type(processor).__name__ else list(frames)
    inputs = processor(videos, return_tensors="pt", do_resize=False, do_center_crop=False)
    with torch.no_grad():
        logits = network(*inputs.values()).logits.flatten(1) / temperature
    own = (
        torch.sigmoid(logits)
        if network.config.problem_type == "multi_label_classification"
        else torch.softmax(logits, dim=1)
    )
    kept = parity.of_pytorch(huggingface.read_kept(brought.weights), frames)
    return {
        "fit": brought.sampling.fit,
        "openvino": float(np.abs(parity.of_openvino(graph, frames) - served).max()),
        "transformers": float(np.abs(own.numpy() - served).max()),
        "kept": float(np.abs(kept - served).max()),
        "spread": float(served.std(0).max()),
        "sum": float(served.sum(1).max()),
        "labels": brought.labels,
        "multi-label": brought.is_multi_label,
        "thresholds": brought.thresholds,
        "network": brought.network,
        "side": [brought.sampling.short_side, brought.sampling.crop_height],
        "clip": [brought.sampling.clip_length, brought.sampling.temporal_stride],
    }


def offered(work: Path, *arguments: str) -> dict[str, Any]:
    """What `make model` says."""
    said = io.StringIO()
    sys.argv = ["exporter", "--models", str(work / "models"), "--staged", str(work / "staged"), *arguments]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main()
        except SystemExit as exc:  # of argparse
            code = int(exc.code or 0)
    return {"code": code, "said": said.getvalue()}


class Evil:
    """Its file, unpickled, makes the file `harm`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{sys.argv[1]}/harm'",)


def _json(name: str, **changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        said = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in said.items() if value is not None}))

    return damage


def _tensors(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        for name, tensor in changes.items():
            tensors[name.replace("__", ".")] = tensor
        kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return damage


def _cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:200])

    return damage


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _pickled(content: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        with (folder / "pytorch_model.bin").open("wb") as file:
            pickle.dump(content, file)

    return damage


def _adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_config.json")


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _of_several_labels(thresholds: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        _json("config.json", problem_type="multi_label_classification")(folder)
        _write(folder / "thresholds.txt", thresholds)

    return damage


def _of_another_task(folder: Path) -> None:
    _json("config.json", model_type="vit", architectures=["ViTForImageClassification"])(folder)


def _contradicting(folder: Path) -> None:
    transformers.VideoMAEVideoProcessor(**CUT, image_mean=[0.1, 0.2, 0.3]).save_pretrained(folder)


_SHARD = "model-00002-of-"
PROCESSOR = "preprocessor_config.json"
DAMAGES: dict[str, Callable[[Path], None]] = {
    "another task": _of_another_task,
    "pretraining": _json("config.json", architectures=["VideoMAEForPreTraining"]),
    "remote code": _json("config.json", auto_map={"AutoModel": "modeling.Net"}),
    "remote processor": _json(PROCESSOR, auto_map={"AutoImageProcessor": "processing.P"}),
    "regression": _json("config.json", problem_type="regression"),
    "one channel": _json("config.json", num_channels=1),
    "150 frames": _json("config.json", num_frames=150),
    "another side": _json("config.json", image_size=64),
    "seven labels": _json("config.json", id2label={str(k): f"l{k}" for k in range(7)}, label2id=None),
    "labels from 1": _json("config.json", id2label={str(k + 1): f"l{k}" for k in range(5)}, label2id=None),
    "layers": _json("config.json", num_hidden_layers=1),
    "no network": _json("config.json", hidden_size=33),
    "config cut off": _cut("config.json"),
    "no config": _without("config.json"),
    "no processor": _without(PROCESSOR),
    "unknown processor": _json(PROCESSOR, image_processor_type="ViTImageProcessor"),
    "oblong": _json(PROCESSOR, size={"height": SIDE, "width": 2 * SIDE}),
    "no crop": _json(PROCESSOR, do_center_crop=False),
    "large crop": _json(PROCESSOR, size={"shortest_edge": 16}),
    "two processors": _contradicting,
    "no weights": _without("model.safetensors"),
    "cut weights": _cut("model.safetensors"),
    "missing key": _tensors(classifier__bias=None),
    "surplus key": _tensors(extra=torch.zeros(2)),
    "pickle": _pickled({"state_dict": Evil()}),
    "adapter": _adapter,
    "calibration": lambda folder: _write(folder / "calibration.json", '{"temperature": 0}'),
    "needless thresholds": lambda folder: _write(folder / "thresholds.txt", "0.5\n" * CLASSES),
    "four thresholds": _of_several_labels("0.5\n" * 4),
    "threshold of 2": _of_several_labels("0.5\n0.5\n0.5\n0.5\n2\n"),
    "threshold in words": _of_several_labels("half\n" * CLASSES),
}


def refused(work: Path) -> dict[str, Any]:
    found = {}
    save("videomae", work / "good")
    for name, damage in DAMAGES.items():
        folder = work / name
        shutil.copytree(work / "good", folder)
        damage(folder)
        found[name] = offered(work, "--from", str(folder), "--as", "x", "--sampling", "stride=2")
    save("videomae", work / "shards", shards=True)
    (lost,) = (path for path in (work / "shards").iterdir() if path.name.startswith(_SHARD))
    lost.rename(work / "lost")
    good = ("--from", str(work / "good"))
    (work / "three.txt").write_text("a\nb\nc\n")
    return found | {
        "lost shard": offered(work, "--from", str(work / "shards"), "--as", "x", "--sampling", "stride=2"),
        "no sampling": offered(work, *good, "--as", "x"),
        "another clip": offered(work, *good, "--as", "x", "--sampling", "stride=2,clip_length=8"),
        "three labels": offered(
            work, *good, "--as", "x", "--sampling", "stride=2", "--labels", str(work / "three.txt")
        ),
        "no name": offered(work, *good, "--sampling", "stride=2"),
        "two sources": offered(work, "x3d_xs", *good, "--as", "x", "--sampling", "stride=2"),
        "nothing": offered(work, "--as", "x"),
    }


def sharded_as_whole(work: Path) -> float:
    """The largest difference of a weight between a folder of many files, one of old pickles, and one of one file."""
    network, _ = save("videomae", work / "in shards", shards=True)
    pickled = work / "as pickle"
    shutil.copytree(work / "good", pickled)
    (pickled / "model.safetensors").unlink()
    torch.save(load_file(work / "good" / "model.safetensors"), pickled / "pytorch_model.bin")
    worst = 0.0
    for folder in (work / "in shards", pickled):
        brought = huggingface.bring(folder, None, "stride=2", None, work)
        found = load_file(brought.weights)
        worst = max(worst, *(float((found[name] - t).abs().max()) for name, t in network.state_dict().items()))
    return worst


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for part in ("models", "staged"):
        (place / part).mkdir(parents=True)
    results = {
        "compared": {kind: compared(kind, place) for kind in KINDS},
        "multi-label": compared("videomae", place, 1.5, problem_type="multi_label_classification"),
        "refused": refused(place),
        "shards": sharded_as_whole(place),
        "harm": (place / "harm").exists(),
        "left": [str(path) for part in ("models", "staged") for path in (place / part).rglob("*")],
    }
    print(json.dumps(results))
