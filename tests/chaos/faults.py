"""What the stack can suffer: each fault is put in, lasts a moment, and is taken away where it does not heal by itself.

Those in `BORNE` take nothing from anybody: answers must come, and right, while such a fault lasts.

What is filled is a volume of a few MB (compose.chaos.yaml), what is killed a process or a container of this stack.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.integration.conftest import Stack, docker

MODEL = "camera_motion"
Fault = Callable[[Stack, Path, random.Random], contextlib.AbstractContextManager[None]]
"""The stack, its model repository, and what is drawn."""

HOLD_S = (0.5, 4.0)


def hold(chance: random.Random) -> None:
    """As long as a fault lasts; not a wait for anything."""
    time.sleep(chance.uniform(*HOLD_S))


def _pids(stack: Stack, who: str) -> list[int]:
    processes = stack.processes("triton" if who == "tritonserver" else "web").items()
    if who in ("lanes", "control"):  # the arbiter
        return [pid for pid, (parent, command) in processes if parent == 1 and f"PLANE={who} " in command]
    if who in ("lane", "control worker"):
        plane = "lanes" if who == "lane" else "control"
        return [pid for pid, (parent, command) in processes if parent > 1 and f"PLANE={plane} " in command]
    if who.startswith("nginx"):
        return [p for p, (parent, command) in processes if command.startswith("nginx: " + who.split()[1])]
    word = {"decoder": "cliplane.decoder", "tritonserver": "bin/tritonserver"}[who]
    return [pid for pid, (_, command) in processes if word in command]


PROCESSES = (
    *("lane", "decoder", "lanes", "control", "control worker"),
    *("nginx master", "nginx worker", "tritonserver"),
)


def killed(who: str) -> Fault:
    @contextmanager
    def fault(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
        if pids := _pids(stack, who):
            stack.kill("triton" if who == "tritonserver" else "web", chance.choice(pids))
        yield

    return fault


def stopped(who: str) -> Fault:
    @contextmanager
    def fault(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
        service, pids = "triton" if who == "tritonserver" else "web", _pids(stack, who)
        for pid in pids:
            stack.kill(service, pid, "STOP")
        hold(chance)
        for pid in pids:
            stack.kill(service, pid, "CONT")
        yield

    return fault


def containers(how: str) -> Fault:
    """One or two of the three, in any order."""

    @contextmanager
    def fault(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
        services = chance.sample(["web", "triton", "listener"], chance.choice([1, 2]))
        names = [stack.container(service) for service in services]
        if how == "restart":
            for name in names:
                docker("restart", "-t", "5", name)
        elif how == "kill":
            docker("kill", *names)
            docker("start", *chance.sample(names, len(names)))
        else:
            docker("pause", *names)
            hold(chance)
            docker("unpause", *names)
        yield

    return fault


@contextmanager
def packets_delayed(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
    """Answers and uploads wait in a narrow queue (tc-tbf(8); netem, which only delays, is not in every kernel)."""
    ends = (stack.container("listener"), socket.gethostname())  # whose network nginx's connections are in; the clients'
    shape = f"tbf rate {chance.randint(1500, 6000)}kbit burst 4kb latency 2s"
    for end in ends:
        _tc(end, f"replace dev eth0 root {shape}")
    yield
    for end in ends:
        _tc(end, "del dev eth0 root")


def _tc(container: str, words: str) -> None:
    image = f"cliplane-test:{os.environ['IMAGE_TAG']}"
    rights = ("--network", f"container:{container}", "--cap-add", "NET_ADMIN")
    docker("run", "--rm", *rights, image, "tc", "qdisc", *words.split())


@contextmanager
def clock_set(_stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
    """Of every process of web and Triton, by up to a day, forth or back, and then right again."""
    offset = Path("/clock/offset")
    offset.write_text(f"{chance.choice([-86400, -3600, -60, 60, 3600, 86400]):+d}")
    time.sleep(1)  # until libfaketime looks at its file again
    yield
    offset.write_text("+0")


@contextmanager
def log_driver_stuck(stack: Stack, _models: Path, _chance: random.Random) -> Iterator[None]:
    """Whoever receives the logs reads no more; and enough is logged to fill every buffer on the way there."""
    docker("pause", stack.container("logs"))
    with httpx.Client(base_url=stack.base, timeout=2) as client, contextlib.suppress(httpx.TransportError):
        for _ in range(2000):  # lines of 4 kB
            client.get("/" + "x" * 4000)
    yield
    docker("unpause", stack.container("logs"))


def filled(folder: str) -> Fault:
    @contextmanager
    def fault(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
        file = f"{folder}/chaos"
        stack.exec("web", "sh", "-c", f"dd if=/dev/zero of={file} bs=1M 2>/dev/null", check=False)
        hold(chance)
        stack.exec("web", "rm", "-f", file, check=False)
        yield

    return fault


@contextmanager
def regions_removed(stack: Stack, _models: Path, _chance: random.Random) -> Iterator[None]:
    stack.exec("web", "sh", "-c", "rm -f /dev/shm/cliplane-*-*", check=False)
    yield


@contextmanager
def door_walled_up(stack: Stack, _models: Path, chance: random.Random) -> Iterator[None]:
    """The way between web and Triton is cut: no new connection is possible. Their old ones are ended with the lanes."""
    stack.exec("triton", "sh", "-c", "cd /run/triton && mv grpc.sock:8001 away", check=False)
    for pid in _pids(stack, "lane"):
        stack.kill("web", pid)
    hold(chance)
    stack.exec("triton", "sh", "-c", "cd /run/triton && mv -n away grpc.sock:8001; rm -f away", check=False)
    yield


@contextmanager
def memory_eaten(stack: Stack, _models: Path, _chance: random.Random) -> Iterator[None]:
    """Up to the container's limit: the kernel ends the largest, which is the eater."""
    stack.exec("web", "python3", "-c", "hog = [bytearray(2**26) for _ in range(10**4)]", check=False)
    yield


@contextmanager
def model_replaced(_stack: Stack, models: Path, _chance: random.Random) -> Iterator[None]:
    versions = sorted(int(path.name) for path in (models / MODEL).iterdir() if path.name.isdigit())
    shutil.copytree(models / MODEL / str(versions[-1]), models / f".{MODEL}-new")
    (models / f".{MODEL}-new").rename(models / MODEL / str(versions[-1] + 1))
    for old in versions[:-1]:
        shutil.rmtree(models / MODEL / str(old))
    yield


@contextmanager
def model_removed(_stack: Stack, models: Path, chance: random.Random) -> Iterator[None]:
    (models / MODEL).rename(models.parent / "away")
    hold(chance)
    (models.parent / "away").rename(models / MODEL)
    yield


@contextmanager
def model_broken(_stack: Stack, models: Path, chance: random.Random) -> Iterator[None]:
    config = models / MODEL / "config.pbtxt"
    text = config.read_text()
    config.write_text("this is none {")
    hold(chance)
    config.write_text(text)
    yield


FAULTS: dict[str, Fault] = {
    **{f"{who} killed": killed(who) for who in PROCESSES},
    **{f"{who} stopped": stopped(who) for who in ("lane", "decoder", "control worker", "nginx worker", "tritonserver")},
    **{f"containers: {how}": containers(how) for how in ("restart", "kill", "pause")},
    "packets delayed": packets_delayed,
    "clock set": clock_set,
    "log driver stuck": log_driver_stuck,
    "/dev/shm filled": filled("/dev/shm"),
    "spool filled": filled("/spool"),
    "regions removed": regions_removed,
    "way to Triton cut": door_walled_up,
    "memory eaten": memory_eaten,
    "model replaced": model_replaced,
    "model removed": model_removed,
    "model broken": model_broken,
}

BORNE = {"packets delayed", "clock set", "log driver stuck"}
