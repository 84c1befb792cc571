"""Cliplane and other ways to serve the same model, in one run: same clips, same model, same engine, same answers.

    make bench ONLY=peers

Every server runs in a container of its own on the same machine, paused while another is measured (`docker pause`), so
that only one has the CPUs. They take turns within a round. Load is by hey; memory and CPU time are those of the
server's containers, by Docker. A peer runs as many workers as there are cores, of one thread each; for one client it is
also measured as one worker with all threads, and the better counts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from bench import arguments, load, repository, videos
from bench.peers.pipeline import read_precision
from bench.stack import REPOSITORY, Stack, docker, running

VIEWS = 10
CLIENTS = (1, 2, 4, 8)
SIZES = ("256p", "720p", "1080p")
CORES = os.process_cpu_count() or 1
PATIENCE_S = 180
BOUNDARY = "cliplane"
ACCEPTABLE = 0.05
"""Largest difference of a score: decord and PyAV bring FFmpegs of their own, which scale a little differently."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that is not ours: its command, with {workers} in it."""

    name: str
    command: str
    path: str = "/classify"
    one_process: bool = False
    field: str = "video"


PEERS = (
    Peer("LitServe", "python -m bench.peers.litserve_server", field="request"),
    Peer("BentoML", "bentoml serve bench.peers.bentoml_service:Classify --host 0.0.0.0 --port 8000"),
    Peer("Ray Serve", "python -m bench.peers.ray_serve"),
    Peer("FastAPI", "uvicorn bench.peers.fastapi_app:app --host 0.0.0.0 --port 8000 --workers {workers}"),
    Peer("first stack", "python -m bench.peers.first_stack", one_process=True),
)


@dataclass(slots=True)
class Server:
    """Something that answers, and the containers that it is made of; paused unless it is `awake`."""

    name: str
    url: str
    containers: list[str]
    field: str = ""  # of the form that the file is in; "": the body is the file
    clients: tuple[int, ...] = CLIENTS

    @contextmanager
    def awake(self) -> Iterator[None]:
        docker("unpause", *self.containers)
        try:
            yield
        finally:
            docker("pause", *self.containers)

    def usage(self) -> tuple[float, float]:
        """(CPU seconds so far, bytes of memory now) of all its containers."""
        transport = httpx.HTTPTransport(uds="/var/run/docker.sock")
        seconds = memory = 0.0
        with httpx.Client(transport=transport, base_url="http://docker", timeout=30) as api:
            for container in self.containers:
                stats = api.get(f"/containers/{container}/stats", params={"stream": "false", "one-shot": "true"}).json()
                seconds += stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
                used = stats["memory_stats"]
                files = used["stats"].get("inactive_file", used["stats"].get("total_inactive_file", 0))
                memory += used["usage"] - files
        return seconds, memory


def body(path: Path, work: Path, field: str) -> tuple[Path, str]:
    """The upload of a clip and its content type: the file itself, or a form with the file in this field."""
    if not field:
        return path, "video/mp4"
    form = work / f"{path.stem}.{field}.form"
    if not form.exists():
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="video.mp4"'
        head = [f"--{BOUNDARY}", disposition, "Content-Type: video/mp4", "", ""]
        form.write_bytes("\r\n".join(head).encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode())
    return form, f"multipart/form-data; boundary={BOUNDARY}"


@contextmanager
def peer_running(
    peer: Peer, network: str, model: Path, workers: int, threads: int, extra: dict[str, str]
) -> Iterator[Server]:
    """A peer in its container; removed at the end."""
    label = peer.name.lower().replace(" ", "-")
    container = f"cliplane-bench-peer-{label}-{workers}"
    environment = {
        "MODEL": model,
        "VIEWS": VIEWS,
        "WORKERS": workers,
        "THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        **extra,
    }
    options = [word for key, value in environment.items() for word in ("-e", f"{key}={value}")]
    docker("rm", "-f", container)
    command = peer.command.format(workers=workers).split()
    docker(
        *("run", "-d", "--name", container, "--network", network, "--shm-size", "256m", "--init"),
        *("-v", f"{REPOSITORY}:{REPOSITORY}:ro", "-v", f"{model.parent}:{model.parent}:ro", "-w", "/tmp"),
        *(*options, os.environ["BENCH_IMAGE"], *command),
    )
    try:
        yield Server(peer.name, f"http://{container}:8000{peer.path}", [container], peer.field)
    finally:
        docker("rm", "-f", container)


def wait_for(server: Server, path: Path, work: Path) -> dict[str, Any]:
    """What it answers to a clip, as soon as it does.

    Raises:
        TimeoutError: it does not.
    """
    file, content_type = body(path, work, server.field)
    headers = {"Content-Type": content_type}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            got = httpx.post(server.url, content=file.read_bytes(), headers=headers, timeout=120)
            if got.status_code == 200:
                return got.json()
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"{server.name} does not answer")


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in answer["predictions"]}


def difference(mine: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference of a score; infinite where the best label is not the same."""
    if next(iter(mine)) != next(iter(other)):
        return float("inf")
    return max(abs(mine[label] - other[label]) for label in mine.keys() & other.keys())


@dataclass(slots=True)
class Cell:
    """One server, one size, so many clients: all rounds together."""

    ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    memory: float = 0.0

    def row(self) -> dict[str, Any]:
        done = self.statuses["200"]
        return {
            "p50": round(load.quantile(self.ms, 0.5), 1),
            "p99": round(load.quantile(self.ms, 0.99), 1),
            "per_s": round(statistics.median(self.rates), 3),
            "cpu_s": round(self.cpu_s / max(done, 1), 3),
            "memory_mb": round(self.memory / 2**20),
            "answers": done,
            "errors": sum(self.statuses.values()) - done,
        }


def measure(servers: list[Server], clips: dict[str, Path], work: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """size → clients → server → row."""
    cells: dict[tuple[str, int, str], Cell] = defaultdict(Cell)
    turns = [
        (size, clients, server)
        for _ in range(rounds)
        for size in clips
        for clients in CLIENTS
        for server in servers
        if clients in server.clients
    ]
    with Progress() as progress:
        for size, clients, server in progress.track(turns, description="peers"):
            file, content_type = body(clips[size], work, server.field)
            with server.awake():
                load.send(server.url, file, clients, requests=clients, content_type=content_type)  # warm
                cpu_before, _ = server.usage()
                sent = load.send(server.url, file, clients, seconds=seconds, content_type=content_type)
                cpu, memory = server.usage()
            cell = cells[size, clients, server.name]
            cell.ms += sent.ms
            cell.rates.append(sent.per_second)
            cell.statuses += sent.statuses
            cell.cpu_s += cpu - cpu_before
            cell.memory = max(cell.memory, memory)
            progress.console.print(f"{size}, {clients} clients, {server.name}: {sent.per_second:.2f}/s")
    table: dict[str, Any] = {}
    for (size, clients, name), cell in cells.items():
        table.setdefault(size, {}).setdefault(str(clients), {})[name] = cell.row()
    return table


@contextmanager
def all_servers(
    stack: Stack, model: str, names: list[str], clip: Path, work: Path
) -> Iterator[tuple[list[Server], dict[str, float]]]:
    """Cliplane and the peers, all answering alike and all paused; and how far each is from Cliplane's answer."""
    network, folder = f"{stack.project}_default", stack.models / model
    query = f"model={model}&top=5"
    ours = [
        Server("Cliplane", f"{stack.base}/v1/classify?{query}&views={VIEWS}", stack.containers),
        Server("Cliplane, views=auto", f"{stack.base}/v1/classify?{query}&views=auto", stack.containers),
    ]
    reference = scores(wait_for(ours[0], clip, work))
    apart = {}
    with ExitStack() as exits:
        servers = list(ours)
        for peer in PEERS:
            if peer.name not in names:
                continue
            for workers, threads in [(1, CORES)] if peer.one_process else [(CORES, 1), (1, CORES)]:
                triton = {"TRITON": f"{stack.container('triton')}:8000"} if peer.one_process else {}
                server = exits.enter_context(peer_running(peer, network, folder, workers, threads, triton))
                if not peer.one_process and workers == 1:
                    server.name, server.clients = f"{peer.name}, 1 worker", (1,)
                if peer.one_process:  # its Triton is the stack's
                    server.containers.append(stack.container("triton"))
                apart[server.name] = round(difference(reference, scores(wait_for(server, clip, work))), 5)
                print(f"{server.name}: scores within {apart[server.name]}", flush=True)
                if apart[server.name] > ACCEPTABLE:
                    raise SystemExit(f"{server.name} answers something else: {apart[server.name]}")
                docker("pause", server.containers[0])
                servers.append(server)
        docker("pause", *stack.containers)
        try:
            yield servers, apart
        finally:
            everything = {container for server in servers for container in server.containers}
            subprocess.run(["docker", "unpause", *everything], capture_output=True, check=False)


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--models", nargs="*", default=[repository.X3D_S, "camera_motion"])
    parser.add_argument("--only", nargs="*", default=[peer.name for peer in PEERS])
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clips = {size: videos.encoded(args.source, args.work, size, "h264", 250) for size in args.sizes}
    models = repository.models_of(args.work, *args.models)
    result: dict[str, Any] = {"rounds": args.rounds, "seconds": args.seconds, "views": VIEWS, "models": {}}
    for model in args.models:
        repository.add_float32(models, model)
        with (
            running("peers", models, model, open_ports=True) as stack,
            all_servers(stack, model, args.only, clips[args.sizes[0]], args.work) as (servers, apart),
        ):
            table = measure(servers, clips, args.work, args.rounds, args.seconds)
        precision = read_precision((models / model / "config.pbtxt").read_text())
        result["models"][model] = {"precision": precision, "table": table, "largest_difference": apart}
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
