"""What does an upload cost? Bodies of 1, 50 and 200 MB, and nothing to do with them, beside `cp` of the same file.

    make bench ONLY=upload

A peer reads the body as its documentation has it and answers how long it was. For us the body is half a second of video
of 64 × 64, padded by an empty box to its size, and it is classified, one view: so ours does more. hey sends each. The
floor is a loop in our container that receives the body into a buffer and writes that to the spool's disk: what a socket
costs, whoever reads it.
"""

from __future__ import annotations

import json
import statistics
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench import arguments, load, repository, videos
from bench.peers.run import CORES, PEERS, body, peer_running, wait_for
from bench.stack import Stack, docker, running

MEGABYTES = (1, 50, 200)

BESIDE = "/spool/beside"
"""On the spool's disk, and no upload: the lanes count the files of the spool itself."""

_FLOOR = r"""
import os, socket, sys
server = socket.create_server(("", int(sys.argv[1])))
buffer = memoryview(bytearray(512 * 1024))  # as nginx.conf has it
while True:
    connection, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    head, start = head.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    with open(sys.argv[2], "wb", buffering=0) as file:
        received = file.write(start)
        while received < length and (size := connection.recv_into(buffer)):
            received += file.write(buffer[:size])
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.close()
    os.unlink(sys.argv[2])
    if not length:
        break
"""

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


@contextmanager
def floor_running(stack: Stack) -> Iterator[str]:
    """The address of the bare loop, in the web container."""
    container, port = stack.container("web"), 8100
    docker("exec", "-d", container, "python", "-c", _FLOOR, str(port), f"{BESIDE}/received")
    url = f"http://{container}:{port}/"
    with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as http:  # it takes a moment to listen
        http.post(url, content=b"a body")
        yield url
        http.post(url)  # no body: the end


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
    parser.add_argument("--rounds", type=int, default=9)
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
        load.send(url, clip, 1, requests=1)
        before_kb = peak_python_kb(stack)
        docker("exec", stack.container("web"), "mkdir", BESIDE)
        for path in files.values():
            docker("cp", str(path), f"{stack.container('web')}:{BESIDE}/{path.name}")
        with ExitStack() as exits:
            floor = exits.enter_context(floor_running(stack))
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
                    times[size]["floor"] += load.send(floor, path, 1, requests=1).ms
                    times[size]["Cliplane"] += load.send(url, path, 1, requests=1).ms
                    for server in servers:
                        form, content_type = body(path, args.work, server.field)
                        with server.awake():
                            sent = load.send(server.url, form, 1, requests=1, content_type=content_type)
                        times[size][server.name] += sent.ms
        after_kb = peak_python_kb(stack)
    for size, rows in times.items():
        medians = {name: round(statistics.median(values[1:]), 1) for name, values in rows.items()}
        ratios = {f"Cliplane / {name}": round(medians["Cliplane"] / medians[name], 2) for name in ("cp", "floor")}
        result[f"{size} MB"] = medians | ratios
        print(size, json.dumps(result[f"{size} MB"]), flush=True)
    result["memory"] = {"before_mb": round(before_kb / 1024), "after_mb": round(after_kb / 1024)}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
