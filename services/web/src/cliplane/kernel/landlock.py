"""Landlock, the kernel's wall around files (5.13 and later): three system calls, for no binding is kept up.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os

# linux/landlock.h; system call numbers are the same on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_CREATE_RULESET_VERSION = 1
# Rights by the version of the interface that brought them. All are handled, and no rule grants one.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NET_RIGHTS = {4: (1 << 0) | (1 << 1)}  # bind, connect
_SCOPES = {6: (1 << 0) | (1 << 1)}  # abstract unix sockets, signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def version() -> int:
    """The version of the kernel's Landlock; 0: it has none, or it is switched off."""
    known: int = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(known, 0)


def forbid_everything() -> None:
    """This thread, and those it makes, can open no file by its name any more, whatever the file's permissions say.

    Files that are open stay so. Without Landlock this does nothing: see `version`.

    Raises:
        OSError: the kernel has Landlock and refused.
    """
    if (known := version()) == 0:
        return
    handled = _Ruleset(*(_rights(table, known) for table in (_FILE_RIGHTS, _NET_RIGHTS, _SCOPES)))
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
    _call(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def _rights(table: dict[int, int], known: int) -> int:
    return sum(rights for since, rights in table.items() if since <= known)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
