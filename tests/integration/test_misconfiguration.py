"""Stacks that are set up wrong: each names its own error in /readyz and in the log, and still answers by payload."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PROJECT, Stack, video, wait_until

REPOSITORY = Path(__file__).parents[2]

VARIANTS = {
    "wrong-uid": ({"triton": {"user": "12345:12345"}}, {}, "shared-memory-forbidden"),
    "no-shared-ipc": ({"web": {"ipc": "private"}}, {}, "shared-memory-not-shared"),
    "small-shm": ({}, {"SHM_SIZE": "64m"}, "shared-memory-too-small"),
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


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stack, str]]:
    services, environment, expected = VARIANTS[request.param]
    project = f"{PROJECT}-{request.param}"
    override = tmp_path / "override.yaml"
    override.write_text(json.dumps({"services": services}))
    compose = ["docker", "compose", "-p", project, "-f", "compose.yaml", "-f", str(override)]
    env = {**os.environ, **environment, "HTTP_PORT": "0"}
    run = {"cwd": REPOSITORY, "env": env, "check": True, "capture_output": True, "timeout": 120}
    try:
        subprocess.run([*compose, "up", "-d", "--no-build"], **run)  # type: ignore[call-overload]
        yield Stack(project), expected
    finally:
        subprocess.run([*compose, "down", "--volumes", "-t", "5"], **run)  # type: ignore[call-overload]


def test_it_names_its_error_and_still_answers(variant: tuple[Stack, str]) -> None:
    stack, expected = variant
    type_ = f"urn:cliplane:problem:{expected}"
    last: list[object] = []

    def named() -> bool:
        status, body = ask(stack, "/readyz")
        last[:] = [status, body]
        return status == 503 and body["type"] == type_

    wait_until(named, seconds=60, what=f"{expected} in /readyz; last {last}")
    assert any(line["event"] == "not_ready" and line["error"] == expected for line in stack.log())
    status, result = ask(stack, "/v1/classify", video("tilt_up"))
    assert status == 200
    assert result["handoff"] == "grpc"
    fallbacks = [line for line in stack.log() if line["event"] == "handoff_fallback"]
    assert fallbacks
    assert fallbacks[0]["error"].startswith("shared-memory-")  # type: ignore[attr-defined]


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
