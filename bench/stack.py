"""A Cliplane stack of its own for one benchmark, with the models and settings that it wants.

The benchmarks run in a container; it joins the stack's network, so that no published port is in the way.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parents[1]
MODELS = REPOSITORY / "services" / "triton" / "models"

PATIENCE_S = 60

SETTINGS = {
    "CLIPLANE_REQUEST_TIMEOUT_S": "120",
    "CLIPLANE_INFER_TIMEOUT_S": "60",
    "CLIPLANE_MAX_UPLOAD_BYTES": str(2**31),
}


def docker(*arguments: str) -> str:
    """Output of a docker command.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. `models` is the model repository of its Triton, whose ports are open only where asked for, and
    which has the Python backend only where asked for."""

    project: str
    models: Path
    settings: Mapping[str, str]
    shm_size: str
    open_ports: bool
    has_python: bool

    @property
    def base(self) -> str:
        return f"http://{self.container('web')}:8080"

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    @property
    def containers(self) -> list[str]:
        return [self.container(service) for service in ("triton", "web")]

    @property
    def shm_volume(self) -> str:
        """What lies at /dev/shm of both containers."""
        return f"{self.project}-shm-a-{self.shm_size}"  # a: the colour (ADR 27)

    def compose(self, *arguments: str) -> None:
        """Docker compose on this stack.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        environment = {
            **os.environ,
            **SETTINGS,
            **self.settings,
            "MODELS": str(self.models),
            "SHM_SIZE": self.shm_size,
            "HTTP_PORT": "0",
        }
        files = ["compose.yaml", "bench/stack.yaml", *(["bench/ports.yaml"] if self.open_ports else [])]
        files += ["compose.python.yaml"] if self.has_python else []
        options = [word for file in files for word in ("-f", file)]
        command = ["docker", "compose", "-p", self.project, *options, *arguments]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)

    def wait(self, model: str) -> None:
        """Until this model is served.

        Raises:
            TimeoutError: it was not within `PATIENCE_S`.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.base}/readyz", timeout=5).status_code == 200:
                    models = httpx.get(f"{self.base}/v1/models", timeout=5).json()["models"]
                    if model in {one["name"] for one in models}:
                        return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"{self.project}: {model} is not served after {PATIENCE_S} s")


@contextmanager
def running(
    name: str,
    models: Path,
    default_model: str,
    settings: Mapping[str, str] | None = None,
    shm_size: str = "704m",
    *,
    open_ports: bool = False,
    has_python: bool = False,
) -> Iterator[Stack]:
    """A stack with these models, started; taken down at the end."""
    chosen = {"CLIPLANE_DEFAULT_MODEL": default_model, **(settings or {})}
    stack = Stack(f"cliplane-bench-{name}", models, chosen, shm_size, open_ports, has_python)
    network = f"{stack.project}_default"
    me = socket.gethostname()
    try:
        stack.compose("up", "-d", "--no-build")
        docker("network", "connect", network, me)
        stack.wait(default_model)
        yield stack
    finally:
        subprocess.run(["docker", "network", "disconnect", "-f", network, me], capture_output=True, check=False)
        stack.compose("down", "--volumes", "-t", "5")


def python_model(template: Path, models: Path, name: str, **values: object) -> None:
    """Put the model of a folder with `model.py` and `config.pbtxt` into a repository, its config's NAMES filled in."""
    folder = models / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "1").mkdir(parents=True)
    shutil.copy(template / "model.py", folder / "1")
    config = (template / "config.pbtxt").read_text()
    for key, value in values.items():
        config = config.replace(key, str(value))
    (folder / "config.pbtxt").write_text(config)
    classes = 2
    (folder / "labels.txt").write_text("".join(f"{number}\n" for number in range(classes)))
