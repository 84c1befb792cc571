"""Each limit of a container, reached in the running stack: who meets it fails by name, the rest go on, nobody helps."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
from collections.abc import Iterator

import pytest

from tests.integration.conftest import (
    PROJECT,
    InBackground,
    Stack,
    classify,
    docker,
    long_video,
    video,
    wait_until,
)
from tests.integration.test_make_up import host
from tests.integration.test_restarts import a_client_that_asks_all_the_time

GIB = 2**30
EAT = "hog = [bytearray(2**26) for _ in range(10**4)]"
PIDS = "cat /sys/fs/cgroup/pids.current /sys/fs/cgroup/pids/pids.current 2>/dev/null; true"  # cgroup v2, v1


@contextlib.contextmanager
def limited(stack: Stack, service: str, **limits: object) -> Iterator[None]:
    """`docker update` with these options, and again with those that the container was made with."""
    name = stack.container(service)
    (facts,) = json.loads(docker("inspect", name))
    was = facts["HostConfig"]
    before = {
        "memory": was["Memory"],
        "memory_swap": was["MemorySwap"],
        "pids_limit": was["PidsLimit"],
        "cpus": was["NanoCpus"] / 1e9 or os.cpu_count(),  # 0: no limit, which `docker update` cannot say
    }
    set_to(name, limits)
    try:
        yield
    finally:
        set_to(name, {option: before[option] for option in limits})


def set_to(name: str, limits: dict[str, object]) -> None:
    docker("update", *(f"--{option.replace('_', '-')}={value}" for option, value in limits.items()), name)


def outcome(body: bytes, **query: object) -> str:
    """ "200", or the problem's type."""
    response = classify(body, **query)
    return "200" if response.status_code == 200 else str(response.json()["type"]).removeprefix("urn:cliplane:problem:")


def pids(stack: Stack, service: str) -> int:
    """Processes and threads of a container, and the two that look."""
    return int(stack.exec(service, "sh", "-c", PIDS))


def test_a_decoder_that_takes_the_last_memory_fails_alone(ready: Stack) -> None:
    lanes = ready.lanes()
    ready.stop_decoders()
    with limited(ready, "web", memory=GIB, memory_swap=GIB):
        request = InBackground(video("pan_left"))
        wait_until(lambda: ready.waiting_jobs() == 1, what="the request in a lane")
        ready.exec("web", "python3", "-c", EAT, check=False)
        response = request.result()
        assert response is not None
        assert (response.status_code, response.json()["type"]) == (503, "urn:cliplane:problem:decoder-out-of-memory")
        assert outcome(video("tilt_up")) == "200"
    assert ready.lanes() == lanes


def test_a_video_that_needs_more_threads_than_there_may_be_fails_alone(ready: Stack) -> None:
    lanes = ready.lanes()
    with limited(ready, "web", pids_limit=pids(ready, "web")):
        assert outcome(long_video()) == "decoder-out-of-threads"
        assert [outcome(video("tilt_up")) for _ in range(4)] == ["200"] * 4  # its decoder works without another thread
    assert ready.lanes() == lanes


def test_a_triton_that_is_ended_for_memory_starts_anew_and_doctor_says_so(ready: Stack) -> None:
    before = ready.restarts("triton")
    server = next(pid for pid, (_, command) in ready.processes("triton").items() if "bin/tritonserver" in command)
    ready.exec("triton", "sh", "-c", f"echo 1000 >/proc/{server}/oom_score_adj")  # the server first, not who eats here
    with a_client_that_asks_all_the_time() as outcomes:
        with limited(ready, "triton", memory=GIB, memory_swap=GIB):
            ready.exec("triton", "python3", "-c", EAT, check=False)
            wait_until(lambda: ready.restarts("triton") == before + 1, what="a restart")
        answered = outcomes["200"]
        wait_until(lambda: outcomes["200"] > answered, seconds=60, what="answers")
    assert set(outcomes) <= {"200", "not-ready", "triton-unavailable"}
    found = json.loads(host(["host/doctor", "--json"], PROJECT, {}).stdout)
    assert [row["verdict"] for row in found if row["check"] == f"memory of {ready.container('triton')}"] == ["warn"]


def test_a_triton_that_may_have_no_thread_more_answers_with_those_it_has(ready: Stack) -> None:
    before = ready.restarts("triton")
    with (
        limited(ready, "triton", pids_limit=pids(ready, "triton")),
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(lambda number: outcome(video("tilt_up"), views=1 + number % 8), range(24)))
    assert set(found) == {"200"}
    assert ready.restarts("triton") == before


@pytest.mark.parametrize("service", ["web", "triton"])
def test_little_cpu_time_makes_answers_late_and_not_wrong(ready: Stack, service: str) -> None:
    with limited(ready, service, cpus=0.3), concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: outcome(video("tilt_up")), range(8)))
    assert set(found) <= {"200", "infer-timeout", "decode-timeout"}
    assert "200" in found
