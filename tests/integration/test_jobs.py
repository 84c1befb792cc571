"""Jobs through the whole stack: accepted, run beside requests, and kept through the death of everything."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import BASE, Stack, classify, docker, long_video, video, wait_until

LATER = {"Prefer": "respond-async"}


def submit(body: bytes, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
    return httpx.post(
        f"{BASE}/v1/classify",
        content=body,
        headers=LATER | (headers or {}),
        params=query,  # type: ignore[arg-type]
        timeout=60,
    )


def state(id_: str) -> dict[str, Any]:
    """A job as it is told; {} while nobody can tell."""
    try:
        answer = httpx.get(f"{BASE}/v1/jobs/{id_}", timeout=10)
    except httpx.TransportError:
        return {}
    if answer.status_code >= 500:
        return {}
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ended(id_: str, seconds: float = 120) -> dict[str, Any]:
    wait_until(lambda: state(id_).get("state") in ("done", "failed"), seconds=seconds, what="the job's end")
    return state(id_)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).removeprefix("urn:cliplane:problem:")


def runners(stack: Stack) -> list[int]:
    return [pid for pid, (_, command) in stack.processes("web").items() if "python -m cliplane.jobs" in command]


@pytest.fixture
def jobs(ready: Stack) -> Iterator[Stack]:
    """The stack; afterwards no job is left, and no lane of theirs: other tests count what is in /dev/shm."""
    yield ready
    for told in httpx.get(f"{BASE}/v1/jobs", timeout=10).json()["jobs"]:
        httpx.delete(f"{BASE}/v1/jobs/{told['id']}", timeout=10)

    def is_over() -> bool:
        owners = {
            int(name.split("-")[2])
            for name in ready.shared_memory()
            if name.startswith("cliplane-") and name.count("-") == 3
        }
        return not owners & set(runners(ready))

    wait_until(is_over, seconds=60, what="the end of the jobs' lane")
    assert not ready.exec("web", "find", "/jobs/videos", "-type", "f").strip()


def test_a_job_has_the_answer_that_the_request_would_have_had(jobs: Stack) -> None:
    accepted = submit(video("pan_left"), views=2, top=3)
    assert accepted.status_code == 202, accepted.text
    told = accepted.json()
    assert accepted.headers["Location"] == f"/v1/jobs/{told['id']}"
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert told["state"] in ("queued", "running")
    done = ended(told["id"])
    assert done["state"] == "done"
    at_once = classify(video("pan_left"), views=2, top=3).json()
    same = ("predictions", "views", "video", "warnings", "model", "version")
    assert {name: done["result"][name] for name in same} == {name: at_once[name] for name in same}
    assert done["result"]["handoff"] == "system_shm"
    assert done["progress"] == {"views": 2, "planned": 2}
    with httpx.stream("GET", f"{BASE}/v1/jobs/{told['id']}/events", timeout=10) as events:
        lines = [line for line in events.iter_lines() if line]
    assert [line for line in lines if line.startswith("event")] == ["event: job", "event: result"]
    assert json.loads(lines[-1].removeprefix("data: ")) == done["result"]
    assert httpx.delete(f"{BASE}/v1/jobs/{told['id']}").status_code == 204
    assert problem(httpx.get(f"{BASE}/v1/jobs/{told['id']}")) == (404, "unknown-job")


def test_a_fault_of_the_video_is_the_jobs_answer_and_a_wrong_request_is_refused_at_once(jobs: Stack) -> None:
    broken = b"\0\0\0\x18ftypisom" + bytes(500)
    failed = ended(submit(broken).json()["id"])
    assert failed["state"] == "failed"
    assert failed["attempts"] == 1
    assert failed["error"]["type"] == "urn:cliplane:problem:undecodable-video"
    for refused, expected in {
        submit(b"no video"): (415, "not-a-video"),
        submit(video("pan_left"), model="nobody"): (404, "unknown-model"),
        submit(video("pan_left"), priority="first"): (400, "bad-query"),
        submit(video("pan_left"), webhook="https://10.0.0.1/"): (403, "webhook-forbidden"),
        submit(video("pan_left"), {"Idempotency-Key": ""}): (400, "bad-query"),
        classify(video("pan_left"), priority="batch"): (400, "bad-query"),
        httpx.get(f"{BASE}/v1/jobs/{'0' * 32}"): (404, "unknown-job"),
        httpx.get(f"{BASE}/v1/jobs/..%2f..%2fjobs.sqlite"): (404, "unknown-job"),
        httpx.delete(f"{BASE}/v1/jobs/{'0' * 32}/events"): (405, "method-not-allowed"),
        httpx.post(f"{BASE}/v1/jobs/{'0' * 32}"): (405, "method-not-allowed"),
    }.items():
        assert problem(refused) == expected


def test_an_idempotency_key_makes_one_job(jobs: Stack) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: submit(video("pan_left"), key), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    (id_,) = {answer.json()["id"] for answer in answers}
    assert problem(submit(video("tilt_up"), key)) == (422, "idempotency-key-reused")
    assert ended(id_)["state"] == "done"
    assert submit(video("pan_left"), key).json()["state"] == "done"


def test_requests_go_first_and_a_removed_job_ends(jobs: Stack) -> None:
    id_ = submit(long_video(), views=30).json()["id"]
    wait_until(lambda: state(id_)["state"] == "running", what="the job")
    pid = runners(jobs)[0]

    def decoder() -> list[int]:
        return [p for p, (parent, command) in jobs.processes("web").items() if parent == pid and "decoder" in command]

    wait_until(lambda: bool(decoder()), what="the job's decoder")
    (of_job,) = decoder()
    others = [p for p in jobs.decoders() if p != of_job]
    for other in others:
        jobs.kill("web", other, "STOP")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        request = pool.submit(classify, video("pan_left"))
        try:
            wait_until(lambda: jobs.states([of_job]) == ["T"], what="the job's decoder making way")
        finally:
            for other in others:
                jobs.kill("web", other, "CONT")
        assert request.result().status_code == 200
    httpx.delete(f"{BASE}/v1/jobs/{id_}").raise_for_status()
    wait_until(lambda: not jobs.exec("web", "find", "/jobs/videos", "-type", "f").strip(), what="the end of its work")


def test_whatever_is_killed_no_job_is_lost_and_none_is_answered_twice(jobs: Stack) -> None:
    labels = ("pan_left", "tilt_up", "zoom_in", "pan_right")
    ids = {submit(video(label), top=1, priority="batch").json()["id"]: label for label in labels * 3}
    long = submit(long_video(), views=30).json()["id"]  # before all others, and long enough to be killed in
    wait_until(lambda: state(long).get("state") == "running", what="the job")
    for pid in runners(jobs):
        jobs.kill("web", pid)
    wait_until(lambda: state(long).get("attempts") == 2, what="its second attempt")
    docker("kill", jobs.container("triton"))
    docker("kill", jobs.container("web"))
    for service in ("triton", "web"):
        docker("start", jobs.container(service))
    told = {id_: ended(id_, 180) for id_ in (long, *ids)}
    assert {one["state"] for one in told.values()} == {"done"}
    assert told[long]["attempts"] >= 2
    assert {id_: told[id_]["result"]["predictions"][0]["label"] for id_ in ids} == ids
    listed = [one["id"] for one in httpx.get(f"{BASE}/v1/jobs").json()["jobs"]]
    assert sorted(listed) == sorted(told)
    answered = [line["job"] for line in jobs.log() if line.get("event") == "classified" and "job" in line]
    assert all(answered.count(id_) <= 2 for id_ in told)
    jobs.wait_until_well()


def test_a_job_that_kills_its_process_again_and_again_is_given_up(jobs: Stack) -> None:
    id_ = submit(long_video(), views=30).json()["id"]
    deadline = time.monotonic() + 170
    killed = 0
    while state(id_)["state"] != "failed":
        assert time.monotonic() < deadline
        told = state(id_)
        if told["state"] == "running" and told["attempts"] > killed:
            for pid in runners(jobs):
                jobs.kill("web", pid)
            killed = told["attempts"]
    told = state(id_)
    assert told["error"]["type"] == "urn:cliplane:problem:job-crashed"
    assert told["attempts"] == killed == 5


def test_an_answer_is_known_by_the_videos_digest(jobs: Stack) -> None:
    body = video("pan_left")
    digest = {"sha256": hashlib.sha256(body).hexdigest()}

    def ask(**query: object) -> httpx.Response:
        return httpx.post(f"{BASE}/v1/classify", json=digest, params=query, timeout=10)  # type: ignore[arg-type]

    assert problem(ask(views=2)) == (404, "unknown-digest")
    done = ended(submit(body, views=2).json()["id"])["result"]
    known = ask(views=2)
    assert known.status_code == 200
    assert known.json() | {"request_id": ""} == done | {"request_id": ""}
    assert problem(ask(views=3)) == (404, "unknown-digest")
    assert problem(ask()) == (404, "unknown-digest")


def test_segments_are_a_job_too(jobs: Stack) -> None:
    accepted = httpx.post(
        f"{BASE}/v1/segments", content=video("pan_left"), headers=LATER, params={"stride_s": 0.5}, timeout=60
    )
    assert accepted.status_code == 202, accepted.text
    done = ended(accepted.json()["id"])
    assert done["operation"] == "segments"
    at_once = httpx.post(f"{BASE}/v1/segments", content=video("pan_left"), params={"stride_s": 0.5}, timeout=60).json()
    assert done["result"]["segments"] == at_once["segments"]
