"""The database of jobs: one SQLite file on the volume, its tables, its connections, its errors as ours.

Write-ahead log, synchronous=FULL: a commit is on the disk. A connection lives for one call, and no thread shares it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cliplane.errors import JobsFull, JobsUnavailable
from cliplane.paths import JOBS_DATABASE

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

_BUSY_S = 10.0


class Database:
    """Made at the first job; safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / JOBS_DATABASE

    def exists(self) -> bool:
        """Whether there has ever been a job."""
        return self._file.exists()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        with _opened(self._file, "rw") as db:
            ((found,),) = db.execute("PRAGMA user_version").fetchall()
            if found != VERSION:
                raise JobsUnavailable(f"jobs.sqlite is of version {found}, and this is {VERSION}")
            yield db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in it, or nothing."""
        with self.connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def make(self) -> None:
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
