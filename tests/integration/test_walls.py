"""The running containers: which doors they have, and that the walls hold every process of theirs."""

from __future__ import annotations

import json
import subprocess

from cliplane.kernel import landlock
from cliplane.settings import Settings

from tests.integration.conftest import Stack, docker

LISTENING = "0A"

CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect(sys.argv[1])
"""


def listening_ports(stack: Stack, service: str) -> set[int]:
    """Ports that answer to other hosts: Docker's own resolver listens on 127.0.0.11."""
    lines = stack.exec(service, "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    found = [line.split()[1].split(":") for line in lines if line.split()[3] == LISTENING]
    return {int(port, 16) for address, port in found if not address.endswith("7F")}


def test_triton_has_no_network_and_web_has_one_port(stack: Stack) -> None:
    (facts,) = json.loads(docker("inspect", stack.container("triton")))
    assert facts["HostConfig"]["NetworkMode"] == "none"
    assert listening_ports(stack, "triton") == set()
    assert listening_ports(stack, "web") == {8080}


def test_only_the_group_may_connect_to_triton(stack: Stack) -> None:
    path = Settings().triton_grpc.removeprefix("unix:")
    stack.exec("web", "python3", "-c", CONNECT, path)
    volume = next(
        mount["Name"]
        for mount in json.loads(docker("inspect", "-f", "{{json .Mounts}}", stack.container("triton")))
        if mount["Destination"] == "/run/triton"
    )
    image = docker("inspect", "-f", "{{.Image}}", stack.container("web")).strip()
    command = ["docker", "run", "--rm", "--user", "10005:10005", "-v", f"{volume}:/run/triton", "--entrypoint"]
    done = subprocess.run(
        [*command, "python3", image, "-c", CONNECT, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PermissionError" in done.stderr


def test_every_process_of_web_is_behind_the_walls(stack: Stack) -> None:
    """Docker's filter, that on IPC calls; on nginx that on datagrams, on gunicorn on sockets, on decoders their own."""
    min_filters = {"nginx": 3, "supervisord": 2, "gunicorn": 3, "cliplane.decoder": 4}
    seen = set()
    for pid, (parent, command) in stack.processes("web").items():
        if pid != 1 and parent == 0:
            continue  # a health check, or this look: Docker puts them in from outside
        status = stack.exec("web", "cat", f"/proc/{pid}/status")
        filters = int(next(line for line in status.splitlines() if line.startswith("Seccomp_filters")).split()[1])
        for name, wanted in min_filters.items():
            if name in command:
                seen.add(name)
                assert filters >= wanted, command
    assert seen == set(min_filters)


def test_what_the_kernel_cannot_close_is_said_in_the_log(stack: Stack) -> None:
    (line,) = [line for line in stack.log() if line["event"] == "walls"][-1:]
    assert (line["tcp_connect"] == "closed") == (landlock.version() >= 4)
