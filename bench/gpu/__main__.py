"""Does this host serve by its GPU, how fast, and what is to be set? For `make gpu-check`, and without Docker.

python -m bench.gpu --out DIR [--quick] [--base URL] [--server FILE --backend FILE --models DIR] [--docs]

Where there is no GPU, the CPU provider is the engine, and each step that needs the card is skipped by name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from bench.gpu import decoding, engines, handoff, page, probe, steps, whole
from bench.gpu.server import Place


def plot(results: dict[str, Any], folder: Path) -> None:
    """ms a view against the batch, a picture for each engine and model."""
    try:
        from bench.plots import Pictures
    except ImportError:
        print("plot: skipped: no matplotlib")
        return
    curves = {}
    for engine in engines.ENGINES:
        for model, row in results["steps"][f"engine: {engine.name}"]["found"].items():
            curves[f"{engine.name}, {model}"] = {n: row[f"ms_a_view_{n}"] for n in engines.BATCHES}
    if curves:
        Pictures(folder).many_lines("gpu-engines", curves, "views in a batch", "ms a view")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="a fifth of a second for each figure, and a small clip")
    parser.add_argument("--base", default="", help="a running stack")
    parser.add_argument("--server", type=Path, default=Path("/opt/tritonserver/bin/tritonserver"))
    parser.add_argument("--backend", type=Path, default=Path("/opt/backends/onnxruntime/libtriton_onnxruntime.so"))
    parser.add_argument("--models", type=Path, default=page.REPOSITORY / "services" / "triton" / "models")
    parser.add_argument("--docs", action="store_true", help="write bench/results/gpu.json and docs/gpu.md as well")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seconds = 0.2 if args.quick else 3.0
    host = probe.host()
    found = engines.models(args.models)
    place, work = Place(args.server.resolve(), args.backend.resolve()), args.out.resolve() / "work"
    clip = page.REPOSITORY / "services" / "web" / "static" / "example.mp4"
    todo = [
        *engines.steps(place, found, work / "server", seconds),
        *handoff.steps(place, found, work / "server", seconds),
        *decoding.steps(work, args.quick),
        *whole.steps(args.base, clip, seconds * 4),
    ]

    def say(line: str) -> None:
        print(line, flush=True)

    done = steps.run(todo, probe.missing(host), say)
    results = {
        "host": host,
        "quick": args.quick,
        "models": [model.name for model in found],
        "steps": {name: dataclasses.asdict(result) for name, result in done.items()},
    }
    text = json.dumps(results, indent=1) + "\n"
    (args.out / "gpu.json").write_text(text)
    (args.out / "gpu.md").write_text(page.page(results))
    plot(results, args.out)
    if args.docs:
        page.RESULTS.write_text(text)
        page.main()
    print("\n" + page.page(results).split("\n## Engines", 1)[1])
    failed = [name for name, result in done.items() if result.verdict == "failed"]
    if failed:
        print(
            f"gpu-check: failed: {', '.join(failed)}; {args.out}/work/server/server.log is of the last server",
            file=sys.stderr,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
