"""The model folder that Triton serves: written beside the repository, put in place by one rename.

Triton polls the repository, so a folder must never be seen half written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .networks import Sampling

_CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: {max_batch}
input [ {{ name: "frames" data_type: TYPE_UINT8 dims: [ {s.clip_length}, {s.crop}, {s.crop}, 3 ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "labels.txt" }} ]
dynamic_batching {{ }}
instance_group [ {{ kind: {kind} count: 1 }} ]
parameters [
  {{ key: "description" value {{ string_value: "{description}" }} }},
  {{ key: "temporal_stride" value {{ string_value: "{s.temporal_stride}" }} }},
  {{ key: "short_side" value {{ string_value: "{s.short_side}" }} }},
  {{ key: "clips" value {{ string_value: "{s.clips}" }} }},
  {{ key: "crops" value {{ string_value: "{s.crops}" }} }}{more}
]
"""

MAX_BATCH = 8
"""Views in one inference: enough to fill the cores, and a batch of the largest network stays under 64 MiB."""


class CannotInstall(Exception):
    """The repository stays as it was."""


def config(name: str, backend: str, kind: str, classes: int, sampling: Sampling, description: str, more: str) -> str:
    """The text of a config.pbtxt."""
    return _CONFIG.format(
        name=name,
        backend=backend,
        kind=kind,
        max_batch=MAX_BATCH,
        classes=classes,
        s=sampling,
        description=description.replace("\\", "").replace('"', "'"),
        more=more,
    )


def check_free(models: Path, name: str) -> None:
    """Raises CannotInstall: the name is taken."""
    if (models / name).exists():
        raise CannotInstall(f"there is a model {name!r} already: make model-rm NAME={name}, or AS=another")


@contextmanager
def new_folder(models: Path, name: str) -> Iterator[Path]:
    """A folder to write; it becomes models/name when the block ends well, and is gone if it does not.

    Raises:
        CannotInstall: the name is taken, or there is no room.
    """
    check_free(models, name)
    staging = models.parent / f".{models.name}.new" / name
    shutil.rmtree(staging, ignore_errors=True)
    try:
        (staging / "1").mkdir(parents=True)
        (staging / "configs").mkdir()
        yield staging
        for path in staging.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        staging.chmod(0o755)
        staging.rename(models / name)
    except OSError as exc:
        raise CannotInstall(f"{name}: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(staging.parent, ignore_errors=True)


def write(
    folder: Path,
    name: str,
    labels: list[str],
    sampling: Sampling,
    description: str,
    precision: str,
    about: dict[str, object],
) -> None:
    """All of the folder but the graph. `precision`: OpenVINO's, "f32" or "bf16"."""
    hint = f',\n  {{ key: "INFERENCE_PRECISION_HINT" value {{ string_value: "{precision}" }} }}'
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    classes = len(labels)
    (folder / "config.pbtxt").write_text(config(name, "openvino", "KIND_CPU", classes, sampling, description, hint))
    (folder / "configs" / "gpu.pbtxt").write_text(
        config(name, "onnxruntime", "KIND_GPU", classes, sampling, description, "")
    )
    (folder / "export.json").write_text(json.dumps(about, indent=1) + "\n")
