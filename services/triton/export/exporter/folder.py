"""The model folder that Triton serves: written beside the repository, shown to a Triton there, then put in place by one
rename.

Triton polls the repository, so a folder must never be seen half written.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliplane.policy.sampling import Sampling

from . import pbtxt
from .brought import Brought
from .sampling import named

_CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: {max_batch}
input [ {{ name: "frames" data_type: TYPE_UINT8 dims: [ {s.clip_length}, {s.crop_height}, {s.crop_width}, 3 ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "labels.txt" }} ]
dynamic_batching {{ }}
instance_group [ {{ kind: {kind} count: 1 }} ]
parameters [
  {{ key: "description" value {{ string_value: "{description}" }} }},
  {{ key: "temporal_stride" value {{ string_value: "{s.temporal_stride}" }} }},
  {{ key: "fit" value {{ string_value: "{s.fit}" }} }},
  {{ key: "mode" value {{ string_value: "{s.mode}" }} }},
  {{ key: "pixels" value {{ string_value: "{s.pixels}" }} }},
  {{ key: "frame_rate" value {{ string_value: "{s.frame_rate:g}" }} }},
  {{ key: "short_side" value {{ string_value: "{s.short_side}" }} }},
  {{ key: "clips" value {{ string_value: "{s.clips}" }} }},
  {{ key: "crops" value {{ string_value: "{s.crops}" }} }},
  {{ key: "activation" value {{ string_value: "{activation}" }} }}{more}
]
"""

EXPORT = "export.json"
MAX_BATCH = 8
"""Views in one inference: enough to fill the cores, and a batch of the largest network stays under 64 MiB."""


class CannotInstall(Exception):
    """The repository stays as it was."""


def config(name: str, backend: str, kind: str, brought: Brought, more: str) -> str:
    """The text of a config.pbtxt."""
    description = f"{brought.network}, {len(brought.labels)} classes"
    if brought.thresholds:
        more += _parameter("thresholds", " ".join(map(str, brought.thresholds)))
    return _CONFIG.format(
        name=name,
        backend=backend,
        kind=kind,
        max_batch=MAX_BATCH,
        classes=len(brought.labels),
        s=brought.sampling,
        activation="sigmoid" if brought.is_multi_label else "softmax",
        description=description.replace("\\", "").replace('"', "'"),
        more=more,
    )


@dataclass(frozen=True, slots=True)
class Installed:
    """What a name of the repository has already."""

    version: int
    labels: list[str]
    sampling: Sampling
    facts: dict[str, Any]
    is_multi_label: bool
    thresholds: tuple[float, ...]


def installed(models: Path, name: str) -> Installed | None:
    """The model of this name, None if the name is free.

    Raises:
        CannotInstall: the name is of a model that was not made here.
    """
    folder = models / name
    if not folder.exists():
        return None
    try:
        facts = json.loads((folder / EXPORT).read_text())
        labels = (folder / "labels.txt").read_text().splitlines()
        config = (folder / "config.pbtxt").read_text()
        sampling, is_multi_label = pbtxt.sampling(config), pbtxt.parameter(config, "activation") == "sigmoid"
        thresholds = tuple(map(float, (pbtxt.parameter(config, "thresholds") or "").split()))
        versions = [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
        return Installed(max(versions, default=0), labels, sampling, facts, is_multi_label, thresholds)
    except (OSError, ValueError, pbtxt.NotOurs) as exc:
        raise CannotInstall(f"there is a model {name!r} already, not made by make model: AS=another name") from exc


def check_same(name: str, there: Installed, brought: Brought) -> None:
    """A new version is served by the config that is there, and requests are under way while it comes.

    Raises:
        CannotInstall: it is another model, and how.
    """
    ways = f"AS=another name, or make model-rm NAME={name} first"
    if there.facts.get("network") != brought.network:
        raise CannotInstall(f"{name!r} is a {there.facts.get('network')} already: {ways}")
    if there.sampling != brought.sampling:
        raise CannotInstall(f"{name!r} is there already, with another sampling, {named(there.sampling)}: {ways}")
    if there.labels != brought.labels:
        raise CannotInstall(f"{name!r} is there already, with other labels ({len(there.labels)}): {ways}")
    if (there.is_multi_label, there.thresholds) != (brought.is_multi_label, brought.thresholds):
        raise CannotInstall(
            f"{name!r} is there already, and answers with other thresholds, or one label of all: {ways}"
        )


@contextmanager
def new_folder(staged: Path, name: str, version: int) -> Iterator[Path]:
    """staged/name, a folder to write, show and install. Whoever made `staged` removes it, and with it what was not
    installed.

    Raises:
        CannotInstall: there is no room, or the name was taken meanwhile.
    """
    folder = staged / name
    try:
        (folder / str(version)).mkdir(parents=True)
        (folder / "configs").mkdir()
        yield folder
    except OSError as exc:
        raise CannotInstall(f"{name}: {exc.strerror or exc}") from exc


def put(staged: Path, place: Path) -> None:
    """A file or folder where Triton looks, by one rename, and so that any user can read it.

    Raises:
        OSError: there is one, for no folder of ours is empty.
    """
    for path in (staged, *staged.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    staged.rename(place)


def put_model(folder: Path, place: Path, facts: dict[str, Any]) -> None:
    """Install a new model. Raises OSError; then it is not installed."""
    (folder / EXPORT).write_text(as_json(facts))
    put(folder, place)


def put_version(folder: Path, place: Path, version: int, facts: dict[str, Any]) -> None:
    """Install the next version of the model at `place`. Triton loads it beside the one before, and unloads that when it
    is ready. Raises OSError; then it is not installed.
    """
    (folder / EXPORT).write_text(as_json(facts))  # first, for the renames need no room
    put(folder / str(version), place / str(version))
    put(folder / EXPORT, place / EXPORT)


def replace(models: Path, file: Path, content: str | bytes) -> None:
    """Write a file of the repository anew, by one rename: Triton sees the old or the new one.

    Raises:
        CannotInstall: there is no room; the old one is as it was.
    """
    work = None
    try:
        # Beside the repository, on its file system, where Triton does not look.
        work = Path(tempfile.mkdtemp(prefix=f".{models.name}.new-", dir=models.parent))
        (work / file.name).write_bytes(content.encode() if isinstance(content, str) else content)
        put(work / file.name, file)
    except OSError as exc:
        raise CannotInstall(f"{file.name}: {exc.strerror or exc}") from exc
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def write(folder: Path, name: str, brought: Brought, precision: str) -> None:
    """What Triton reads of the folder, but the graph. `precision`: OpenVINO's, "f32" or "bf16"."""
    hint = _parameter("INFERENCE_PRECISION_HINT", precision)
    (folder / "labels.txt").write_text("\n".join(brought.labels) + "\n")
    (folder / "config.pbtxt").write_text(config(name, "openvino", "KIND_CPU", brought, hint))
    (folder / "configs" / "gpu.pbtxt").write_text(config(name, "onnxruntime", "KIND_GPU", brought, ""))


def _parameter(key: str, value: str) -> str:
    """One more of `parameters`, behind others."""
    return f',\n  {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def as_json(facts: dict[str, Any]) -> str:
    """The text of export.json and engines.json."""
    return json.dumps(facts, indent=1) + "\n"
