"""`make doctor`: each fault of a host is provoked and found. The `docker` here only says what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane.ops import doctor
from cliplane.settings import MIB, Settings

REPOSITORY = Path(__file__).parents[3]

DOCKER = """#!/bin/bash
case "$*" in
  "info --format {{.ServerVersion}}"*) %(info)s ;;
  "info"*) echo '{"runc":{}}' ;;
  "compose version"*) echo "%(compose)s" ;;
  "compose "*"ps -"*) echo 2f3a ;;
  "image inspect"*) ;;
  "inspect -f"*) echo "/cliplane-triton-1|running|1" ;;
  "events "*"event=oom"*"container=2f3a"*) printf '%(events)s' ;;
  *) exit 1 ;;
esac
"""
WELL = {"server": "27.0.1", "compose": "2.30.0", "memory": str(8 * 2**30), "clock": "", "events": ""}


class Host:
    """A checkout, and a host on which Docker answers as it is told."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin = folder / "a checkout", folder / "bin"
        shutil.copytree(REPOSITORY / "host", self.checkout / "host")
        shutil.copy(REPOSITORY / ".env.example", self.checkout)
        self.model = self.checkout / "services/triton/models/camera_motion/config.pbtxt"
        self.model.parent.mkdir(parents=True)
        self.model.touch()
        self.model.chmod(0o644)
        self.bin.mkdir()

    def examined(
        self, shell: dict[str, str] | None = None, /, *arguments: str, **docker: str
    ) -> tuple[int, dict[str, dict[str, str]]]:
        """The doctor's exit code, and its findings by the names of the checks."""
        facts = WELL | docker
        clock = facts["clock"] or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        info = f'echo "{facts["server"]}|2|/nowhere|4|{facts["memory"]}|{clock}"'
        if facts["server"] == "none":
            info = "echo Cannot connect to the Docker daemon >&2; exit 1"
        stand_in = self.bin / "docker"
        stand_in.write_text(DOCKER % {"info": info, "compose": facts["compose"], "events": facts["events"]})
        stand_in.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HTTP_PORT": str(port), **(shell or {})}
        command = [str(self.checkout / "host/doctor"), *(arguments or ["--host"]), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, {row["check"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_on_which_all_is_well_is_told_so(host: Host) -> None:
    code, found = host.examined()
    assert code == 0, found
    assert {row["verdict"] for row in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("docker", "check", "verdict"),
    [
        ({"server": "none"}, "docker", "FAIL"),
        ({"server": "19.3.1"}, "docker", "FAIL"),
        ({"compose": "2.5.0"}, "compose", "FAIL"),
        ({"compose": ""}, "compose", "FAIL"),
        ({"memory": str(2**30)}, "memory", "warn"),
        ({"clock": "2020-01-01T00:00:00Z"}, "clock", "warn"),
    ],
)
def test_a_fault_of_docker_or_the_machine_is_found(
    host: Host, docker: dict[str, str], check: str, verdict: str
) -> None:
    code, found = host.examined(**docker)
    assert code == (2 if verdict == "FAIL" else 1)
    assert found[check]["verdict"] == verdict
    assert found[check]["needed"]
    assert found[check]["command"]


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ({"CLIPLANE_LANE": "4"}, "settings"),
        ({"CLIPLANE_DEFAULT_MODEL": "nothing"}, "settings"),
        ({"GPU": "1"}, "GPU driver"),
        ({"GPU": "1"}, "GPU toolkit"),
    ],
)
def test_a_fault_of_the_settings_or_the_gpu_is_found(host: Host, shell: dict[str, str], check: str) -> None:
    code, found = host.examined(shell)
    assert (code, found[check]["verdict"]) == (2, "FAIL")


def test_a_model_that_the_containers_cannot_read_is_found(host: Host) -> None:
    host.model.chmod(0o600)
    code, found = host.examined()
    assert (code, found["models"]["verdict"]) == (2, "FAIL")
    subprocess.run(["bash", "-c", found["models"]["command"]], cwd=host.checkout, check=True)
    assert host.examined()[0] == 0


def test_a_container_that_was_ended_for_memory_is_named_though_it_runs_again(host: Host) -> None:
    _, found = host.examined({}, "--json", events="oom\\noom\\n")
    memory = found["memory of cliplane-triton-1"]
    assert (memory["verdict"], "2 times" in memory["found"]) == ("warn", True)
    assert "TRITON_MEMORY" in memory["command"]
    assert "memory of cliplane-triton-1" not in host.examined({}, "--json")[1]


def test_a_port_that_is_taken_is_found(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, found = host.examined({"HTTP_PORT": str(taken.getsockname()[1])})
    assert (code, found["port"]["verdict"]) == (2, "FAIL")


def verdicts(findings: Iterator[doctor.Finding]) -> dict[str, str]:
    return {check: verdict for verdict, check, *_ in findings}


def test_faults_inside_the_container_are_found(tmp_path: Path) -> None:
    marker = tmp_path / "cliplane-triton"
    large = Settings(lanes=64, region_bytes=2**40 // MIB * MIB, max_upload_bytes=2**50)
    found = verdicts(doctor.findings(large, tmp_path, marker, tmp_path))
    assert found["/dev/shm"] == "FAIL"
    assert found["memory of web"] == "warn"
    assert found["spool"] == "warn"
    assert found["one /dev/shm"] == "FAIL"
    assert found["user of web"] == ("ok" if os.getgid() == doctor.GROUP else "FAIL")
    marker.touch()
    found = verdicts(
        doctor.findings(Settings(lanes=1, max_upload_bytes=1024, region_bytes=4096), tmp_path, marker, tmp_path)
    )
    assert found["one /dev/shm"] == "ok"
    assert found["user of triton"] == ("ok" if marker.stat().st_gid == doctor.GROUP else "FAIL")
    assert found["spool"] == "ok"


def test_what_a_container_has_or_has_not_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "cliplane-triton"
    marker.touch()
    theirs = marker.stat().st_gid
    for landlock, gid, expected in ((0, theirs + 1, ("warn", "FAIL", "FAIL")), (4, theirs, ("ok", "ok", "ok"))):
        monkeypatch.setattr("cliplane.kernel.landlock.version", lambda found=landlock: found)
        monkeypatch.setattr(doctor, "GROUP", gid)
        monkeypatch.setattr("os.getgid", lambda: theirs)
        found = verdicts(doctor.findings(Settings(lanes=1), tmp_path, marker, tmp_path))
        assert (found["walls around decoders"], found["user of web"], found["user of triton"]) == expected
