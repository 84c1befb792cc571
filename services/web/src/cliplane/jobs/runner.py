"""Runs the jobs of a volume, one at a time, through a lane of its own.

The lane is made at the first job and given back soon after the last, so that nothing is held where there are none.
While requests are here the decoder stands still (SIGSTOP), so that no frame is decoded and no call is made for a job,
but for a short turn now and then (`policy.Turns`). What ends an attempt is written down, what follows is `policy.py`'s.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from cliplane import metrics
from cliplane.errors import ClientGone, CliplaneError, JobCrashed, JobsFull, JobsUnavailable, problem
from cliplane.intake import spool
from cliplane.jobs import files
from cliplane.jobs.asked import Row, known_as
from cliplane.jobs.policy import Retry, Turns, after_crash, after_failure
from cliplane.jobs.store import Store
from cliplane.paths import SPOOL
from cliplane.settings import Settings

if TYPE_CHECKING:
    from cliplane.lane.lane import Lane
    from cliplane.triton.client import Triton

log = structlog.get_logger()

LOOK_S = 5.0
"""At least so often it looks for jobs: another container on this host may have accepted some, or died."""

KEEP_LANE_S = 5.0
"""How long after a job its lane waits for the next."""

EXIT_AFTER_S = 60.0
"""After so long without a job a process that has had a lane ends, and with it what gRPC and its like have loaded."""

SWEEP_S = 600.0

WATCH_S = 0.02
"""How often it looks whether requests are here, while a job runs."""

TELL_S = 1.0
"""How often a job's progress is written down."""

STOPPED = Retry(0.0, is_counted=False)


class Runner:
    """One process's work; `wake` is readable when a lane has accepted a job."""

    def __init__(self, settings: Settings, wake: int) -> None:
        self._settings, self._wake = settings, wake
        self._store = Store()
        self._name, self._lock = self._store.runners.lock()
        self._lane: Lane | None = None
        self._triton: Triton | None = None
        self._is_stopping = False
        self._end_of_job = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._last_job_at = time.monotonic()
        self._swept_at = -SWEEP_S

    def stop(self) -> None:
        """From a signal: the job goes back to the others."""
        self._is_stopping = True
        os.eventfd_write(self._end_of_job, 1)

    def run(self) -> None:
        """Until it is stopped, or has had nothing to do for long."""
        try:
            while not self._is_stopping:
                try:
                    has_worked = self._look()
                except (JobsFull, JobsUnavailable) as error:  # of what is written down nothing is lost
                    log.error("jobs_unavailable", error=error.type, detail=error.detail)
                    self._wait(LOOK_S)
                    continue
                if has_worked:
                    self._last_job_at = time.monotonic()
                    continue
                idle_s = time.monotonic() - self._last_job_at
                if self._lane is not None and idle_s > KEEP_LANE_S:
                    self._close_lane()
                if self._triton is not None and idle_s > EXIT_AFTER_S:
                    return
                self._wait(LOOK_S if self._lane is None else 1.0)
        finally:
            self._close_lane()
            metrics.forget_process(os.getpid())

    def _look(self) -> bool:
        """One job, if there is one."""
        self._take_over()
        if time.monotonic() - self._swept_at > SWEEP_S:
            self._swept_at = time.monotonic()
            self._store.forget(self._settings.jobs_keep_s)
            self._store.sweep_runners()
            if swept := files.sweep(self._store.active()):
                log.warning("job_videos_swept", jobs=swept)
        row = self._store.claim(self._name)
        if row is None:
            return False
        structlog.contextvars.bind_contextvars(request_id=row.request_id, job=row.id)
        try:
            self._attempt(row)
        finally:
            structlog.contextvars.unbind_contextvars("request_id", "job")
        return True

    def _take_over(self) -> None:
        """The jobs of runners that died: once more, or, after too many deaths, no more."""
        for row, runner in self._store.of_dead_runners():
            if retry := after_crash(row.attempts):
                log.warning("job_taken_over", job=row.id, attempts=row.attempts)
                metrics.JOBS.labels("crashed").inc()
                self._store.put_back(row.id, runner, retry)
            else:
                self._give_up(row, runner, JobCrashed(f"{row.attempts} times"))

    def _attempt(self, row: Row) -> None:
        log.info("job_started", attempt=row.attempts, operation=row.asked.operation)
        try:
            result, views, content = self._run(row)
        except ClientGone:
            if self._is_stopping:
                self._store.put_back(row.id, self._name, STOPPED)
                log.info("job_put_back")
            else:
                files.remove(row.id)
                log.info("job_removed")
        except CliplaneError as error:
            if retry := after_failure(error, row.attempts):
                log.warning("job_retried", error=error.type, detail=error.detail, pause_s=retry.pause_s)
                metrics.JOBS.labels("retried").inc()
                self._store.put_back(row.id, self._name, retry)
            else:
                self._give_up(row, self._name, error)
        except Exception:
            log.exception("job_broke")
            if retry := after_crash(row.attempts):
                self._store.put_back(row.id, self._name, retry)
            else:
                self._give_up(row, self._name, CliplaneError())
        else:
            self._end(row, self._name, result=result, views=views, known_as=content)
            metrics.JOBS.labels("done").inc()

    def _give_up(self, row: Row, runner: str, error: CliplaneError) -> None:
        log.error("job_failed", job=row.id, error=error.type, detail=error.detail, attempts=row.attempts)
        metrics.JOBS.labels("failed").inc()
        self._end(row, runner, error=problem(error, row.request_id))

    def _end(self, row: Row, runner: str, **answer: Any) -> None:
        """Write the answer down; a full disk is waited for, since the work is done and must not be lost."""
        while True:
            try:
                self._store.end(row.id, runner, **answer)
                break
            except (JobsFull, JobsUnavailable) as error:
                log.error("jobs_unavailable", error=error.type, detail=error.detail)
                if self._is_stopping:
                    return  # whoever comes next finds the job without a runner
                time.sleep(1.0)
        files.remove(row.id)

    def _run(self, row: Row) -> tuple[dict[str, Any], int, str | None]:
        """The result of a job, of how many views or windows it is, and by what it is found again.

        Raises:
            CliplaneError: as `classify` does; ClientGone: the job is to end, by `stop` or since its row is gone.
        """
        from cliplane.intake.media_root import open_media
        from cliplane.lane import journal
        from cliplane.lane.classification import classify
        from cliplane.lane.comparison import compare
        from cliplane.lane.requests import Job
        from cliplane.lane.segmentation import SegmentsJob, segment

        lane, asked = self._open_lane(), row.asked
        given: dict[str, Any] = asked.choices | {
            "path": asked.path or row.id,
            "open_file": open_media if asked.path else files.open_video,
            "span": None,
            "container": asked.container,
            "request_id": row.request_id,
            "spool_ms": 0.0,
            "client": self._end_of_job,
            "key": row.key,
        }
        job = Job(**given) if asked.operation == "classify" else SegmentsJob(**given)
        if isinstance(job, SegmentsJob):
            events = segment(lane, job)
        else:
            events = compare(lane, job) if len(job.models) > 1 else classify(lane, job)
        watch = _Watch(self._store, self._name, row.id, lane, self._end_of_job)
        try:
            views = asked.choices.get("views")
            done, planned = 0, views if isinstance(views, int) else None
            for event in journal.recorded(events, job, lane.triton.knows):
                done += event.name in ("view", "window")
                watch.tell(done, planned)
            content = None
            if (
                asked.sha256
                and "," not in job.model
                and (spec := lane.spec(job.model)).version == event.data["version"]
            ):
                content = known_as(row.key, asked.sha256, asked.operation, asked.choices, spec.fingerprint())
            return event.data, done, content
        finally:
            watch.close()
            if not self._is_stopping:
                _empty(self._end_of_job)

    def _open_lane(self) -> Lane:
        if self._lane is None or self._triton is None:
            from cliplane.lane.lane import Lane
            from cliplane.triton.client import Triton

            self._triton = self._triton or Triton(self._settings.triton_grpc)
            self._lane = Lane(self._settings, self._triton, is_for_jobs=True)
        return self._lane

    def _close_lane(self) -> None:
        if self._lane is not None:
            self._lane.close()
            self._lane = None

    def _wait(self, seconds: float) -> None:
        if select.select([self._wake, self._end_of_job], [], [], seconds)[0] and not self._is_stopping:
            _empty(self._wake)


class _Watch:
    """A thread beside a running job: lets its decoder stand still for requests, writes progress down, and sees that the
    job was removed."""

    def __init__(self, store: Store, runner: str, job: str, lane: Lane, end_of_job: int) -> None:
        self._store, self._runner, self._job, self._lane, self._end_of_job = store, runner, job, lane, end_of_job
        self._progress: tuple[int, int | None] = (0, None)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def tell(self, done: int, planned: int | None) -> None:
        self._progress = (done, planned)

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._lane.pause_decoder(is_paused=False)

    def _run(self) -> None:
        turns, told, told_at, is_paused = Turns(), self._progress, time.monotonic(), False
        while not self._is_over.wait(WATCH_S):
            now = time.monotonic()
            may_work = turns.may_work(now, is_busy=spool.whole_uploads(SPOOL) > 0)
            if may_work == is_paused:
                is_paused = not may_work
                self._lane.pause_decoder(is_paused=is_paused)
            if now - told_at < TELL_S:
                continue
            told_at = now
            try:
                if self._progress != told:
                    told = self._progress
                    is_mine = self._store.progress(self._job, self._runner, *told)
                else:
                    is_mine = self._store.is_mine(self._job, self._runner)
            except (JobsFull, JobsUnavailable):
                continue  # progress is a courtesy
            if not is_mine:
                os.eventfd_write(self._end_of_job, 1)
                return


def _empty(fd: int) -> None:
    while select.select([fd], [], [], 0)[0]:
        os.read(fd, 4096)
