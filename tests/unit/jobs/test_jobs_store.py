"""Jobs are kept, given to one runner each, and answered once, whatever dies."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import msgspec
import pytest
from cliplane.decoder.media import Span
from cliplane.errors import IdempotencyKeyReused, JobsFull, JobsUnavailable, TooManyJobs, UnknownJob
from cliplane.jobs import files
from cliplane.jobs.asked import PRIORITIES, Asked, Row, document, known_as
from cliplane.jobs.levels import JobLevels
from cliplane.jobs.policy import Retry
from cliplane.jobs.store import Store

from tests.unit.conftest import Clock

CHOICES = {"model": "camera_motion", "views": 2, "top": 5}
ASKED = Asked("classify", "mp4", CHOICES, sha256="ab")


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return Store(tmp_path, clock)


def add(store: Store, id_: str, key: str = "", asked: Asked = ASKED, **more: object) -> Row:
    options: dict[str, object] = {"priority": 1, "request_id": "r", "idempotency_key": None, "max_jobs": 1000} | more
    return store.add(id_, key, asked, **options)  # type: ignore[arg-type]


def test_there_is_nothing_before_the_first_job(store: Store, tmp_path: Path) -> None:
    assert not store.exists()
    assert store.claim("nobody") is None
    assert store.of_key("", 10) == []
    assert store.of_dead_runners() == []
    assert store.counts() == {}
    with pytest.raises(UnknownJob):
        store.get("a", "")
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_claimed_once_and_answered_once(store: Store) -> None:
    add(store, "a")
    (one, _), (other, _) = store.runners.lock(), store.runners.lock()
    row = store.claim(one)
    assert row is not None
    assert (row.id, row.state, row.attempts) == ("a", "running", 1)
    assert store.claim(other) is None
    assert not store.end("a", other, result={"model": "other"})
    assert store.end("a", one, result={"model": "camera_motion"})
    assert not store.end("a", one, result={"model": "again"})
    done = store.get("a", "")
    assert (done.state, done.result) == ("done", msgspec.Raw(b'{"model":"camera_motion"}'))
    assert document(done)["result"] == done.result


def test_metrics_have_the_jobs_that_wait_and_run_and_no_guess_of_a_broken_store(store: Store, tmp_path: Path) -> None:
    def levels() -> dict[str, float]:
        return {metric.name: metric.samples[0].value for metric in JobLevels(tmp_path).collect()}

    assert levels() == {"cliplane_jobs_queued": 0, "cliplane_jobs_running": 0}
    assert list(tmp_path.iterdir()) == []
    for id_ in ("a", "b", "c"):
        add(store, id_)
    name, _ = store.runners.lock()
    store.claim(name)
    assert levels() == {"cliplane_jobs_queued": 2, "cliplane_jobs_running": 1}
    (tmp_path / "jobs.sqlite").write_bytes(b"no database")
    assert levels() == {}


def test_the_order_is_that_of_priority_and_then_of_time(store: Store, clock: Clock) -> None:
    for place, (id_, priority) in enumerate((("b1", "batch"), ("i1", "interactive"), ("b2", "batch"))):
        clock.now = 1000.0 + place
        add(store, id_, priority=PRIORITIES[priority])
    clock.now += 1
    add(store, "i2")
    name, _ = store.runners.lock()
    claimed = [row.id for _ in range(4) if (row := store.claim(name))]
    assert claimed == ["i1", "i2", "b1", "b2"]


def test_a_job_is_its_keys_alone(store: Store) -> None:
    add(store, "a", "camera")
    assert store.get("a", "camera").key == "camera"
    for key in ("", "other"):
        with pytest.raises(UnknownJob):
            store.get("a", key)
        with pytest.raises(UnknownJob):
            store.remove("a", key)
        assert store.of_key(key, 10) == []
    assert [row.id for row in store.of_key("camera", 10)] == ["a"]


def test_a_list_brings_no_results(store: Store) -> None:
    add(store, "a")
    row = store.claim("runner")
    assert row is not None
    assert store.end("a", "runner", result={"segments": [1] * 1000})
    assert b"[1,1,1," in bytes(store.get("a", "").result or b"")
    assert [(one.state, one.result) for one in store.of_key("", 10)] == [("done", None)]


def test_a_large_result_costs_little_to_tell(store: Store) -> None:
    """Of twenty thousand segments; read and written again it took 0.4 s, and a few clients kept /livez waiting."""
    add(store, "a")
    assert store.claim("runner")
    segment = {"label": "a label of some length", "start_s": 1.25, "end_s": 2.5, "score": 0.123456}
    assert store.end("a", "runner", result={"segments": [segment] * 20_000}, known_as="digest")
    began = time.thread_time()
    told = msgspec.json.encode(document(store.get("a", "")))
    known = msgspec.json.encode({**(store.answer("digest") or {}), "request_id": "r"})
    assert time.thread_time() - began < 0.15
    assert json.loads(told)["result"]["segments"] == json.loads(known)["segments"] == [segment] * 20_000


def test_an_idempotency_key_makes_one_job_of_each_key(store: Store) -> None:
    first = add(store, "a", "camera", idempotency_key="k")
    assert add(store, "b", "camera", idempotency_key="k").id == first.id
    assert add(store, "c", "other", idempotency_key="k").id == "c"
    with pytest.raises(IdempotencyKeyReused):
        add(store, "d", "camera", Asked("classify", "mp4", CHOICES | {"views": 3}, sha256="ab"), idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused):
        add(store, "e", "camera", Asked("classify", "mp4", CHOICES, sha256="cd"), idempotency_key="k")
    assert store.counts() == {"queued": 2}


def test_a_key_has_so_many_jobs_and_no_more(store: Store) -> None:
    for id_ in ("a", "b"):
        add(store, id_, "camera", max_jobs=2)
    with pytest.raises(TooManyJobs):
        add(store, "c", "camera", max_jobs=2)
    add(store, "d", "other", max_jobs=2)
    name, _ = store.runners.lock()
    assert store.claim(name)
    assert store.end("a", name, error={"type": "x"})
    add(store, "c", "camera", max_jobs=2)


def test_a_retry_waits_and_only_some_count(store: Store, clock: Clock) -> None:
    add(store, "a")
    name, _ = store.runners.lock()
    assert store.claim(name)
    store.put_back("a", name, Retry(5.0, is_counted=False))
    assert store.claim(name) is None
    clock.now += 5
    row = store.claim(name)
    assert row is not None
    assert row.attempts == 1
    store.put_back("a", name, Retry(0.0, is_counted=True))
    row = store.claim(name)
    assert row is not None
    assert row.attempts == 2


def test_a_job_that_is_removed_while_it_runs_has_no_answer(store: Store) -> None:
    add(store, "a")
    name, _ = store.runners.lock()
    assert store.claim(name)
    assert store.progress("a", name, 1, 2)
    assert store.get("a", "").views_done == 1
    store.remove("a", "")
    assert not store.is_mine("a", name)
    assert not store.progress("a", name, 2, 2)
    assert not store.end("a", name, result={})
    with pytest.raises(UnknownJob):
        store.get("a", "")


def test_what_ended_long_ago_is_forgotten_but_not_before_its_webhook_went_out(store: Store, clock: Clock) -> None:
    add(store, "a")
    add(store, "w", asked=Asked("classify", "mp4", CHOICES, webhook="https://hooks.example/"))
    name, _ = store.runners.lock()
    for id_ in ("a", "w"):
        assert store.claim(name)
        assert store.end(id_, name, result={})
    clock.now += 100
    add(store, "new")
    store.forget(50)
    assert {row.id for row in store.of_key("", 10)} == {"w", "new"}
    due = store.due_webhook()
    assert due is not None
    store.webhook_sent(due.id, is_delivered=False, pause_s=30)
    assert store.due_webhook() is None
    clock.now += 30
    assert store.due_webhook() is not None
    store.webhook_sent("w", is_delivered=True, pause_s=None)
    assert store.get("w", "").webhook_state == "delivered"
    store.forget(50)
    assert {row.id for row in store.of_key("", 10)} == {"new"}


def _claim_and_hang(folder: Path, is_claimed: object) -> None:
    store = Store(folder)
    name, _ = store.runners.lock()
    store.claim(name)
    is_claimed.set()  # type: ignore[attr-defined]
    signal.pause()


def test_the_job_of_a_killed_runner_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "a")
    fork = multiprocessing.get_context("spawn")
    is_claimed = fork.Event()
    process = fork.Process(target=_claim_and_hang, args=(tmp_path, is_claimed))
    process.start()
    assert is_claimed.wait(60)
    assert store.of_dead_runners() == []
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    ((row, runner),) = store.of_dead_runners()
    assert (row.id, row.attempts) == ("a", 1)
    store.put_back(row.id, runner, Retry(0, is_counted=True))
    mine, _ = store.runners.lock()
    again = store.claim(mine)
    assert again is not None
    assert again.attempts == 2
    store.sweep_runners()
    assert [file.name for file in (tmp_path / "runners").iterdir()] == [mine]


def _add_many(folder: Path, first: int) -> None:
    for number in range(first, first + 25):
        add(Store(folder), f"j{number}", idempotency_key=str(number % 30))


def test_processes_that_accept_and_claim_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_add_many, args=(tmp_path, 25 * n)) for n in range(2)]
    for writer in writers:
        writer.start()
    claimed: list[str] = []
    all_are_there = threading.Event()

    def claim() -> None:
        store = Store(tmp_path)
        name, _ = store.runners.lock()
        is_last_look = False
        while not is_last_look:
            is_last_look = all_are_there.is_set()  # before it looks: a job may come after a look that found none
            while row := store.claim(name):
                claimed.append(row.id)
                assert store.end(row.id, name, result={})

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for writer in writers:
        writer.join()
    all_are_there.set()
    for thread in threads:
        thread.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(claimed) == len(set(claimed)) == 30
    assert Store(tmp_path).counts() == {"done": 30}


def test_the_first_jobs_of_all_may_come_at_once(tmp_path: Path) -> None:
    rounds = [tmp_path / str(number) for number in range(40)]
    for folder in rounds:
        folder.mkdir()
        (folder / "jobs.sqlite.new").write_bytes(b"of a lane that died in its making")
    at_once = threading.Barrier(3)

    def accept_or_claim(number: int) -> list[Row | None]:
        found = []
        try:
            for folder in rounds:
                at_once.wait(60)
                store = Store(folder)
                found.append(add(store, f"j{number}") if number else store.claim("runner"))
        except BaseException:
            at_once.abort()  # the others need not wait
            raise
        return found

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(accept_or_claim, range(3)))
    for folder in rounds:
        assert sum(Store(folder).counts().values()) == 2
        assert {file.name for file in folder.iterdir()} == {"jobs.sqlite"}


def test_the_log_of_a_database_that_was_moved_away_is_not_the_next_ones(store: Store, tmp_path: Path) -> None:
    add(store, "a")
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as other:
        other.execute("SELECT * FROM jobs").fetchall()
        add(store, "b")
        kept = (tmp_path / "jobs.sqlite-wal").read_bytes()
    assert kept
    (tmp_path / "jobs.sqlite").rename(tmp_path / "moved")
    (tmp_path / "jobs.sqlite-wal").write_bytes(kept)
    add(store, "c")
    assert [row.id for row in store.of_key("", 10)] == ["c"]


def test_a_database_of_another_version_or_of_nonsense_is_said_to_be_unusable(store: Store, tmp_path: Path) -> None:
    add(store, "a")
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JobsUnavailable, match="99"):
        add(store, "b")
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 1000)
    for file in ("jobs.sqlite-wal", "jobs.sqlite-shm"):
        (tmp_path / file).unlink(missing_ok=True)
    with pytest.raises(JobsUnavailable):
        store.get("a", "")


def test_a_video_is_taken_in_whole_and_only_where_it_fits(tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(b"--form" + b"video" * 1000 + b"--end")
    with source.open("rb") as file:
        digest = files.take_in(file, Span(6, 5006), "a" * 32, tmp_path)
    with files.open_video("a" * 32, tmp_path) as video:
        assert video.read() == b"video" * 1000
    assert len(digest) == 64
    with pytest.raises(JobsFull):
        files.check_room(1, 10**18, tmp_path)
    free = os.statvfs(tmp_path).f_bfree * os.statvfs(tmp_path).f_frsize
    with source.open("rb") as file, pytest.raises(JobsFull):
        files.take_in(file, Span(0, free + 2**30), "b" * 32, tmp_path)
    os.utime(tmp_path / "videos" / ("a" * 32), (0, 0))
    (tmp_path / "videos" / ("c" * 32)).write_bytes(b"being taken in")
    assert files.sweep({"d" * 32}, tmp_path) == ["a" * 32]
    assert [file.name for file in (tmp_path / "videos").iterdir()] == ["c" * 32]


def test_an_answer_is_found_by_key_content_choices_and_model_and_by_nothing_less(store: Store) -> None:
    name, _ = store.runners.lock()
    asked = known_as("camera", "ab", "classify", CHOICES, "v1")
    assert store.answer(asked) is None
    add(store, "a", "camera")
    assert store.claim(name)
    assert store.end("a", name, result={"model": "camera_motion"}, known_as=asked)
    assert store.answer(asked) == {"model": msgspec.Raw(b'"camera_motion"')}
    for other in (
        known_as("other", "ab", "classify", CHOICES, "v1"),
        known_as("camera", "cd", "classify", CHOICES, "v1"),
        known_as("camera", "ab", "segments", CHOICES, "v1"),
        known_as("camera", "ab", "classify", CHOICES | {"views": 3}, "v1"),
        known_as("camera", "ab", "classify", CHOICES, "v2"),
    ):
        assert store.answer(other) is None
    store.remove("a", "camera")
    assert store.answer(asked) is None
