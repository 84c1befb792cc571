"""docs/gpu.md, of what `make gpu-check` measured: every figure is of the results, and only what no GPU has run says so.

python -m bench.gpu.page            writes docs/gpu.md from bench/results/gpu.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.gpu.advice import advice, goals
from bench.gpu.engines import BATCHES, ENGINES
from bench.gpu.steps import NO_GPU
from bench.prose import fold

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "bench" / "results" / "gpu.json"
PAGE = REPOSITORY / "docs" / "gpu.md"
NEVER = "never run on a GPU"

HEAD = """# The GPU host, measured

Written by `make gpu-check` ({where}); do not edit. {machine}
The same command on your host, with or without a GPU, prints these tables for it, writes
`artifacts/gpu-check/`, and ends with what to set. Where a line says **{never}**, its code is built
and was never executed; all other lines were measured.

Without Docker: `python -m bench.gpu --server …/bin/tritonserver --backend
…/libtriton_onnxruntime.so --models services/triton/models --out DIR`, with the packages of
`bench/gpu/requirements.txt` and the folder of the CUDA libraries in `LD_LIBRARY_PATH`. The backend
of the image needs the C library of Debian 13 or newer; elsewhere it is compiled on the host, by the
line in `docker/triton.Dockerfile`.
"""

ENGINES_TEXT = """## Engines

Against plain ONNX Runtime on the CPU; batches of 1, 8 and 32 views of one client, and views a
second of four.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(step: dict[str, Any]) -> str:
    """Of a step that was not measured."""
    if step["reason"] == NO_GPU:
        return f"**{NEVER}**"
    return f"{step['verdict']}: {step['reason']}".replace("|", "\\|")


def engines(steps: dict[str, Any]) -> str:
    head = [
        "engine",
        "model",
        "max \\|Δp\\|",
        "top-1",
        *(f"ms a view, {n}" for n in BATCHES),
        *(f"views/s, {n}" for n in BATCHES),
    ]
    rows = []
    for engine in ENGINES:
        step = steps[f"engine: {engine.name}"]
        if step["verdict"] != "measured":
            rows.append([engine.name, verdict(step), *[""] * (len(head) - 2)])
        for model, row in step["found"].items():
            cells = [f"{row['max_abs']:.1e}", f"{row['top1']:.1%}"]
            cells += [f"{row[f'ms_a_view_{n}']:g}" for n in BATCHES] + [f"{row[f'views_per_s_{n}']:g}" for n in BATCHES]
            rows.append([engine.name, model, *cells])
    return table(head, rows)


def others(steps: dict[str, Any], prefix: str) -> str:
    """A line for each step of a kind, with all that it found."""
    rows = []
    for name, step in steps.items():
        if name.startswith(prefix):
            said = _words(step["found"]) if step["verdict"] == "measured" else verdict(step)
            rows.append([name.removeprefix(prefix), said])
    return table(["what", "measured"], rows)


def _words(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} views: {value} ms" if name.isdigit() and not isinstance(value, dict)
        else f"{name} views: {_words(value)}" if isinstance(value, dict)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in found.items()
    )  # fmt: skip


def page(results: dict[str, Any]) -> str:
    host, steps = results["host"], results["steps"]
    cards = [f"{card['name']}, driver {card['driver_version']}" for card in host["cards"]]
    machine = f"{', '.join(cards) or 'No GPU'}; {host['cpus']} CPUs ({host['cpu']})."
    if host["load"] > host["cpus"]:
        machine += f" **The machine was busy, a load of {host['load']:g}: its times are of no use.**"
    options = {engine.name: dict(engine.parameters) for engine in ENGINES}
    absent = [name for name in ("x3d_s", "x3d_m") if name not in results["models"]]
    parts = [
        HEAD.format(where="a quick run" if results["quick"] else "a whole run", machine=machine, never=NEVER),
        ENGINES_TEXT,
        engines(steps),
    ]
    if absent:
        parts.append(f"\nNot in this repository, so not measured: {', '.join(absent)} (`make model NAME={absent[0]}`).")
    parts += ["\n## Hand-off\n", others(steps, "hand-off: ")]
    parts += ["\n## Decoding\n\nH.264, scaled to 324 × 182 and in host memory.\n", others(steps, "decode: ")]
    parts += ["\n## The whole stack\n", others(steps, "stack: ")]
    if host["cards"] and (told := goals(steps)):
        parts += ["\n## Goals\n", table(["goal", "measured", ""], told)]
    parts += ["\n## What to set\n", *(f"- {line}" for line in advice(host, steps, results["models"], options))]
    return fold("\n".join(parts))


def main() -> None:
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
