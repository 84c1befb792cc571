"""Stacks that are set up wrong: each names its own error in /readyz and in the log, and still answers by payload."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PROJECT, Stack, video, wait_until

REPOSITORY = Path(__file__).parents[2]

VARIANTS = {
    "wrong-gid": ({"web": {"user": "10002:12345", "group_add": ["10000"]}}, {}, "shared-memory-forbidden"),
    "own-dev-shm": ({"web": {"volumes": [{"type": "tmpfs", "target": "/dev/shm"}]}}, {}, "shared-memory-not-shared"),
    # Docker's default is 64m: there the first of two lanes may find room for its region, or neither.
    "small-shm": ({}, {"SHM_SIZE": "60m"}, "shared-memory-too-small"),
}

ASK = """
import sys, urllib.request, urllib.error
request = urllib.request.Request("http://127.0.0.1:8080" + sys.argv[1], data=sys.stdin.buffer.read() or None)
try: answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as exc: answer = exc
print(answer.status); print(answer.read().decode())
"""


def ask(stack: Stack, path: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
    """Ask from inside the web container: a variant publishes no port that is known."""
    command = ["docker", "exec", "-i", stack.container("web"), "python3", "-c", ASK, path]
    done = subprocess.run(command, input=body, capture_output=True, check=False, timeout=90)
    if done.returncode != 0:
        return 0, {}
    status, _, text = done.stdout.decode().partition("\n")
    return int(status), json.loads(text)


@contextlib.contextmanager
def stack_with(
    name: str, services: object, environment: dict[str, str], folder: Path, webs: int = 1
) -> Iterator[Stack]:
    """A stack of its own, with these changes to compose.yaml and so many web containers."""
    override = folder / "override.yaml"
    override.write_text(json.dumps({"services": services}))
    compose = ["docker", "compose", "-p", f"{PROJECT}-{name}", "-f", "compose.yaml", "-f", str(override)]
    env = {**os.environ, **environment, "HTTP_PORT": "0"}
    run = {"cwd": REPOSITORY, "env": env, "check": True, "capture_output": True, "timeout": 120}
    try:
        subprocess.run([*compose, "up", "-d", "--no-build", "--scale", f"web={webs}"], **run)  # type: ignore[call-overload]
        yield Stack(f"{PROJECT}-{name}")
    finally:
        subprocess.run([*compose, "down", "--volumes", "-t", "5"], **run)  # type: ignore[call-overload]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stack, str]]:
    services, environment, expected = VARIANTS[request.param]
    with stack_with(request.param, services, environment, tmp_path) as stack:
        yield stack, expected


def test_it_names_its_error_and_still_answers(variant: tuple[Stack, str]) -> None:
    stack, expected = variant
    type_ = f"urn:cliplane:problem:{expected}"

    def named() -> bool:
        status, body = ask(stack, "/readyz")
        return status == 503 and body["type"] == type_

    def logged() -> bool:
        return any(line["event"] == "not_ready" and line["error"] == expected for line in stack.log())

    wait_until(named, seconds=60, what=f"{expected} in /readyz")
    wait_until(logged, what=f"{expected} in the log")
    status, result = ask(stack, "/v1/classify", video("tilt_up"))
    assert status == 200
    assert result["handoff"] == "grpc"

    def fallbacks() -> list[dict[str, object]]:
        return [line for line in stack.log() if line["event"] == "handoff_fallback"]

    wait_until(lambda: bool(fallbacks()), what="the fallback in the log")
    assert fallbacks()[0]["error"].startswith("shared-memory-")  # type: ignore[attr-defined]


NONSENSE = """
import numpy as np, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):  # numpy 2 and this stub make an empty tensor of an array
        answer = pb_utils.Tensor("probabilities", np.ones((1, 9), np.float32))
        return [pb_utils.InferenceResponse([answer]) for _ in requests]
"""


@pytest.fixture
def models() -> Iterator[Path]:
    """A model repository, where the engine finds it under the same path."""
    folder = REPOSITORY / "artifacts" / "models-of-nonsense"
    shutil.copytree(REPOSITORY / "services/triton/models/camera_motion", folder / "nonsense")
    yield folder
    shutil.rmtree(folder)


def test_a_model_that_answers_nonsense_is_named_and_its_dead_process_ends_triton(models: Path, tmp_path: Path) -> None:
    config = models / "nonsense" / "config.pbtxt"
    config.write_text(config.read_text().replace("camera_motion", "nonsense").replace("openvino", "python"))
    (models / "nonsense/1/model.py").write_text(NONSENSE)
    image = f"cliplane-triton-python:{os.environ.get('IMAGE_TAG', 'dev')}"
    services = {"triton": {"image": image, "volumes": [f"{models}:/models:ro"]}}
    with stack_with("nonsense", services, {"CLIPLANE_DEFAULT_MODEL": "nonsense"}, tmp_path) as stack:
        named = "urn:cliplane:problem:inference-failed"
        wait_until(lambda: ask(stack, "/readyz")[1].get("type") == named, seconds=60, what=f"{named} in /readyz")
        assert ask(stack, "/v1/classify", video("tilt_up"))[1]["type"] == named
        # Triton would never replace a process of its Python backend that died.
        before, processes = stack.restarts("triton"), stack.processes("triton").items()
        stub = next(pid for pid, (_, command) in processes if "triton_python_backend_stub" in command)
        stack.kill("triton", stub)
        wait_until(lambda: stack.restarts("triton") == before + 1, seconds=60, what="a restart by the health check")
        wait_until(lambda: ask(stack, "/readyz")[1].get("type") == named, seconds=60, what=f"{named} once more")
        segments = [name for name in stack.shared_memory() if name.startswith("triton_python_")]
        assert len(segments) == 1, segments


def test_an_unknown_setting_stops_the_boot_by_name(tmp_path: Path) -> None:
    image = f"cliplane-web:{os.environ.get('IMAGE_TAG', 'dev')}"
    for setting, words in (
        ("CLIPLANE_LANEZ=2", "CLIPLANE_LANEZ"),
        ("CLIPLANE_LANES=two", "CLIPLANE_LANES='two'"),
    ):
        done = subprocess.run(
            ["docker", "run", "--rm", "-e", setting, image],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        line = json.loads(done.stdout.splitlines()[-1])
        assert line["event"] == "settings_wrong"
        assert words in line["detail"]
