"""The jobs, as rows of a database (`database.py`) that outlives every container: what is committed is kept.

Several processes use it, in one container or in two side by side on one host: lanes accept, the control plane tells,
one runner of each container works. When a runner is gone (`runners.py`), its job is anybody's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cliplane.errors import IdempotencyKeyReused, TooManyJobs, UnknownJob
from cliplane.jobs.asked import Asked, Row
from cliplane.jobs.database import Database
from cliplane.jobs.policy import Retry
from cliplane.jobs.runners import Runners
from cliplane.paths import JOBS

_COLUMNS = (
    "id, key, request_id, fingerprint, asked, priority, state, attempts, created_at, started_at, ended_at, "
    "views_done, views_planned, result, error, webhook_state, webhook_attempts"
)

_BUT_RESULT = _COLUMNS.replace(" result,", " NULL,")


class Store:
    """The jobs of one volume; safe to use from several threads and processes."""

    def __init__(self, folder: Path = JOBS, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = Database(folder), clock
        self.runners = Runners(folder / "runners")

    def exists(self) -> bool:
        """Whether there has ever been a job."""
        return self._database.exists()

    # The door's.

    def add(
        self,
        id_: str,
        key: str,
        asked: Asked,
        priority: int,
        *,
        request_id: str,
        idempotency_key: str | None,
        max_jobs: int,
    ) -> Row:
        """A new job, or the one that the idempotency key has made before: then its id is another.

        Raises:
            TooManyJobs: the key has so many that have not ended.
            IdempotencyKeyReused: the idempotency key was used for something else.
            JobsFull, JobsUnavailable: it cannot be kept.
        """
        if not self.exists():
            self._database.make()
        with self._database.transaction() as db:
            if idempotency_key is not None:
                found = db.execute(
                    f"SELECT {_COLUMNS} FROM jobs WHERE key = ? AND idempotency_key = ?", (key, idempotency_key)
                ).fetchone()
                if found is not None:
                    row = _row(found)
                    if row.fingerprint != asked.fingerprint():
                        raise IdempotencyKeyReused(f"it is that of the job {row.id}, which asks for something else")
                    return row
            ((active,),) = db.execute(
                "SELECT count(*) FROM jobs WHERE key = ? AND state IN ('queued', 'running')", (key,)
            ).fetchall()
            if active >= max_jobs:
                raise TooManyJobs(f"{active} jobs have not ended; CLIPLANE_MAX_JOBS={max_jobs}")
            db.execute(
                "INSERT INTO jobs (id, key, request_id, idempotency_key, fingerprint, asked, priority, state, "
                "created_at, webhook_state) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                (
                    id_,
                    key,
                    request_id,
                    idempotency_key,
                    asked.fingerprint(),
                    msgspec.json.encode(asked).decode(),
                    priority,
                    self._clock(),
                    "waiting" if asked.webhook else None,
                ),
            )
            return self._find(db, id_)

    def get(self, id_: str, key: str) -> Row:
        """Raises:
        UnknownJob: there is none of that id, or it is another key's.
        """
        if not self.exists():
            raise UnknownJob
        with self._database.connection() as db:
            row = self._find(db, id_)
        if row.key != key:
            raise UnknownJob
        return row

    def of_key(self, key: str, max_jobs: int) -> list[Row]:
        """The newest of a key's jobs, without their results: those of a hundred jobs may be hundreds of MB."""
        if not self.exists():
            return []
        with self._database.connection() as db:
            rows = db.execute(
                f"SELECT {_BUT_RESULT} FROM jobs WHERE key = ? ORDER BY created_at DESC, id LIMIT ?", (key, max_jobs)
            )
            return [_row(row) for row in rows]

    def remove(self, id_: str, key: str) -> None:
        """Forget a job, wherever it is; who runs it finds its row gone.

        Raises:
            UnknownJob: as `get`.
        """
        if not self.exists():
            raise UnknownJob
        with self._database.transaction() as db:
            if not db.execute("DELETE FROM jobs WHERE id = ? AND key = ?", (id_, key)).rowcount:
                raise UnknownJob

    def answer(self, known_as: str) -> dict[str, msgspec.Raw] | None:
        """The result of a job that was the same, if one is kept."""
        if not self.exists():
            return None
        with self._database.connection() as db:
            found = db.execute(
                "SELECT result FROM jobs WHERE known_as = ? AND state = 'done' LIMIT 1", (known_as,)
            ).fetchone()
        return None if found is None else msgspec.json.decode(found[0], type=dict[str, msgspec.Raw])

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        if not self.exists():
            return {}
        with self._database.connection() as db:
            return dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    # The runner's.

    def claim(self, runner: str) -> Row | None:
        """The next job, from now on this runner's; None: none is due."""
        if not self.exists():
            return None
        now = self._clock()
        with self._database.transaction() as db:
            found = db.execute(
                "UPDATE jobs SET state = 'running', runner = ?, attempts = attempts + 1, started_at = ?, "
                "views_done = 0, views_planned = NULL WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND "
                f"not_before <= ? ORDER BY priority DESC, created_at LIMIT 1) RETURNING {_COLUMNS}",
                (runner, now, now),
            ).fetchone()
        return None if found is None else _row(found)

    def progress(self, id_: str, runner: str, done: int, planned: int | None) -> bool:
        """False: the job is this runner's no more."""
        with self._database.transaction() as db:
            return bool(
                db.execute(
                    "UPDATE jobs SET views_done = ?, views_planned = ? WHERE id = ? AND runner = ? AND "
                    "state = 'running'",
                    (done, planned, id_, runner),
                ).rowcount
            )

    def is_mine(self, id_: str, runner: str) -> bool:
        with self._database.connection() as db:
            return bool(
                db.execute(
                    "SELECT 1 FROM jobs WHERE id = ? AND runner = ? AND state = 'running'", (id_, runner)
                ).fetchone()
            )

    def end(
        self,
        id_: str,
        runner: str,
        *,
        result: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        views: int | None = None,
        known_as: str | None = None,
    ) -> bool:
        """The job's one answer; False: it is this runner's no more, and the answer is dropped."""
        now = self._clock()
        with self._database.transaction() as db:
            return bool(
                db.execute(
                    "UPDATE jobs SET state = ?, known_as = ?, views_done = coalesce(?, views_done), "
                    "views_planned = coalesce(?, views_planned), result = ?, error = ?, ended_at = ?, "
                    "runner = NULL, webhook_at = ?, "
                    "webhook_state = iif(webhook_state IS NULL, NULL, 'pending') "
                    "WHERE id = ? AND runner = ? AND state = 'running'",
                    (
                        "failed" if result is None else "done",
                        known_as,
                        views,
                        views,
                        None if result is None else msgspec.json.encode(result).decode(),
                        None if error is None else msgspec.json.encode(error).decode(),
                        now,
                        now,
                        id_,
                        runner,
                    ),
                ).rowcount
            )

    def put_back(self, id_: str, runner: str, retry: Retry) -> None:
        """The job waits for another attempt."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', runner = NULL, not_before = ?, attempts = attempts - ? "
                "WHERE id = ? AND runner = ? AND state = 'running'",
                (self._clock() + retry.pause_s, 0 if retry.is_counted else 1, id_, runner),
            )

    def of_dead_runners(self) -> list[tuple[Row, str]]:
        """The jobs whose runner is gone, each with its name: `put_back` or `end` by that name."""
        if not self.exists():
            return []
        with self._database.connection() as db:
            running = db.execute(f"SELECT {_COLUMNS}, runner FROM jobs WHERE state = 'running'").fetchall()
        return [(_row(found[:-1]), found[-1]) for found in running if not self.runners.lives(found[-1])]

    def forget(self, older_than_s: float) -> None:
        """The jobs that ended so long ago, once their webhook is delivered or given up."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed') AND ended_at < ? AND "
                "coalesce(webhook_state, '') <> 'pending'",
                (self._clock() - older_than_s,),
            )

    def active(self) -> set[str]:
        """The ids of the jobs that have not ended: their files are needed."""
        if not self.exists():
            return set()
        with self._database.connection() as db:
            return {id_ for (id_,) in db.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running')")}

    # Webhooks.

    def due_webhook(self) -> Row | None:
        """An ended job whose webhook is to be sent now."""
        if not self.exists():
            return None
        with self._database.connection() as db:
            found = db.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE webhook_state = 'pending' AND webhook_at <= ? "
                "ORDER BY webhook_at LIMIT 1",
                (self._clock(),),
            ).fetchone()
        return None if found is None else _row(found)

    def webhook_sent(self, id_: str, *, is_delivered: bool, pause_s: float | None) -> None:
        """One attempt is over; without a pause it was the last."""
        state = "delivered" if is_delivered else "given-up" if pause_s is None else "pending"
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET webhook_attempts = webhook_attempts + 1, webhook_state = ?, webhook_at = ? "
                "WHERE id = ?",
                (state, self._clock() + (pause_s or 0), id_),
            )

    def sweep_runners(self) -> None:
        """The locks of runners that are gone, once no job has their names."""
        with self._database.connection() as db:
            self.runners.sweep({name for (name,) in db.execute("SELECT runner FROM jobs WHERE runner IS NOT NULL")})

    # Private.

    def _find(self, db: sqlite3.Connection, id_: str) -> Row:
        found = db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id_,)).fetchone()
        if found is None:
            raise UnknownJob
        return _row(found)


def _row(found: tuple[Any, ...]) -> Row:
    row = Row(*found)
    return row._replace(
        asked=msgspec.json.decode(found[_ASKED], type=Asked), result=_raw(found[_RESULT]), error=_json(found[_ERROR])
    )


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def _json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])


_ASKED, _RESULT, _ERROR = (Row._fields.index(name) for name in ("asked", "result", "error"))
