"""A kernel without Landlock, played by a filter that says ENOSYS: a web container beside the stack's own says so
wherever an operator looks, and its decoders work behind the walls that are left."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.integration.conftest import Stack, docker, stack, video

__all__ = ["stack"]  # a fixture

# Runs in the container: the filter first, for all that comes after it; then the stack, then its questions.
WITHOUT = """
import errno, http.client, json, pathlib, subprocess, sys, time
import pyseccomp
calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"):
    calls.add_rule(pyseccomp.ERRNO(errno.ENOSYS), name)
calls.load()
log = pathlib.Path("/tmp/log")
video = sys.stdin.buffer.read()
web = subprocess.Popen([sys.executable, "-m", "cliplane.ops.boot"], stdout=log.open("w"), stderr=subprocess.STDOUT)

def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8081, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as exc:
        return 0, repr(exc)
    finally:
        connection.close()

ends = time.monotonic() + 60
while ask("GET", "/readyz")[0] != 200 and time.monotonic() < ends and web.poll() is None:
    time.sleep(0.2)
classified = ask("POST", "/v1/classify", video)
filters = [
    line.split()[1]
    for status in pathlib.Path("/proc").glob("[0-9]*/status")
    if b"cliplane.decoder" in (status.parent / "cmdline").read_bytes().split(bytes(1))
    for line in status.read_text().splitlines() if line.startswith("Seccomp_filters")
]
print(json.dumps({
    "classified": classified,
    "version": ask("GET", "/version"),
    "metrics": ask("GET", "/metrics"),
    "doctor": subprocess.run([sys.executable, "-m", "cliplane.ops.doctor"], capture_output=True, text=True).stdout,
    "filters": filters,
    "log": log.read_text().splitlines(),
}))
web.terminate()
web.wait(60)
"""


@pytest.fixture(scope="module")
def said(stack: Stack) -> dict[str, Any]:
    mounts = json.loads(docker("inspect", "-f", "{{json .Mounts}}", stack.container("triton")))
    volumes = {mount["Destination"]: mount["Name"] for mount in mounts if mount["Type"] == "volume"}
    image = f"cliplane-web:{os.environ['IMAGE_TAG']}"
    command = ["docker", "run", "--rm", "-i", "--ipc", "host", "--read-only", "--cap-drop", "ALL"]
    command += ["--security-opt", "no-new-privileges", "--memory", "2g", "-e", "CLIPLANE_LANES=1", "-v", "/spool"]
    command += ["--tmpfs", "/tmp", "--tmpfs", "/run/cliplane:uid=10002,gid=10000,mode=0750"]
    command += ["-v", f"{volumes['/run/triton']}:/run/triton", "-v", f"{volumes['/dev/shm']}:/dev/shm"]
    command += ["--entrypoint", "python", image, "-c", WITHOUT]
    done = subprocess.run(command, input=video("pan_left"), capture_output=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_log_says_so(said: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in said["log"] if line.startswith("{")]
    assert "landlock_missing" in {line["event"] for line in lines}
    (walls,) = [line for line in lines if line["event"] == "walls"]
    assert walls["tcp_connect"] == "open to nginx: no Landlock in this kernel"


def test_version_metrics_and_doctor_say_so(said: dict[str, Any]) -> None:
    assert json.loads(said["version"][1])["landlock"] == 0
    assert "cliplane_landlock_version 0.0" in said["metrics"][1].splitlines()
    (row,) = [row.split("\x1f") for row in said["doctor"].splitlines() if "walls around decoders" in row]
    assert row[0] == "warn"


def test_videos_are_classified_behind_the_other_walls(said: dict[str, Any]) -> None:
    status, body = said["classified"]
    assert status == 200, body
    assert json.loads(body)["predictions"][0]["label"] == "pan_left"
    # Docker's, this test's, IPC calls, sockets, and the decoder's own.
    assert set(said["filters"]) == {"5"}
