"""One client, one file, again and again: the median of each stage of `timing_ms`.

    python3 bench/latency.py FILE [--runs 50] [--base http://127.0.0.1:8080] [--query views=4]

Standard library only. The full benchmarks are an issue of their own; this is the least one needs to look.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--base", default="http://127.0.0.1:8080")
    parser.add_argument("--query", default="")
    args = parser.parse_args()
    body = args.file.read_bytes()
    stages: dict[str, list[float]] = {}
    for run in range(args.runs + 3):
        began = time.perf_counter()
        request = urllib.request.Request(f"{args.base}/v1/classify?{args.query}", data=body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)
        if run < 3:  # warm-up
            continue
        for stage, ms in {**result["timing_ms"], "client": (time.perf_counter() - began) * 1000}.items():
            stages.setdefault(stage, []).append(ms)
    print(f"{args.file.name}, {args.runs} runs, {len(result['views'])} views, model {result['model']}, ms:")
    for stage, values in stages.items():
        print(f"  {stage:7} p50 {statistics.median(values):7.1f}   min {min(values):7.1f}   max {max(values):7.1f}")


if __name__ == "__main__":
    main()
