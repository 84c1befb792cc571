"""Containers die, in any order; what comes back finds the one /dev/shm and the one socket, and nobody need help it."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.integration.conftest import BASE, Stack, docker, wait_until

RECOVERY_S = 40
"""Twice what is promised (docs/operations.md): the machine that tests has other work."""


def end_from_inside(stack: Stack, service: str) -> None:
    """As a crash does; the restart policy acts."""
    started = docker("inspect", "-f", "{{.State.StartedAt}}", stack.container(service))
    if service == "web":
        stack.kill("web", 1, "TERM")
    else:
        processes = stack.processes("triton").items()
        stack.kill("triton", next(pid for pid, (_, command) in processes if "bin/tritonserver" in command))
    wait_until(
        lambda: docker("inspect", "-f", "{{.State.StartedAt}}", stack.container(service)) != started,
        what=f"a new start of {service}",
    )


def kill_from_outside(stack: Stack, service: str) -> None:
    """The restart policy takes it for a wish; so somebody starts it."""
    docker("kill", "-s", "KILL", stack.container(service))
    docker("start", stack.container(service))


def restart(stack: Stack, service: str) -> None:
    docker("restart", "-t", "5", stack.container(service))


def answers_by_shared_memory() -> bool:
    try:
        answer = httpx.get(f"{BASE}/readyz", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["handoff"] == "system_shm"


@pytest.mark.parametrize("first", ["web", "triton"])
@pytest.mark.parametrize("die", [end_from_inside, kill_from_outside, restart])
def test_both_containers_die_one_after_the_other(ready: Stack, die: Callable[[Stack, str], None], first: str) -> None:
    for service in (first, "triton" if first == "web" else "web"):
        die(ready, service)
    wait_until(answers_by_shared_memory, seconds=RECOVERY_S, what="answers by shared memory")


@pytest.mark.parametrize("first", ["web", "triton"])
def test_both_containers_die_at_once(ready: Stack, first: str) -> None:
    second = "triton" if first == "web" else "web"
    docker("kill", "-s", "KILL", ready.container("web"), ready.container("triton"))
    docker("start", ready.container(first), ready.container(second))
    wait_until(answers_by_shared_memory, seconds=RECOVERY_S, what="answers by shared memory")
