"""Run the benchmarks and write docs/benchmarks.md from what they say. For `make bench`; runs in the image of
docker/bench.Dockerfile.

python -m bench.run [PART …]        all of them without a name
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE.parent / "artifacts" / "bench"
RESULTS = HERE / "results"


def source() -> Path:
    """The real clip that the videos are made from."""
    name = os.environ.get("SOURCE") or "bigbuckbunny.mp4"
    path = Path("/videos") / name
    if not path.exists():
        raise SystemExit(f"there is no {name} in VIDEOS: make bench VIDEOS=folder SOURCE=name")
    return path


def machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    memory_gb = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {"cpus": os.process_cpu_count(), "cpu": cpu, "memory_gb": memory_gb, "source": source().name}


def main() -> None:
    clip, work = str(source()), ["--work", str(WORK)]
    parts = {
        "handoff": ["bench.handoff.run", *work],
        "floor": ["bench.floor", clip, *work],
        "peers": ["bench.peers.run", clip, *work],
        "upload": ["bench.upload", clip, *work],
        "growth": ["bench.growth", clip, *work],
        "length": ["bench.length", clip, *work],
        "segments": ["bench.segments", clip, *work],
        "jobs": ["bench.jobs", clip, *work],
        "start": ["bench.start", clip, *work],
        "readers": ["bench.readers", clip, *work],
        "overlap": ["bench.overlap.run", clip, *work],
        # Other videos than the 200 that early_stop.SURE was chosen on.
        "views": ["bench.views", "--first", "1000", *work],
    }
    wanted = sys.argv[1:] or list(parts)
    if unknown := set(wanted) - set(parts):
        raise SystemExit(f"there is no {unknown.pop()}; there are {', '.join(parts)}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")
    for name in wanted:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", *parts[name], "--out", str(RESULTS / f"{name}.json")]
        subprocess.run(command, cwd=HERE.parent, check=True)
    subprocess.run([sys.executable, "-m", "bench.report"], cwd=HERE.parent, check=True)


if __name__ == "__main__":
    main()
