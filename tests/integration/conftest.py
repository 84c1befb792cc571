"""Against the tests' own stack, with the right to break it: the Docker socket, its /dev/shm, its network."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cliplane.settings import Settings
from tritonclient import grpc as triton_grpc

from tests import media

PROJECT = os.environ["STACK"]
BASE = os.environ["BASE"]


def wait_until(condition: Callable[[], bool], *, seconds: float = 30, what: str = "") -> None:
    """Until `condition()` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)


def docker(*arguments: str, check: bool = True) -> str:
    """Output of a docker command."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, f"docker {arguments}: {done.stderr}"
    return done.stdout


# A line a process: pid, parent, command line; before a gunicorn's, which plane it serves.
LIST_PROCESSES = r"""
import pathlib
for p in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        parent = (p / "stat").read_text().rpartition(")")[2].split()[1]
        words = (p / "cmdline").read_text().replace("\0", " ").split()
        if not words:
            continue  # a decoder that died in an idle lane, which looks at it when the next request comes
        is_gunicorn = any(word.endswith("/gunicorn") for word in words[:2])
        environment = (p / "environ").read_text().split("\0") if is_gunicorn else []
        plane = [variable for variable in environment if variable.startswith("PLANE=")]
    except (OSError, IndexError):
        continue
    print(p.name, parent, *plane, *words)
"""

# How many sockets between lanes and decoders (SOCK_SEQPACKET, there are no others) hold what has not been read:
# sock_diag(7) tells that of every unix socket in a network namespace.
COUNT_UNREAD = r"""
import socket, struct
ALL, SHOW_RQLEN, RQLEN, SOCK_DIAG_BY_FAMILY, DUMP, DONE = 0xFFFFFFFF, 0x10, 4, 20, 0x301, 3
diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, ALL, 0, SHOW_RQLEN, ALL, ALL)
diag.send(struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0) + request)
unread, kind = 0, None
while kind != DONE:
    messages = diag.recv(65536)
    while messages:
        size, kind = struct.unpack_from("=IH", messages)
        is_ours = kind == SOCK_DIAG_BY_FAMILY and messages[17] == socket.SOCK_SEQPACKET
        attributes = messages[32:size] if is_ours else b""
        while attributes:
            length, name, received = struct.unpack_from("=HHI", attributes)
            unread += name == RQLEN and received > 0
            attributes = attributes[length + 3 & ~3 :]
        messages = messages[size + 3 & ~3 :]
print(unread)
"""


def triton_client() -> triton_grpc.InferenceServerClient:
    """A client of the tests' own Triton, by its socket."""
    return triton_grpc.InferenceServerClient(Settings().triton_grpc)


class Stack:
    """The containers of one compose project; `web`: which of its web containers, where there are several."""

    def __init__(self, project: str = PROJECT, base: str = BASE, web: int = 1) -> None:
        self.project, self.base, self.web = project, base, web

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-{self.web if service == 'web' else 1}"

    def exec(self, service: str, *command: str, check: bool = True) -> str:
        return docker("exec", self.container(service), *command, check=check)

    def processes(self, service: str) -> dict[int, tuple[int, str]]:
        """pid → (parent, command line) inside a container."""
        lines = self.exec(service, "python3", "-c", LIST_PROCESSES).splitlines()
        rows = [line.split(" ", 2) for line in lines]
        return {int(pid): (int(parent), command) for pid, parent, command in rows}

    def decoders(self) -> list[int]:
        """Those of the lanes: jobs have one of their own, for some seconds."""
        processes = self.processes("web")
        of_jobs = {pid for pid, (_, command) in processes.items() if "cliplane.jobs" in command}
        return sorted(
            pid
            for pid, (parent, command) in processes.items()
            if "cliplane.decoder" in command and parent not in of_jobs
        )

    def arbiter(self, plane: str) -> int:
        """The gunicorn that supervisord started for a plane; after a killed one, when its orphans have ended too."""
        found: list[int] = []

        def is_alone() -> bool:
            processes = self.processes("web").items()
            found[:] = [pid for pid, (parent, command) in processes if parent == 1 and f"PLANE={plane} " in command]
            return len(found) == 1

        wait_until(is_alone, what=f"one gunicorn of {plane}")
        return found[0]

    def lanes(self) -> list[int]:
        """The workers of the lanes' gunicorn."""
        return self.workers("lanes")

    def workers(self, plane: str) -> list[int]:
        processes = self.processes("web").items()
        return sorted(
            pid for pid, (parent, command) in processes if parent != 1 and command.startswith(f"PLANE={plane} ")
        )

    def waiting_jobs(self) -> int:
        """Jobs that lanes have written to their decoders, which have not read them: they stand still."""
        return int(self.exec("web", "python3", "-c", COUNT_UNREAD))

    def decoding_ticks(self) -> int:
        """CPU time of all decoders, in clock ticks: it grows while one works."""
        stats = [self.exec("web", "cat", f"/proc/{pid}/stat", check=False) for pid in self.decoders()]
        return sum(int(stat.rpartition(")")[2].split()[11]) for stat in stats if stat)

    def kill(self, service: str, pid: int, signal: str = "KILL") -> None:
        # Unchecked: where it ends the container, it ends this command too.
        self.exec(service, "python3", "-c", f"import os, signal; os.kill({pid}, signal.SIG{signal})", check=False)

    def shared_memory(self) -> set[str]:
        """Names in the shared /dev/shm."""
        return set(self.exec("web", "ls", "/dev/shm").split())

    def regions(self) -> set[str]:
        """Names that this stack's Triton has mapped."""
        with triton_client() as client:
            return set(client.get_system_shared_memory_status(client_timeout=5).regions)

    def raw_log(self, service: str, since: float | None = None) -> str:
        arguments = ["logs", *(["--since", f"{since:.3f}"] if since else []), self.container(service)]
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout + done.stderr

    def log(self, since: float | None = None) -> list[dict[str, object]]:
        """The web container's log: JSON lines. Only nginx's error log has a form of its own."""
        return [json.loads(line) for line in self.raw_log("web", since).splitlines() if line.startswith("{")]

    def restarts(self, service: str) -> int:
        return int(docker("inspect", "-f", "{{.RestartCount}}", self.container(service)))

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.base}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def all_lanes_answer(self) -> bool:
        """Whether both lanes answer and have their decoders: a lane looks at what it has when a request comes."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(classify, [video("pan_right")] * 4))
        are_right = {response.status_code for response in responses} == {200}
        return are_right and len(self.decoders()) == len(self.lanes()) == 2

    def wait_until_well(self) -> None:
        """Ready, with both lanes, and both know the Triton that runs now."""
        wait_until(lambda: self.is_ready() and len(self.lanes()) == 2, seconds=90, what="ready")
        wait_until(self.all_lanes_answer, seconds=60, what="answers of both lanes")
        for label in ("zoom_in", "tilt_up", "pan_left", "zoom_out"):
            assert classify(video(label)).json()["predictions"][0]["label"] == label

    def stop_decoders(self) -> None:
        """Every decoder stands still, so that a request stays in its middle.

        They are new ones: the lane would replace one that has seen its CLIPLANE_DECODER_MAX_VIDEOS.
        """
        for pid in self.decoders():
            self.kill("web", pid)
        wait_until(self.all_lanes_answer, what="new decoders")
        for pid in self.decoders():
            self.kill("web", pid, "STOP")
        wait_until(lambda: set(self.states(self.decoders())) == {"T"}, what="decoders that stand still")

    def continue_decoders(self) -> None:
        for pid in self.decoders():
            self.kill("web", pid, "CONT")

    def states(self, pids: list[int]) -> list[str]:
        """What processes of the web container do: R, S, T, … (proc_pid_stat(5))."""
        return [self.exec("web", "cat", f"/proc/{pid}/stat").rpartition(")")[2].split()[0] for pid in pids]

    def last_frames(self) -> dict[str, bytes]:
        """The last frame of the first view in each lane's region, as it is now: a view is 8 of 64 × 64 × 3 bytes."""
        lanes, size = self.lanes(), 64 * 64 * 3
        found = {}
        for name in self.shared_memory():
            if any(f"-{pid}-" in name for pid in lanes):
                with (Path("/dev/shm") / name).open("rb") as region:
                    region.seek(7 * size)
                    found[name] = region.read(size)
        return found

    def spool(self) -> str:
        return self.exec("web", "find", "/spool", "-type", "f").strip()


def regions_of(stack: Stack) -> set[int]:
    """The owners of the regions in /dev/shm."""
    return {
        int(name.split("-")[2]) for name in stack.shared_memory() if name.count("-") == 3 and name[:9] == "cliplane-"
    }


def workers_of(stack: Stack) -> set[int]:
    """All that may have a region: the lanes, and the control plane's worker."""
    return {*stack.lanes(), *stack.workers("control")}


@pytest.fixture(scope="session")
def stack() -> Stack:
    return Stack()


@pytest.fixture
def ready(stack: Stack) -> Iterator[Stack]:
    """The stack, ready before the test and again after it, with all its lanes, and nothing left behind."""
    stack.wait_until_well()
    yield stack
    stack.wait_until_well()
    wait_until(lambda: not stack.spool(), what="an empty spool")


_VIDEOS: dict[str, bytes] = {}


def video(label: str) -> bytes:
    """A short video of a move; made once."""
    if label not in _VIDEOS:
        _VIDEOS[label] = media.clip(label)
    return _VIDEOS[label]


def long_video() -> bytes:
    """One that takes a lane a good second: 20 s of 854 × 480."""
    if "long" not in _VIDEOS:
        scenes = list(media.moving_camera("tilt_down", frames=40, width=854, height=480, speed=0.004))
        frames = (scenes[t % 80 if t % 80 < 40 else 79 - t % 80] for t in range(500))
        _VIDEOS["long"] = media.encode(frames, options={"preset": "veryfast", "crf": "35"})
    return _VIDEOS["long"]


def classify(body: bytes, **query: object) -> httpx.Response:
    return httpx.post(f"{BASE}/v1/classify", params=query, content=body, timeout=60)  # type: ignore[arg-type]


class InBackground:
    """A request that runs while the test does something to the stack."""

    def __init__(self, body: bytes, **query: object) -> None:
        self.response: httpx.Response | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(body, query))
        self._thread.start()

    def _run(self, body: bytes, query: dict[str, object]) -> None:
        try:
            self.response = classify(body, **query)
        except httpx.TransportError as exc:
            self.error = exc

    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> httpx.Response | None:
        """The answer, or None where the connection broke."""
        self._thread.join(90)
        assert not self._thread.is_alive(), "the request hangs"
        return self.response
