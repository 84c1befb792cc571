"""How large are the images, how fast does the stack start, and what does it need at rest?

    make bench ONLY=start

Cold: nothing of the stack is running, its images are there. Warm: its containers were stopped. Both end with the first
classified video. Memory at rest: the unshared part of each process (USS is what its end would give back), after a few
requests.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import httpx

from bench import arguments, repository, videos
from bench.stack import docker, running

MODEL = "camera_motion"

_UNSHARED = r"""
import json, pathlib
found = {}
for p in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (p / "cmdline").read_text().split("\0")
        rollup = (p / "smaps_rollup").read_text()
        plane = [v[6:] for v in (p / "environ").read_text().split("\0") if v.startswith("PLANE=")]
        parent = int((p / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        continue
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    unshared = sizes["Private_Clean"] + sizes["Private_Dirty"]
    line = " ".join(words)
    name = "decoder" if "cliplane.decoder" in line else plane[0] if plane and parent != 1 else "others"
    if name == "others" and "nginx" in line:
        name = "nginx"
    found.setdefault(name, []).append(unshared)
print(json.dumps(found))
"""


def first_answer(base: str, video: bytes) -> None:
    """Until a video is classified."""
    while True:
        try:
            if httpx.post(f"{base}/v1/classify", content=video, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clip = videos.encoded(args.source, args.work, "256p", "h264", 250).read_bytes()
    models = repository.models_of(args.work, MODEL)
    tag = os.environ.get("IMAGE_TAG", "dev")
    sizes = {
        name: round(int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e6)
        for name, image in {
            "web": f"cliplane-web:{tag}",
            "triton": f"cliplane-triton:{tag}",
            "base of both": "debian:trixie-slim",
        }.items()
    }
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    memory: dict[str, Any] = {}
    for _ in range(args.rounds):
        began = time.perf_counter()
        with running("start", models, MODEL) as stack:
            first_answer(stack.base, clip)
            times["cold"].append(time.perf_counter() - began)
            stack.compose("stop", "-t", "10")
            began = time.perf_counter()
            stack.compose("start")
            first_answer(stack.base, clip)
            times["warm"].append(time.perf_counter() - began)
            for _ in range(4):
                first_answer(stack.base, clip)
            memory = json.loads(docker("exec", stack.container("web"), "python", "-c", _UNSHARED))
    result = {
        "image_mb": sizes,
        "seconds": {name: round(statistics.median(values), 2) for name, values in times.items()},
        "unshared_mb": {name: [round(kb / 1024, 1) for kb in sorted(values)] for name, values in memory.items()},
    }
    print(json.dumps(result, indent=1))
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
