"""The exporter's container, and names in the repository that are taken away again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import BASE, wait_until

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "services" / "triton" / "models"
RUN = REPOSITORY / "services" / "triton" / "export" / "run"


def run(
    *arguments: object, entry: str = "python", options: Sequence[str] = (), seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """A command in the exporter's image, which sees the repository under the path it has here."""
    mounts = ["-v", f"{REPOSITORY}:{REPOSITORY}", *options]
    command = ["docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", entry, os.environ["EXPORTER"]]
    done = [*command, *map(str, arguments)]
    return subprocess.run(done, capture_output=True, text=True, check=False, timeout=seconds)


def make(what: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """`make model` or `make engines` with these variables, less the building of images. There is no internet."""
    given = {"VIDEOS": REPOSITORY / "tests", "WEIGHTS": REPOSITORY / "artifacts" / "weights", **variables}
    environment = os.environ | {name: str(value) for name, value in given.items()}
    return subprocess.run(
        [RUN, what], capture_output=True, text=True, check=False, timeout=600, env=environment, cwd=REPOSITORY
    )


def containers() -> list[str]:
    """What `make model` has running, or has left."""
    tag = os.environ["IMAGE_TAG"]
    found = []
    for image in (os.environ["EXPORTER"], f"cliplane-triton:{tag}"):
        command = ["docker", "ps", "-aq", "--filter", f"ancestor={image}", "--filter", "name=cliplane-model-"]
        found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return found


def repository() -> dict[str, str]:
    """Every file of the model repository and of what stands beside it, with its digest."""
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found | {str(path): "" for path in MODELS.parent.glob(".models.*")}


def seed(network: str, classes: int, checkpoint: Path) -> None:
    """A checkpoint with random, seeded weights, the same ones each time."""
    done = run("-W", "ignore", "-m", "exporter.seeded", network, classes, checkpoint)
    assert done.returncode == 0, done.stderr


def served() -> set[str]:
    """The models that are served, once Triton says so: one that loads a model may be too busy for a while."""
    names: set[str] = set()

    def is_told() -> bool:
        response = httpx.get(f"{BASE}/v1/models", timeout=60)
        if response.status_code == 200:
            names.update(model["name"] for model in response.json()["models"])
        return response.status_code == 200

    wait_until(is_told, seconds=60, what="Triton tells its models")
    return names


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder that the exporter's container sees under the same path."""
    folder = REPOSITORY / "artifacts" / f"models-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def name() -> Iterator[str]:
    """A name that is taken away again, whatever became of it."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["rm", "-rf", str(MODELS / name)], check=True)
    wait_until(lambda: name not in served(), seconds=30, what="the model is gone")
