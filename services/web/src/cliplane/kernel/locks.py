"""Locks of files (flock(2)): whoever holds one is alive, for the kernel lets go of it at the end of its holder."""

from __future__ import annotations

import fcntl


def is_taken(fd: int) -> bool:
    """Whether another holds the lock of this open file; if none does, it is ours until the file is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
