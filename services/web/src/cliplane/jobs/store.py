"""The jobs, in SQLite on a volume that outlives every container: what is committed here is kept.

Several processes use it, in one container or in two side by side on one host: lanes accept, the control plane tells,
one runner of each container works. Whoever runs a job holds a lock (flock(2)) of its own name; the kernel lets go of it
when the runner is gone, in whatever way, and then its job is anybody's.

Write-ahead log, synchronous=FULL: a commit is on the disk. A connection lives for one call, and no thread shares it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cliplane.errors import IdempotencyKeyReused, JobsFull, JobsUnavailable, TooManyJobs, UnknownJob
from cliplane.jobs.asked import Asked, Row
from cliplane.jobs.policy import Retry
from cliplane.kernel import locks
from cliplane.paths import JOBS

VERSION = 1
"""Of the tables: PRAGMA user_version."""

_TABLES = (
    """CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  key TEXT NOT NULL,                -- the name of the API key; '' where none is asked for
  request_id TEXT NOT NULL,
  idempotency_key TEXT,
  fingerprint TEXT NOT NULL,
  asked TEXT NOT NULL,              -- asked.Asked as JSON
  priority INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  runner TEXT,                      -- whose lock tells whether it lives
  not_before REAL NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  started_at REAL,
  ended_at REAL,
  views_done INTEGER NOT NULL DEFAULT 0,
  views_planned INTEGER,
  result TEXT,
  known_as TEXT,                    -- asked.known_as, of a video that was sent
  error TEXT,
  webhook_state TEXT,               -- NULL: none is asked for; waiting, pending, delivered, given-up
  webhook_attempts INTEGER NOT NULL DEFAULT 0,
  webhook_at REAL
) STRICT""",
    "CREATE UNIQUE INDEX by_idempotency_key ON jobs (key, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX by_content ON jobs (known_as) WHERE known_as IS NOT NULL",
    "CREATE INDEX by_turn ON jobs (state, priority DESC, created_at)",
)

_COLUMNS = (
    "id, key, request_id, fingerprint, asked, priority, state, attempts, created_at, started_at, ended_at, "
    "views_done, views_planned, result, error, webhook_state, webhook_attempts"
)

_BUT_RESULT = _COLUMNS.replace(" result,", " NULL,")

_BUSY_S = 10.0


class Store:
    """The jobs of one volume; safe to use from several threads and processes."""

    def __init__(self, folder: Path = JOBS, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._file = folder / "jobs.sqlite"

    def exists(self) -> bool:
        """Whether there has ever been a job."""
        return self._file.exists()

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
            self._make()
        with self._transaction() as db:
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
        with self._connection() as db:
            row = self._find(db, id_)
        if row.key != key:
            raise UnknownJob
        return row

    def of_key(self, key: str, most: int) -> list[Row]:
        """The newest of a key's jobs, without their results: those of a hundred jobs may be hundreds of MB."""
        if not self.exists():
            return []
        with self._connection() as db:
            rows = db.execute(
                f"SELECT {_BUT_RESULT} FROM jobs WHERE key = ? ORDER BY created_at DESC, id LIMIT ?", (key, most)
            )
            return [_row(row) for row in rows]

    def remove(self, id_: str, key: str) -> None:
        """Forget a job, wherever it is; who runs it finds its row gone.

        Raises:
            UnknownJob: as `get`.
        """
        if not self.exists():
            raise UnknownJob
        with self._transaction() as db:
            if not db.execute("DELETE FROM jobs WHERE id = ? AND key = ?", (id_, key)).rowcount:
                raise UnknownJob

    def answer(self, known_as: str) -> dict[str, Any] | None:
        """The result of a job that was the same, if one is kept."""
        if not self.exists():
            return None
        with self._connection() as db:
            found = db.execute(
                "SELECT result FROM jobs WHERE known_as = ? AND state = 'done' LIMIT 1", (known_as,)
            ).fetchone()
        return None if found is None else _json(found[0])

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        if not self.exists():
            return {}
        with self._connection() as db:
            return dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    # The runner's.

    def claim(self, runner: str) -> Row | None:
        """The next job, from now on this runner's; None: none is due."""
        if not self.exists():
            return None
        now = self._clock()
        with self._transaction() as db:
            found = db.execute(
                "UPDATE jobs SET state = 'running', runner = ?, attempts = attempts + 1, started_at = ?, "
                "views_done = 0, views_planned = NULL WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND "
                f"not_before <= ? ORDER BY priority DESC, created_at LIMIT 1) RETURNING {_COLUMNS}",
                (runner, now, now),
            ).fetchone()
        return None if found is None else _row(found)

    def progress(self, id_: str, runner: str, done: int, planned: int | None) -> bool:
        """False: the job is this runner's no more."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE jobs SET views_done = ?, views_planned = ? WHERE id = ? AND runner = ? AND "
                    "state = 'running'",
                    (done, planned, id_, runner),
                ).rowcount
            )

    def is_mine(self, id_: str, runner: str) -> bool:
        with self._connection() as db:
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
        with self._transaction() as db:
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
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', runner = NULL, not_before = ?, attempts = attempts - ? "
                "WHERE id = ? AND runner = ? AND state = 'running'",
                (self._clock() + retry.pause_s, 0 if retry.is_counted else 1, id_, runner),
            )

    def of_dead_runners(self) -> list[tuple[Row, str]]:
        """The jobs whose runner is gone, each with its name: `put_back` or `end` by that name."""
        if not self.exists():
            return []
        with self._connection() as db:
            running = db.execute(f"SELECT {_COLUMNS}, runner FROM jobs WHERE state = 'running'").fetchall()
        return [(_row(found[:-1]), found[-1]) for found in running if not self.lives(found[-1])]

    def forget(self, older_than_s: float) -> None:
        """The jobs that ended so long ago, once their webhook is delivered or given up."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed') AND ended_at < ? AND "
                "coalesce(webhook_state, '') <> 'pending'",
                (self._clock() - older_than_s,),
            )

    def active(self) -> set[str]:
        """The ids of the jobs that have not ended: their files are needed."""
        if not self.exists():
            return set()
        with self._connection() as db:
            return {id_ for (id_,) in db.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running')")}

    # Webhooks.

    def due_webhook(self) -> Row | None:
        """An ended job whose webhook is to be sent now."""
        if not self.exists():
            return None
        with self._connection() as db:
            found = db.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE webhook_state = 'pending' AND webhook_at <= ? "
                "ORDER BY webhook_at LIMIT 1",
                (self._clock(),),
            ).fetchone()
        return None if found is None else _row(found)

    def webhook_sent(self, id_: str, *, is_delivered: bool, pause_s: float | None) -> None:
        """One attempt is over; without a pause it was the last."""
        state = "delivered" if is_delivered else "given-up" if pause_s is None else "pending"
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET webhook_attempts = webhook_attempts + 1, webhook_state = ?, webhook_at = ? "
                "WHERE id = ?",
                (state, self._clock() + (pause_s or 0), id_),
            )

    # Locks.

    def lock(self) -> tuple[str, int]:
        """A runner's name, and the descriptor that must stay open as long as it lives."""
        self._folder.joinpath("runners").mkdir(exist_ok=True)
        name = secrets.token_hex(8)
        fd = os.open(self._folder / "runners" / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return name, fd

    def lives(self, runner: str) -> bool:
        try:
            fd = os.open(self._folder / "runners" / runner, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return locks.is_taken(fd)
        finally:
            os.close(fd)

    def sweep_locks(self) -> None:
        """The names of runners that are gone, once no job has them."""
        with self._connection() as db:
            needed = {runner for (runner,) in db.execute("SELECT runner FROM jobs WHERE runner IS NOT NULL")}
        for file in self._folder.joinpath("runners").iterdir():
            if file.name not in needed and not self.lives(file.name):
                file.unlink(missing_ok=True)

    # Private.

    def _find(self, db: sqlite3.Connection, id_: str) -> Row:
        found = db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id_,)).fetchone()
        if found is None:
            raise UnknownJob
        return _row(found)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in it, or nothing."""
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _make(self) -> None:
        """The database, whole from its first moment: SQLite lets nobody wait who turns a new file to a write-ahead log
        at the same time as another (SQLITE_BUSY at once, whatever the timeout)."""
        new = self._folder / "jobs.sqlite.new"
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)  # the kernel lets go of it where its holder dies
                if self.exists():
                    return  # another was faster
                # Of one that died in its making; of a database that was moved away, whose log is no other's.
                for file in (*self._folder.glob("jobs.sqlite.new*"), *self._folder.glob("jobs.sqlite-*")):
                    file.unlink()
                with _opened(new, "rwc") as db:
                    db.execute("BEGIN")
                    for statement in (*_TABLES, f"PRAGMA user_version = {VERSION}"):
                        db.execute(statement)
                    db.execute("COMMIT")
                    ((mode,),) = db.execute("PRAGMA journal_mode = WAL").fetchall()  # last: all is in the one file
                    if mode != "wal":
                        raise JobsUnavailable("/jobs: the volume has no shared mmap, or no locks")
                new.rename(self._file)
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise JobsFull("the volume of jobs is full") from exc
            raise JobsUnavailable(f"/jobs: {os.strerror(exc.errno or 0)}") from exc

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with _opened(self._file, "rw") as db:
            ((found,),) = db.execute("PRAGMA user_version").fetchall()
            if found != VERSION:
                raise JobsUnavailable(f"jobs.sqlite is of version {found}, and this is {VERSION}")
            yield db


@contextlib.contextmanager
def _opened(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Raises:
    JobsFull, JobsUnavailable: SQLite says so, of whatever is done with it.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{file}?mode={mode}", timeout=_BUSY_S, isolation_level=None, uri=True)
        ) as db:
            db.execute("PRAGMA synchronous = FULL")
            yield db
    except sqlite3.Error as exc:
        if "full" in str(exc):
            raise JobsFull("the volume of jobs is full") from exc
        raise JobsUnavailable("jobs.sqlite cannot be used") from exc


def _row(found: tuple[Any, ...]) -> Row:
    row = Row(*found)
    return row._replace(
        asked=msgspec.json.decode(found[_ASKED], type=Asked), result=_json(found[_RESULT]), error=_json(found[_ERROR])
    )


def _json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])


_ASKED, _RESULT, _ERROR = (Row._fields.index(name) for name in ("asked", "result", "error"))
