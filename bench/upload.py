"""What does an upload cost? Bodies of 1, 50 and 200 MB, and nothing to do with them, beside `cp` of the same file.

    make bench ONLY=upload

A peer reads the body as its documentation has it and answers how long it was. For us the body is half a second of video
of 64 × 64, padded by an empty box to its size, and it is classified, one view: so ours does more. curl sends each from
a file.
"""

from __future__ import annotations

import json
import statistics
import struct
import subprocess
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import arguments, repository, videos
from bench.peers.run import CORES, PEERS, peer_running, wait_for
from bench.stack import Stack, docker, running

MEGABYTES = (1, 50, 200)

BESIDE = "/spool/beside"
"""On the spool's disk, and no upload: the lanes count the files of the spool itself."""

_RESIDENT = r"""
import pathlib
for p in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        name, status = (p / "cmdline").read_bytes(), (p / "status").read_text()
    except OSError:
        continue
    if b"python" in name:
        print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
"""


def padded(video: Path, work: Path, megabytes: int) -> Path:
    """The video, with an empty `free` box (ISO/IEC 14496-12, 8.1.2) after it that makes it so large."""
    path = work / f"padded_{video.stem}_{megabytes}.mp4"
    if not path.exists():
        content = video.read_bytes()
        padding = megabytes * 10**6 - len(content)
        with path.open("wb") as file:
            file.write(content + struct.pack(">I", padding) + b"free")
            file.write(bytes(padding - 8))
    return path


def curl(*arguments: str) -> float:
    """Milliseconds of one upload."""
    command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{time_total}", "-H", "Expect:", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def copy_ms(stack: Stack, path: Path) -> float:
    """`cp` of the file within the web container, to where nginx spools; by the clock inside."""
    inside = f"{BESIDE}/{path.name}"
    script = (
        "import shutil, time; t = time.perf_counter(); "
        f"import subprocess; subprocess.run(['cp', '{inside}', '{inside}.copy'], check=True); "
        f"print((time.perf_counter() - t) * 1000); import os; os.unlink('{inside}.copy')"
    )
    return float(docker("exec", stack.container("web"), "python", "-c", script))


def peak_python_kb(stack: Stack) -> int:
    """The most memory that a Python process of the web container ever had."""
    return max(int(line) for line in docker("exec", stack.container("web"), "python", "-c", _RESIDENT).split())


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="*", type=int, default=list(MEGABYTES))
    parser.add_argument("--only", nargs="*", default=[peer.name for peer in PEERS if not peer.one_process])
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clip = videos.smallest(args.work)
    models = repository.models_of(args.work, "camera_motion")
    result: dict[str, Any] = {}
    with running("upload", models, "camera_motion") as stack:
        url = f"{stack.base}/v1/classify?views=1"
        times: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in args.sizes}
        files = {size: padded(clip, args.work, size) for size in args.sizes}
        curl("--data-binary", f"@{clip}", url)
        before_kb = peak_python_kb(stack)
        docker("exec", stack.container("web"), "mkdir", BESIDE)
        for path in files.values():
            docker("cp", str(path), f"{stack.container('web')}:{BESIDE}/{path.name}")
        with ExitStack() as exits:
            servers = []
            for peer in PEERS:
                if peer.name in args.only:
                    network, folder = f"{stack.project}_default", models / "camera_motion"
                    running_peer = peer_running(peer, network, folder, CORES, 1, {"COUNT_ONLY": "1"})
                    server = exits.enter_context(running_peer)
                    wait_for(server, clip, args.work)
                    docker("pause", *server.containers)
                    servers.append(server)
            for _ in range(args.rounds + 1):
                for size, path in files.items():
                    times[size]["cp"].append(copy_ms(stack, path))
                    times[size]["Cliplane"].append(curl("-X", "POST", "-T", str(path), url))
                    for server in servers:
                        with server.awake():
                            times[size][server.name].append(curl("-F", f"{server.field}=@{path}", server.url))
        after_kb = peak_python_kb(stack)
    for size, rows in times.items():
        medians = {name: round(statistics.median(values[1:]), 1) for name, values in rows.items()}
        result[f"{size} MB"] = medians | {"Cliplane / cp": round(medians["Cliplane"] / medians["cp"], 2)}
        print(size, json.dumps(result[f"{size} MB"]), flush=True)
    result["memory"] = {"before_mb": round(before_kb / 1024), "after_mb": round(after_kb / 1024)}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
