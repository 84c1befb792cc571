"""Real processes are killed in the middle of requests; the next request is right and nothing is left behind."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import (
    BASE,
    InBackground,
    Stack,
    classify,
    docker,
    long_video,
    video,
    wait_until,
)


def test_a_lane_killed_in_a_request_is_replaced(ready: Stack) -> None:
    ready.stop_decoders()
    before = ready.lanes()
    request = InBackground(video("pan_left"))
    wait_until(lambda: ready.waiting_jobs() == 1, what="the request in a lane: its decoder, which stands still, has it")
    for pid in before:
        ready.kill("web", pid)
    response = request.result()
    assert response is not None
    assert response.status_code == 502
    assert response.json()["type"] == "urn:cliplane:problem:lane-died"
    wait_until(lambda: len(ready.lanes()) == 2 and not set(ready.lanes()) & set(before), what="new lanes")
    assert classify(video("tilt_up")).json()["predictions"][0]["label"] == "tilt_up"
    wait_until(lambda: regions_of(ready) == workers_of(ready), what="only living regions")


def regions_of(stack: Stack) -> set[int]:
    """The owners of the regions in /dev/shm."""
    return {
        int(name.split("-")[2]) for name in stack.shared_memory() if name.count("-") == 3 and name[:9] == "cliplane-"
    }


def workers_of(stack: Stack) -> set[int]:
    """All that may have a region: the lanes, and the control plane's worker."""
    return {*stack.lanes(), *stack.workers("control")}


def test_a_decoder_killed_in_a_request_is_replaced(ready: Stack) -> None:
    ready.stop_decoders()
    request = InBackground(video("pan_left"))
    wait_until(lambda: ready.waiting_jobs() == 1, what="the request in a lane")
    shm = ready.shared_memory()
    lanes = ready.lanes()
    for pid in ready.decoders():
        ready.kill("web", pid)
    response = request.result()
    assert response is not None
    assert response.json()["type"] == "urn:cliplane:problem:decoder-crashed"
    assert response.json()["detail"] == "by SIGKILL"
    assert classify(video("tilt_up")).json()["predictions"][0]["label"] == "tilt_up"
    assert classify(video("zoom_in")).json()["predictions"][0]["label"] == "zoom_in"
    assert ready.shared_memory() == shm
    wait_until(lambda: ready.lanes() == lanes, what="the same lanes with new decoders")


def test_a_decoder_that_hangs_is_a_504_and_is_replaced(ready: Stack) -> None:
    ready.stop_decoders()
    shm, lanes = ready.shared_memory(), ready.lanes()
    began = time.monotonic()
    response = classify(video("pan_left"))
    assert response.status_code == 504
    assert response.json()["type"] == "urn:cliplane:problem:decode-timeout"
    assert time.monotonic() - began < 23  # CLIPLANE_REQUEST_TIMEOUT_S=20
    ready.continue_decoders()
    assert classify(video("tilt_up")).json()["predictions"][0]["label"] == "tilt_up"
    assert ready.lanes() == lanes
    assert ready.shared_memory() == shm


def test_triton_killed_in_a_request_comes_back_and_lanes_register_again(ready: Stack) -> None:
    web_restarts = ready.restarts("web")
    body = long_video()
    idle = ready.decoding_ticks()
    request = InBackground(body, views=30)
    wait_until(lambda: ready.decoding_ticks() > idle + 10, what="a decoder at work")
    docker("kill", "-s", "KILL", ready.container("triton"))
    response = request.result()
    assert response is not None
    if response.status_code != 200:  # all its inferences may have been over
        assert response.json()["type"] in (
            "urn:cliplane:problem:triton-unavailable",
            "urn:cliplane:problem:not-ready",
        )
        assert response.status_code == 503
        assert "retry-after" in response.headers
    # `docker kill` counts as a wish of the operator, so the restart policy does not act: a crash does.
    docker("start", ready.container("triton"))
    ready.wait_until_well()
    after = classify(video("tilt_up")).json()
    assert after["predictions"][0]["label"] == "tilt_up"
    assert after["handoff"] == "system_shm"
    assert ready.restarts("web") == web_restarts


def test_the_server_s_crash_is_mended_by_the_restart_policy(ready: Stack) -> None:
    before = ready.restarts("triton")
    server = next(pid for pid, (_, command) in ready.processes("triton").items() if "bin/tritonserver" in command)
    ready.kill("triton", server)
    wait_until(lambda: ready.restarts("triton") == before + 1, what="a restart")
    ready.wait_until_well()
    assert classify(video("tilt_up")).json()["handoff"] == "system_shm"


def test_a_stalled_triton_is_a_504_and_its_region_goes_into_quarantine(ready: Stack) -> None:
    began = time.time()
    ready.stop_decoders()
    names = ready.shared_memory()
    request = InBackground(video("pan_left"))
    # It knows its model already: only its inference is left to Triton.
    wait_until(lambda: ready.waiting_jobs() == 1, what="the request in a lane")
    docker("pause", ready.container("triton"))
    try:
        ready.continue_decoders()
        response = request.result()
    finally:
        docker("unpause", ready.container("triton"))
    assert response is not None
    assert response.status_code == 504, response.text
    assert response.json()["type"] == "urn:cliplane:problem:infer-timeout"
    after = classify(video("tilt_up")).json()
    assert after["predictions"][0]["label"] == "tilt_up"

    def regions_in_quarantine() -> list[object]:
        return [line["region"] for line in ready.log(since=began) if line["event"] == "region_quarantined"]

    wait_until(lambda: bool(regions_in_quarantine()), what="the quarantine in the log")
    quarantined = regions_in_quarantine()
    assert len(quarantined) == 1
    assert quarantined[0] not in ready.shared_memory()
    assert len(ready.shared_memory()) == len(names)
    # Requests make the lane look: CLIPLANE_INFER_TIMEOUT_S=4 later Triton's mapping is given back.

    def given_back() -> bool:
        classify(video("tilt_up"))
        return quarantined[0] not in ready.regions()

    wait_until(given_back, seconds=30, what="the old region unregistered")


def test_a_lane_killed_in_an_inference_is_cleaned_up_once_triton_answers(ready: Stack) -> None:
    ready.stop_decoders()
    before, restarts, frames = ready.lanes(), ready.restarts("triton"), ready.last_frames()
    request = InBackground(video("pan_left"), views=1)
    # It knows its model already: only its inference is left to Triton.
    wait_until(lambda: ready.waiting_jobs() == 1, what="the request in a lane")
    docker("pause", ready.container("triton"))
    try:
        ready.continue_decoders()
        wait_until(lambda: ready.last_frames() != frames, what="all that is to be inferred")
        for pid in before:
            ready.kill("web", pid)
        request.result()
    finally:
        docker("unpause", ready.container("triton"))
    ready.wait_until_well()
    assert ready.restarts("triton") == restarts

    def owners() -> set[int]:
        return {int(name.split("-")[2]) for name in ready.regions() if name.startswith("cliplane-")}

    wait_until(lambda: not owners() & set(before), what="Triton forgets the dead lanes' regions")
    assert not regions_of(ready) & set(before)


def test_lanes_killed_under_load_never_take_triton_with_them(ready: Stack) -> None:
    body, restarts = long_video(), ready.restarts("triton")
    for moment in range(4):
        requests = [InBackground(body, views=30) for _ in range(3)]
        wait_until(lambda: len(ready.spool().splitlines()) >= 2, what="requests in the lanes")
        time.sleep(0.15 * moment)  # not a wait for anything: each round meets another moment of the request
        for pid in ready.lanes():
            ready.kill("web", pid)
        for request in requests:
            request.result()
        wait_until(lambda: len(ready.lanes()) == 2, what="new lanes")
    assert ready.restarts("triton") == restarts
    # Frames of a killed lane's request, left in a slot, must not reach another's answer.
    assert classify(video("roll_cw")).json()["predictions"][0]["label"] == "roll_cw"


@pytest.mark.parametrize("plane", ["lanes", "control"])
def test_a_killed_gunicorn_is_restarted_by_supervisor(ready: Stack, plane: str) -> None:
    began, web_restarts = time.time(), ready.restarts("web")
    before = ready.arbiter(plane)
    ready.kill("web", before)

    def restarted() -> bool:
        states = [(line["name"], line["state"]) for line in ready.log(since=began) if line["event"] == "process_state"]
        return (plane, "EXITED") in states and (plane, "RUNNING") in states

    wait_until(restarted, what="EXITED, then RUNNING")
    assert ready.arbiter(plane) != before
    assert ready.restarts("web") == web_restarts
    wait_until(lambda: regions_of(ready) <= workers_of(ready), what="no region of the dead")


def test_a_killed_nginx_is_restarted_by_supervisor(ready: Stack) -> None:
    began = time.time()
    master = next(
        pid for pid, (parent, command) in ready.processes("web").items() if parent == 1 and "nginx" in command
    )
    ready.kill("web", master)

    def restarted() -> bool:
        states = [(line["name"], line["state"]) for line in ready.log(since=began) if line["event"] == "process_state"]
        return ("nginx", "EXITED") in states and ("nginx", "RUNNING") in states

    wait_until(restarted, what="EXITED, then RUNNING")
    # RUNNING is whatever has lived for a second: it may still be waiting for the dead master's workers to end.
    wait_until(ready.is_ready, what="answers by way of the new nginx")


def test_a_child_that_goes_fatal_ends_the_container_and_docker_starts_it_again(ready: Stack) -> None:
    before = ready.restarts("web")
    # A socket's path that cannot be bound: gunicorn now fails at every start.
    ready.exec("web", "sh", "-c", "rm -f /run/cliplane/control.sock && mkdir -p /run/cliplane/control.sock/x")
    ready.kill("web", ready.arbiter("control"))
    wait_until(lambda: ready.restarts("web") == before + 1, seconds=300, what="the container restarted")
    fatal = [line for line in ready.log() if line["event"] == "process_state" and line["state"] == "FATAL"]
    assert fatal[-1]["name"] == "control"


def test_a_stop_under_load_loses_no_request(ready: Stack) -> None:
    broken: set[object] = set()
    answered: dict[object, int] = {}
    stop = threading.Event()
    began = time.time()

    def client() -> None:
        while not stop.is_set():
            name, url = f"stop-{uuid.uuid4().hex}", f"{BASE}/v1/classify?views=4"
            try:
                response = httpx.post(url, content=video("pan_right"), headers={"X-Request-ID": name}, timeout=60)
                answered[name] = response.status_code
            except httpx.ConnectError:
                return  # refused before it was sent: nothing was lost
            except httpx.TransportError:
                broken.add(name)
                return

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 5, what="load")
    docker("stop", ready.container("web"))
    stop.set()
    for thread in threads:
        thread.join(60)
    docker("start", ready.container("web"))
    # The kernel resets what it has connected and nginx has not taken yet: that was not lost. All it took is in the log.
    logged = {line.get("request_id") for line in ready.log(since=began)}
    assert set(answered) <= logged
    assert not broken & logged
    assert set(answered.values()) <= {200}


def test_web_restarted_alone_leaves_triton_alone(ready: Stack) -> None:
    started = docker("inspect", "-f", "{{.State.StartedAt}}", ready.container("triton"))
    before = ready.regions()
    docker("kill", "-s", "KILL", ready.container("web"))
    docker("start", ready.container("web"))
    ready.wait_until_well()
    assert classify(video("tilt_up")).json()["handoff"] == "system_shm"
    assert docker("inspect", "-f", "{{.State.StartedAt}}", ready.container("triton")) == started
    wait_until(lambda: not before & ready.regions(), what="the dead boot's regions unregistered")
    wait_until(lambda: not before & ready.shared_memory(), what="and removed")


def test_regions_that_somebody_removed_are_made_again(ready: Stack) -> None:
    ready.exec("web", "sh", "-c", "rm /dev/shm/cliplane-*-*")
    docker("restart", ready.container("triton"))
    ready.wait_until_well()
    assert classify(video("tilt_up")).json()["handoff"] == "system_shm"

    def everyone_has_a_region() -> bool:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # a lane makes its own for its next request
            list(pool.map(classify, [video("tilt_up")] * 4))
        return regions_of(ready) == workers_of(ready)

    wait_until(everyone_has_a_region, what="a region for everyone")


@contextlib.contextmanager
def a_client_that_asks_all_the_time() -> Iterator[collections.Counter[str]]:
    """What its requests came to: "200", or a problem's type."""
    outcomes: collections.Counter[str] = collections.Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            response = classify(video("pan_right"), views=1)
            type_ = "200" if response.status_code == 200 else response.json()["type"]
            outcomes[type_.removeprefix("urn:cliplane:problem:")] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        thread.join()


def test_lanes_that_start_anew_are_starting_and_not_busy(ready: Stack) -> None:
    before = ready.arbiter("lanes")
    with a_client_that_asks_all_the_time() as outcomes:
        ready.kill("web", before)
        wait_until(lambda: ready.arbiter("lanes") != before and len(ready.lanes()) == 2, what="new lanes")
        answered = outcomes["200"]
        wait_until(lambda: outcomes["200"] > answered, what="answers")
    assert outcomes["starting"] > 0
    assert set(outcomes) <= {"200", "starting", "lane-died"}


def test_no_model_is_unknown_while_triton_restarts(ready: Stack) -> None:
    with a_client_that_asks_all_the_time() as outcomes:
        docker("restart", ready.container("triton"))
        answered = outcomes["200"]
        wait_until(lambda: outcomes["200"] > answered, what="answers")
    assert set(outcomes) <= {"200", "not-ready", "triton-unavailable"}


def test_readyz_is_503_in_time_while_triton_stands_still(ready: Stack) -> None:
    docker("pause", ready.container("triton"))
    try:
        wait_until(lambda: not ready.is_ready(), what="not ready")
        began = time.monotonic()
        response = httpx.get(f"{BASE}/readyz", timeout=10)
        took = time.monotonic() - began
        alive = httpx.get(f"{BASE}/livez", timeout=10)
    finally:
        docker("unpause", ready.container("triton"))
    assert (response.status_code, response.json()["type"]) == (503, "urn:cliplane:problem:triton-unavailable")
    assert "retry-after" in response.headers
    assert took < 4  # 1.5 s where the machine has nothing else to do
    assert alive.status_code == 200
