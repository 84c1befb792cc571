"""docs/benchmarks.md from the results in bench/results/: no figure in it is typed by hand.

python -m bench.report [--results DIR --out FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.decoding_report import jobs, length, overlap, readers, segments, views
from bench.plots import Pictures
from bench.prose import fold
from bench.serving_report import bound, floor, growth, handoff, peers, start, upload

HERE = Path(__file__).parent

SECTIONS: dict[str, Callable[[Any, Pictures], str]] = {
    "handoff": handoff,
    "floor": floor,
    "peers": peers,
    "bound": bound,
    "upload": upload,
    "growth": growth,
    "length": length,
    "segments": segments,
    "jobs": jobs,
    "start": start,
    "readers": readers,
    "overlap": overlap,
    "views": views,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    args = parser.parse_args()
    pictures = Pictures(args.out.with_suffix(""))
    results = {file.stem: json.loads(file.read_text()) for file in args.results.glob("*.json")}
    if {"floor", "peers"} <= results.keys():
        results["bound"] = {name: results[name] for name in ("floor", "peers")}
    machine = results["machine"]
    text = f"""# Benchmarks

Written by `bench/report.py` from `bench/results/`. {machine["cpus"]} CPUs ({machine["cpu"]}), {machine["memory_gb"]} GB, no GPU; the machine is shared and
noisy, so compare within a table, not between them. The clip is `{machine["source"]}`.

"""
    text += "\n".join(section(results[name], pictures) for name, section in SECTIONS.items() if name in results)
    args.out.write_text(fold(text))


if __name__ == "__main__":
    main()
