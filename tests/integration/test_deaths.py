"""Containers die, in any order; what comes back finds the one /dev/shm and the one socket, and nobody need help it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import BASE, Stack, docker, video, wait_until
from tests.integration.test_misconfiguration import ask, stack_with

RECOVERY_S = 40
"""Twice what is promised (docs/operations.md): the machine that tests has other work."""


def end_from_inside(stack: Stack, service: str) -> None:
    """As a crash does; the restart policy acts."""
    started = docker("inspect", "-f", "{{.State.StartedAt}}", stack.container(service))
    if service != "triton":
        stack.kill(service, 1, "TERM")
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
    """By the port that is published too."""
    try:
        responses = [httpx.get(f"{base}/readyz", timeout=5) for base in (BASE, "http://listener:8000")]
    except httpx.TransportError:
        return False
    return all(response.status_code == 200 and response.json()["handoff"] == "system_shm" for response in responses)


@pytest.mark.parametrize("order", list(itertools.permutations(["web", "triton", "listener"], 2)), ids="-".join)
@pytest.mark.parametrize("die", [end_from_inside, kill_from_outside, restart])
def test_two_containers_die_one_after_the_other(
    ready: Stack, die: Callable[[Stack, str], None], order: tuple[str, str]
) -> None:
    for service in order:
        die(ready, service)
    wait_until(answers_by_shared_memory, seconds=RECOVERY_S, what="answers by shared memory")


def test_a_second_web_leaves_the_regions_and_the_spool_of_the_first_alone(tmp_path: Path) -> None:
    with stack_with("two", {}, {}, tmp_path, webs=2) as first:
        second = Stack(first.project, web=2)

        def both_answer() -> bool:
            return {ask(stack, "/v1/classify", video("tilt_up"))[0] for stack in (first, second)} == {200}

        wait_until(both_answer, seconds=90, what="answers of both")
        assert ask(first, "/readyz")[1]["handoff"] == ask(second, "/readyz")[1]["handoff"] == "system_shm"
        first.exec("web", "touch", "/spool/upload")
        regions = first.shared_memory()
        assert len(regions) == 2 * 3 + 1  # two lanes and the control plane of each; Triton's marker
        docker("restart", "-t", "5", second.container("web"))
        wait_until(both_answer, seconds=90, what="answers of both")
        left = regions & first.shared_memory()
        assert len(left) == 3 + 1
        assert ask(first, "/readyz")[1]["handoff"] == "system_shm"
        assert regions & first.shared_memory() == left
        assert first.exec("web", "ls", "/spool").split() == ["upload"]


def test_all_containers_die_at_once(ready: Stack) -> None:
    names = [ready.container(service) for service in ("web", "triton", "listener")]
    docker("kill", "-s", "KILL", *names)
    docker("start", *names)
    wait_until(answers_by_shared_memory, seconds=RECOVERY_S, what="answers by shared memory")
