"""Real processes are killed in the middle of requests; the next request is right and nothing is left behind."""

from __future__ import annotations

import time

from tests.integration.conftest import (
    InBackground,
    Stack,
    classify,
    docker,
    long_video,
    regions_of,
    video,
    wait_until,
    workers_of,
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
    wait_until(lambda: not regions_of(ready) & set(before), what="the end of their names")


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
