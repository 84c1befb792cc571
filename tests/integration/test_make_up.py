"""`make up` tells the truth: what is wrong is said in seconds, by name, and leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PROJECT, docker

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project() -> Iterator[str]:
    """A Compose project of its own, taken away again."""
    name = f"{PROJECT}-up-{uuid.uuid4().hex[:6]}"
    yield name
    containers = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}").split()
    if containers:
        docker("rm", "-f", *containers)
    for kind in ("network", "volume"):
        left = docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={name}").split()
        if left:
            docker(kind, "rm", *left)


def up(project: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "IMAGE_TAG": os.environ["IMAGE_TAG"], **settings}
    return subprocess.run(
        ["host/up", "--no-build"],
        cwd=REPOSITORY,
        env={"COMPOSE_PROJECT_NAME": project, "HTTP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def containers(project: str) -> list[str]:
    return docker("ps", "-q", "--filter", f"label=com.docker.compose.project={project}").split()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CLIPLANE_LANE", "4", "the shell: CLIPLANE_LANE: there is no such setting; CLIPLANE_LANES?"),
        ("CLIPLANE_LANES", "two", "CLIPLANE_LANES='two': not a whole number"),
        ("CLIPLANE_CODECS", "h265", "CLIPLANE_CODECS: 'h265' is none of h264, hevc,"),
        ("CLIPLANE_DEFAULT_MODEL", "nothing", "CLIPLANE_DEFAULT_MODEL='nothing': there is no such model;"),
        (
            "CLIPLANE_TRITON_GRPC",
            "nowhere.invalid:8001",
            "CLIPLANE_TRITON_GRPC='nowhere.invalid:8001': 'nowhere.invalid'",
        ),
        ("CLIPLANE_TRITON_GRPC", "triton", "CLIPLANE_TRITON_GRPC='triton': must be unix:PATH or host:port"),
        ("HTTP_PORT", "eighty", "HTTP_PORT='eighty': a port has a number"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(project: str, variable: str, value: str, words: str) -> None:
    began = time.monotonic()
    done = up(project, **{variable: value})
    assert time.monotonic() - began < 30  # 4 s on a host that has nothing else to do
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2].startswith(words)
    assert done.stderr.splitlines()[-1] == "make up: nothing was started"
    assert not containers(project)


def test_it_prints_the_address_and_a_second_one_on_that_port_leaves_nothing(project: str) -> None:
    done = up(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready: http://127.0.0.1:")
    port = done.stdout.split("/")[2].rpartition(":")[2]
    other = f"{project}-2"
    refused = up(other, HTTP_PORT=port)
    assert refused.returncode == 1
    assert port in refused.stderr
    assert "already allocated" in refused.stderr or "something else listens" in refused.stderr
    assert not containers(other)
    again = up(project, HTTP_PORT=port)  # the one that runs is in nobody's way
    assert again.returncode == 0, again.stderr
