"""Measure every engine on a model of the repository, and let the fastest good one serve it.

    python -m exporter.engines NAME --models DIR [--checkpoint FILE] [--videos DIR] [--rounds N]

Prints a table; writes engines.json and engines.svg beside config.pbtxt, and the choice into config.pbtxt.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..clips import Clips, clips
from ..folder import CannotInstall, as_json, replace
from ..pbtxt import NotOurs, sampling
from .choice import REFERENCE, Choice, Measured, choose
from .reference import NoReference, find_weights, newest
from .report import plot, table
from .serving import CPU_IMAGE, GPU_IMAGE, INT8_FILE, cpu_config, gpu_config, with_figures
from .turns import Run, run_in_turns

BATCH = 8
CALIBRATION = 16
ENGINES = (
    "pytorch",
    "torch_compile",
    "onnxruntime",
    "openvino_f32",
    "openvino_bf16",
    "openvino_int8",
    "pytorch_cuda",
    "onnxruntime_cuda",
    "onnxruntime_tensorrt",
    "tensorrt_fp16",
)
LIBRARIES = ("torch", "onnxruntime", "openvino", "nncf")


def main() -> int:
    args = _arguments()
    folder = args.models / args.name
    try:
        if not (folder / "config.pbtxt").exists():
            raise NoReference(f"there is no model {args.name!r}")
        config = (folder / "config.pbtxt").read_text()
        weights = find_weights(folder, args.cache, args.checkpoint)
        with tempfile.TemporaryDirectory() as work:
            cut = sampling(config)
            found = clips(cut, (args.rounds + 1) * BATCH + CALIBRATION, args.videos)
            results, int8 = _shoot_out(folder, weights, found, args.rounds, Path(work))
            _install(folder, config, results, int8)
    except (NoReference, NotOurs, CannotInstall) as error:
        print(f"make engines: {error}", file=sys.stderr)
        return 1
    print(table(results))
    print(_verdict(results))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a model of the repository")
    parser.add_argument("--models", type=Path, required=True, help="the model repository")
    parser.add_argument("--checkpoint", type=Path, help="what the model was made from, where the cache has lost it")
    parser.add_argument("--cache", type=Path, default=Path("/cache"))
    parser.add_argument("--videos", type=Path, default=Path("/videos"))
    parser.add_argument("--rounds", type=int, default=4)
    return parser.parse_args()


def _shoot_out(folder: Path, weights: Path, found: Clips, rounds: int, work: Path) -> tuple[dict[str, Any], Path]:
    """The results, and the graph in INT8, which lies in `work`."""
    graph, int8 = newest(folder) / "model.onnx", work / INT8_FILE
    measured_clips = len(found.frames) - CALIBRATION
    np.save(work / "clips.npy", found.frames[:measured_clips])
    np.save(work / "calibration.npy", found.frames[measured_clips:])
    note, reason = _quantise(graph, work / "calibration.npy", int8)
    threads = len(os.sched_getaffinity(0))
    spec = {
        "graph": str(graph),
        "int8_graph": str(int8),
        "folder": str(folder),
        "weights": str(weights),
        "clips": str(work / "clips.npy"),
        "threads": threads,
    }
    (work / "spec.json").write_text(json.dumps(spec))
    wanted = [engine for engine in ENGINES if not (reason and engine == "openvino_int8")]
    runs = run_in_turns(wanted, work / "spec.json", rounds, BATCH, work)
    if reason:
        runs.insert(ENGINES.index("openvino_int8"), Run("openvino_int8", reason))
    reference = next(run for run in runs if run.engine == REFERENCE)
    engines = [_row(run, reference, note if run.engine == "openvino_int8" else "") for run in runs]
    results = {
        "model": folder.name,
        "version": newest(folder).name,
        "batch": BATCH,
        "rounds": rounds,
        "clips": {
            "measured": measured_clips,
            "real": min(found.real, measured_clips),
            "videos": found.videos,
            "tops": len(set(reference.answers.argmax(1))) if reference.answers is not None else 0,
        },
        "machine": {"cpus": threads, "cpu": _cpu()},
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "engines": engines,
    }
    measured = [
        Measured(one["engine"], one["latency_ms"], one["batch_ms_per_view"], one["agreement"])
        for one in engines
        if not one["reason"]
    ]
    results["choice"] = _as_dict(choose(measured, CPU_IMAGE))
    results["gpu_choice"] = _as_dict(choose(measured, GPU_IMAGE))
    return results, int8


def _quantise(graph: Path, calibration: Path, out: Path) -> tuple[str, str]:
    """(what is to be said of the graph in INT8, why there is none)."""
    command = [sys.executable, "-W", "ignore", "-m", "exporter.engines.quantise", graph, calibration, out]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return "", f"NNCF: {lines[-1]}"
    return (done.stdout.splitlines() or [""])[-1], ""


def _row(run: Run, reference: Run, note: str) -> dict[str, Any]:
    if run.reason or run.answers is None or reference.answers is None:
        return {"engine": run.engine, "reason": run.reason or "PyTorch did not run: nothing to compare with"}
    agreed = run.answers.argmax(1) == reference.answers.argmax(1)
    return {
        "engine": run.engine,
        "reason": "",
        "note": note,
        "latency_ms": round(run.latency_ms, 2),
        "batch_ms_per_view": round(run.batch_median_ms / BATCH, 2),
        "views_per_s": round(BATCH * 1000 / run.batch_median_ms, 2),
        "load_s": round(run.load_s, 2),
        "memory_mib": round(run.memory_mib),
        "agreement": round(float(agreed.mean()), 4),
        "max_difference": float(f"{np.abs(run.answers - reference.answers).max():.2e}"),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _as_dict(choice: Choice) -> dict[str, Any]:
    return {"engine": choice.engine, "sentence": choice.sentence, "faster": list(choice.faster)}


def _install(folder: Path, config: str, results: dict[str, Any], int8: Path) -> None:
    """Everything but the config first: Triton may look at any time."""
    models = folder.parent
    replace(models, folder / "engines.json", as_json(results))
    replace(models, folder / "engines.svg", plot(results))
    if results["choice"]["engine"] == "openvino_int8":
        for file in (int8.with_suffix(".bin"), int8):
            replace(models, newest(folder) / file.name, file.read_bytes())
    chosen = cpu_config(config, results["choice"]["engine"])
    replace(models, folder / "config.pbtxt", with_figures(chosen, results))
    gpu = folder / "configs" / "gpu.pbtxt"
    if gpu.exists():
        replace(models, gpu, gpu_config(gpu.read_text(), results["gpu_choice"]["engine"]))


def _verdict(results: dict[str, Any]) -> str:
    choice = results["choice"]
    lines = [
        f"chosen: {choice['sentence']}"
        if choice["engine"]
        else f"none chosen: {choice['sentence']}; config.pbtxt is as it was"
    ]
    if choice["faster"]:
        lines.append(f"faster, but not in the CPU image, which serves OpenVINO: {', '.join(choice['faster'])}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
