"""The models that the benchmarks serve, in a repository of their own: what is measured is installed nowhere.

X3D-S has random weights that recognise the clips in VIDEOS (`exporter.seeded`), in the precision that `make engines`
chooses for it: bfloat16 where the CPU computes in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import onnx
import openvino

from bench.stack import MODELS, REPOSITORY, docker

X3D_S = "x3d_s"
RUN = REPOSITORY / "services" / "triton" / "export" / "run"


def models_of(work: Path, *names: str) -> Path:
    """A model repository with these models: "camera_motion" as it is bundled, and X3D-S."""
    models = work / "models"
    models.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (models / name).exists():
            if name == X3D_S:
                _export(name, work, models)
            else:
                shutil.copytree(MODELS / name, models / name)
    return models


def _export(name: str, work: Path, models: Path) -> None:
    weights, image = work / f"{name}.pth", os.environ["EXPORTER"]
    mounts = ["-v", f"{work}:{work}", "-v", f"{os.environ['VIDEOS']}:/videos:ro"]
    base = ["run", "--rm", "--network", "none", *mounts, "--entrypoint", "python", image]
    docker(*base, "-m", "exporter.seeded", name, "400", str(weights), "--videos", "/videos")
    about = {
        "NAME": name,
        "CHECKPOINT": str(weights),
        "MODELS": str(models),
        "WEIGHTS": str(work),
        "VIDEOS": str(work),
        "PRECISION": "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32",
    }
    subprocess.run([RUN, "model"], env={**os.environ, **about}, check=True, capture_output=True)


def add_float32(models: Path, name: str) -> None:
    """Beside a model that takes uint8, `<name>_float32`, which takes the same numbers as float32."""
    folder = models / f"{name}_float32"
    if folder.exists():
        return
    (folder / "1").mkdir(parents=True)
    graph = onnx.load(models / name / "1" / "model.onnx")
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT  # its first node casts to this anyway
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / "1" / "model.onnx")
    config = (models / name / "config.pbtxt").read_text()
    (folder / "config.pbtxt").write_text(config.replace(f'"{name}"', f'"{name}_float32"').replace("UINT8", "FP32"))
    shutil.copy(models / name / "labels.txt", folder)
