"""What the decoder child takes away from itself before it sees a file.

A hostile video that takes over the demuxer must find nothing to use: no core file, no second program, little
memory, and no life after its lane's.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

OPEN_FILES = 64


def enter(memory_bytes: int) -> None:
    """Limit this process for good: `memory_bytes` of address space, `OPEN_FILES` files, no files written.

    Raises:
        OSError: the kernel refused one of them.
    """
    parent = os.getppid()
    for option, value in (
        (_PR_SET_NO_NEW_PRIVS, 1),
        (_PR_SET_DUMPABLE, 0),
        (_PR_SET_PDEATHSIG, signal.SIGKILL),
    ):
        _prctl(option, value)
    if os.getppid() != parent:  # the lane died before PDEATHSIG was set
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for `signal_number` when this process's parent dies: an orphan would keep its memory."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
