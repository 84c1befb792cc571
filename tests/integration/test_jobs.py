"""Jobs through the whole stack: accepted, run beside requests, and kept through the death of everything."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import BASE, Stack, classify, docker, long_video, regions_of, video, wait_until

LATER = {"Prefer": "respond-async"}


def submit(body: bytes, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
    return later("/v1/classify", body, headers, **query)


def later(path: str, body: bytes, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
    return httpx.post(
        f"{BASE}{path}",
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


# Ends the process that runs a job as soon as it does, so many times, from within the container: a command of Docker's
# lasts longer than a job. No pause between two attempts is waited for.
STRIKE = r"""
import os, pathlib, signal, sqlite3, sys, time
job, times, number = sys.argv[1], int(sys.argv[2]), signal.Signals["SIG" + sys.argv[3]]
db = sqlite3.connect("/jobs/jobs.sqlite", timeout=30, isolation_level=None)
fifo = os.open("/run/cliplane/jobs.fifo", os.O_RDWR)
struck = set()
ends = time.monotonic() + 90
while len(struck) < times:
    assert time.monotonic() < ends, f"only {len(struck)} of {times}"
    state, runner = db.execute("SELECT state, runner FROM jobs WHERE id = ?", (job,)).fetchone()
    assert state in ("queued", "running"), state
    if state == "running" and runner not in struck:
        struck.add(runner)
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            if process.read_bytes() == b"python\0-m\0cliplane.jobs\0":
                os.kill(int(process.parent.name), number)
    if db.execute("UPDATE jobs SET not_before = 0 WHERE id = ? AND state = 'queued' AND not_before", (job,)).rowcount:
        os.write(fifo, b"\n")
    time.sleep(0.005)
"""


def strike(stack: Stack, id_: str, times: int = 1, signal: str = "KILL") -> None:
    stack.exec("web", "python3", "-c", STRIKE, id_, str(times), signal)


def lasting_job() -> str:
    """One that runs for some seconds: longer than a command of Docker's takes to begin."""
    return str(later("/v1/segments", long_video(), stride_s=0.04).json()["id"])


def runners(stack: Stack) -> list[int]:
    """The process that runs jobs, or the shell that waits for the first."""
    return [pid for pid, (_, command) in stack.processes("web").items() if "python -m cliplane.jobs" in command]


@contextlib.contextmanager
def held(stack: Stack, pids: list[int]) -> Iterator[None]:
    """Processes that stand still."""
    for pid in pids:
        stack.kill("web", pid, "STOP")
    try:
        yield
    finally:
        for pid in pids:
            stack.kill("web", pid, "CONT")


@pytest.fixture(scope="module", autouse=True)
def their_lane_ends(stack: Stack) -> Iterator[None]:
    """Other modules count what is in /dev/shm."""
    yield
    wait_until(lambda: not regions_of(stack) & set(runners(stack)), seconds=60, what="the end of the jobs' lane")


@pytest.fixture
def jobs(ready: Stack) -> Iterator[Stack]:
    """The stack; afterwards no job is left, and no video."""
    yield ready
    for told in httpx.get(f"{BASE}/v1/jobs", timeout=10).json()["jobs"]:
        httpx.delete(f"{BASE}/v1/jobs/{told['id']}", timeout=10)
    wait_until(lambda: not videos(ready), what="the end of the jobs' videos")


def videos(stack: Stack) -> str:
    return stack.exec("web", "find", "/jobs/videos", "-type", "f").strip()


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
        submit(video("pan_left"), {"Idempotency-Key": "k" * 256}): (400, "bad-query"),
        classify(video("pan_left"), priority="batch"): (400, "bad-query"),
        httpx.get(f"{BASE}/v1/jobs/{'0' * 32}"): (404, "unknown-job"),
        httpx.get(f"{BASE}/v1/jobs/..%2f..%2fjobs.sqlite"): (404, "not-found"),
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


def test_a_job_makes_way_for_a_request_and_goes_on_after_it(jobs: Stack) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with held(jobs, jobs.decoders()):
            request = pool.submit(classify, video("pan_left"))
            wait_until(lambda: jobs.waiting_jobs() > 0, what="the request in its lane")
            id_ = submit(long_video(), views=30).json()["id"]
            wait_until(lambda: stands_still(jobs, id_), what="the job's decoder making way")
        assert request.result().status_code == 200
    assert ended(id_)["state"] == "done"


def decoders_of_jobs(stack: Stack) -> list[int]:
    parents, processes = runners(stack), stack.processes("web")
    return [pid for pid, (parent, command) in processes.items() if parent in parents and "cliplane.decoder" in command]


def stands_still(stack: Stack, id_: str) -> bool:
    told = state(id_)
    assert told["state"] != "done", "it did not make way"
    # Unchecked: the one of the job before may have ended in between.
    stats = [stack.exec("web", "cat", f"/proc/{pid}/stat", check=False) for pid in decoders_of_jobs(stack)]
    return told["state"] == "running" and any(stat.rpartition(")")[2].startswith(" T") for stat in stats)


def test_a_job_that_is_removed_while_it_runs_ends(jobs: Stack) -> None:
    id_ = lasting_job()
    wait_until(lambda: state(id_).get("state") == "running", what="the job")
    httpx.delete(f"{BASE}/v1/jobs/{id_}", timeout=10).raise_for_status()
    wait_until(lambda: not videos(jobs), what="the end of its work")
    wait_until(lambda: events_of(jobs, id_)[-1] == "job_removed", what="its last line")


def events_of(stack: Stack, id_: str) -> list[object]:
    """What the log says of a job."""
    return [line["event"] for line in stack.log() if line.get("job") == id_]


def test_a_stop_of_its_process_gives_a_job_back_and_counts_no_attempt(jobs: Stack) -> None:
    id_ = lasting_job()
    strike(jobs, id_, signal="TERM")
    done = ended(id_)
    assert (done["state"], done["attempts"]) == ("done", 1)
    assert "job_put_back" in events_of(jobs, id_)


def test_whatever_is_killed_no_job_is_lost_and_none_is_answered_twice(jobs: Stack) -> None:
    long_video()  # made now: nothing else is to last while the jobs wait
    labels = ("pan_left", "tilt_up", "zoom_in", "pan_right")
    with held(jobs, runners(jobs)):
        ids = {submit(video(label), top=1, priority="batch").json()["id"]: label for label in labels * 3}
        long = lasting_job()  # before all others
    strike(jobs, long, times=2)
    every = [jobs.container(service) for service in ("triton", "web", "listener")]
    docker("kill", *every)
    docker("start", *every)
    told = {id_: ended(id_, 180) for id_ in (long, *ids)}
    assert {one["state"] for one in told.values()} == {"done"}
    assert told[long]["attempts"] >= 3
    assert {id_: told[id_]["result"]["predictions"][0]["label"] for id_ in ids} == ids
    listed = [one["id"] for one in httpx.get(f"{BASE}/v1/jobs").json()["jobs"]]
    assert sorted(listed) == sorted(told)
    answered = [line["job"] for line in jobs.log() if line.get("event") == "classified" and "job" in line]
    assert all(answered.count(id_) <= 2 for id_ in told)


def test_a_job_that_kills_its_process_again_and_again_is_given_up(jobs: Stack) -> None:
    id_ = lasting_job()
    strike(jobs, id_, times=5)
    told = ended(id_)
    assert (told["state"], told["attempts"]) == ("failed", 5)
    assert told["error"]["type"] == "urn:cliplane:problem:job-crashed"


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


def test_a_known_digest_is_answered_while_every_lane_is_busy(jobs: Stack) -> None:
    body = video("pan_left")
    digest = {"sha256": hashlib.sha256(body).hexdigest()}
    done = ended(submit(body, views=2).json()["id"])["result"]
    took_s = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        with held(jobs, jobs.decoders()):
            requests = [pool.submit(classify, video("tilt_up")) for _ in range(4)]  # two lanes
            wait_until(lambda: jobs.waiting_jobs() >= 2, what="requests in both lanes")
            with httpx.Client(base_url=BASE, timeout=10) as http:
                for _ in range(20):
                    known = http.post("/v1/classify", json=digest, params={"views": 2})
                    assert known.json()["predictions"] == done["predictions"]
                    took_s.append(known.elapsed.total_seconds())
                assert problem(http.post("/v1/classify", json={"sha256": "0" * 64})) == (404, "unknown-digest")
                assert problem(http.post("/v1/segments", json={"sha256": "0" * 63})) == (400, "bad-body")
        assert {request.result().status_code for request in requests} == {200}
    print(f"a known digest: {sorted(round(1000 * one) for one in took_s)} ms")
    assert min(took_s) < 0.05  # the quickest: other processes of a busy machine make the rest longer


def test_segments_are_a_job_too(jobs: Stack) -> None:
    accepted = later("/v1/segments", video("pan_left"), stride_s=0.5)
    assert accepted.status_code == 202, accepted.text
    done = ended(accepted.json()["id"])
    assert done["operation"] == "segments"
    at_once = httpx.post(f"{BASE}/v1/segments", content=video("pan_left"), params={"stride_s": 0.5}, timeout=60).json()
    assert done["result"]["segments"] == at_once["segments"]
