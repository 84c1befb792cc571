"""The file of a batch's results: a JSON object a line, each on the disk before the next video begins to count as done.

Whatever ends the process, the file is a beginning: a line that was torn in the middle is taken away when it is opened
again, and so are the rows that are to be made anew. One process at a time has it (flock).
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from cliplane_client.errors import ClientError

Row = dict[str, Any]


class InUse(ClientError):
    """Another process writes to that file."""


class Ledger:
    """An open file of results; safe to use from several threads."""

    def __init__(self, path: Path, is_final: Callable[[Row], bool]) -> None:
        """`is_final`: whether a row that is there stays; those that do not are made anew.

        Raises:
            InUse: another process has it; OSError: it cannot be written.
        """
        self._lock = threading.Lock()
        self.rows: dict[str, Row] = {}
        while True:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._fd)
                raise InUse(f"{path}: another process writes to it") from None
            # Another one may have put a new file in its place between the opening and the lock.
            if path.exists() and os.path.samestat(os.fstat(self._fd), path.stat()):
                break
            os.close(self._fd)
        whole = True
        for line in _lines(path):
            row = _row(line)
            if row is None or row["id"] in self.rows or not is_final(row):
                whole = False
            else:
                self.rows[row["id"]] = row
        if not whole:
            self._rewrite(path)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self._fd)

    def add(self, row: Row) -> None:
        """The row is on the disk when this returns."""
        line = _encoded(row)
        with self._lock:
            assert row["id"] not in self.rows
            start = os.fstat(self._fd).st_size
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(self._fd, view) :]
                os.fsync(self._fd)
            except OSError:
                os.ftruncate(self._fd, start)  # a full disk leaves no half of a line
                raise
            self.rows[row["id"]] = row

    def _rewrite(self, path: Path) -> None:
        new = path.with_name(f".{path.name}.new")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.writelines(map(_encoded, self.rows.values()))
            file.flush()
            os.fsync(fd)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        os.close(self._fd)
        self._fd = fd


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _row(line: bytes) -> Row | None:
    """None: it is torn, or none of ours."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("id"), str) else None


def _encoded(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"  # a name that is no UTF-8 is written out in ASCII
