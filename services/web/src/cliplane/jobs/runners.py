"""Which runners live: each holds the lock (flock(2)) of a file of its own name, for the kernel lets go of it when the
runner is gone, in whatever way."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from cliplane.kernel import locks


class Runners:
    """Those of one volume, whichever containers they are in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lock(self) -> tuple[str, int]:
        """A new runner's name, and the descriptor that must stay open as long as it lives."""
        self._folder.mkdir(exist_ok=True)
        name = secrets.token_hex(8)
        fd = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return name, fd

    def lives(self, name: str) -> bool:
        try:
            fd = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return locks.is_taken(fd)
        finally:
            os.close(fd)

    def sweep(self, needed: set[str]) -> None:
        """Remove the locks of those that are gone, but for the names in `needed`."""
        for file in self._folder.iterdir():
            if file.name not in needed and not self.lives(file.name):
                file.unlink(missing_ok=True)
