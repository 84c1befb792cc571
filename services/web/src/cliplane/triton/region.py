"""The shared-memory region of a lane: where the decoder writes frames and Triton reads them, in place.

Owns the segments' names, sizes, permissions and their removal from /dev/shm. Must not know gRPC: the gunicorn arbiter,
which sweeps after dead lanes, forks, and gRPC does not survive a fork. Triton's side of a sweep is `janitor.py`.

A segment belongs to whoever holds its lock (flock(2)): the process that made it and its decoder, in whichever container
they live. The kernel lets go of it when the last of them is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from cliplane.errors import SharedMemoryForbidden, SharedMemoryTooSmall
from cliplane.kernel import locks

SHM = Path("/dev/shm")
NAME = re.compile(r"cliplane-(?P<token>[0-9a-f]+)-(?P<pid>\d+)-(?P<generation>\d+)")

TRITON_MARKER = SHM / "cliplane-triton"
"""A file that Triton's launcher leaves in its /dev/shm: seen from here, it is the same /dev/shm."""

_TURN = struct.Struct("<Q")


@dataclass(slots=True)
class Region:
    """Memory for the views of one request, (views, T, H, W, C) uint8, view k at offset k × view_bytes.

    `name` is None for private memory, which only the gRPC payload can carry to Triton. `turn` numbers the requests that
    it has served. Behind the views it stands in the memory too, for Triton's backend (`turn.h`): whoever has called for
    views of an earlier turn no longer wants them.
    """

    fd: int
    memory: mmap.mmap
    byte_size: int
    name: str | None
    turn: int = 0

    def view(self, offset: int, byte_size: int) -> memoryview:
        """`byte_size` bytes from `offset`, not copied."""
        return memoryview(self.memory)[offset : offset + byte_size]

    def end_turn(self) -> None:
        """What has been called for is no longer wanted: the engine leaves out what it has not begun."""
        self.turn += 1
        _TURN.pack_into(self.memory, len(self.memory) - _TURN.size, self.turn)

    def is_linked(self) -> bool:
        """Whether Triton could find it: it has a name, and the name is still its own in /dev/shm."""
        if self.name is None:
            return False
        try:
            return os.path.samestat((SHM / self.name).stat(), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def unlink(self) -> None:
        """Take the name away; whoever has the memory mapped keeps it."""
        if self.name is not None:
            (SHM / self.name).unlink(missing_ok=True)

    def close(self) -> None:
        self.unlink()
        # A view of the memory may be alive in an inference that was given up: then its end unmaps it.
        with contextlib.suppress(BufferError):
            self.memory.close()
        os.close(self.fd)


def _file_size(byte_size: int) -> int:
    """Of a region with room for so many bytes of views: the turn is behind them, aligned."""
    return byte_size + -byte_size % _TURN.size + _TURN.size


def create_region(byte_size: int, generation: int) -> Region:
    """A shared region of this process, every page of it allocated.

    It is locked before it has a name, so that no sweep ever finds it without an owner.

    Raises:
        SharedMemoryTooSmall: /dev/shm has no room. Without the allocation here, a full tmpfs would kill whoever
            first writes to a missing page, by SIGBUS.
        SharedMemoryForbidden: /dev/shm cannot be written.
    """
    try:
        fd = os.open(SHM, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o660)
    except PermissionError as exc:
        raise SharedMemoryForbidden("/dev/shm cannot be written by this uid") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        # The umask took the group's write bit away, and Triton opens the segment for reading and writing.
        os.fchmod(fd, 0o660)
        os.posix_fallocate(fd, 0, _file_size(byte_size))
        name = f"cliplane-{secrets.token_hex(4)}-{os.getpid()}-{generation}"
        _give_name(fd, name)
        return Region(fd, mmap.mmap(fd, _file_size(byte_size)), byte_size, name)
    except OSError as exc:
        os.close(fd)
        if exc.errno not in (errno.ENOSPC, errno.ENOMEM):
            raise
        shm = os.statvfs(SHM)
        free, size = shm.f_bavail * shm.f_frsize, shm.f_blocks * shm.f_frsize
        raise SharedMemoryTooSmall(f"a region needs {byte_size} bytes; {free} of {size} are free") from exc


def create_private_region(byte_size: int) -> Region:
    """Memory of the same shape that no other container sees, allocated as it is touched."""
    fd = os.memfd_create("cliplane-private")
    os.ftruncate(fd, _file_size(byte_size))
    return Region(fd, mmap.mmap(fd, _file_size(byte_size)), byte_size, None)


def sweep() -> list[str]:
    """Remove the segments without an owner from /dev/shm; returns their names."""
    names = [entry.name for entry in os.scandir(SHM) if NAME.fullmatch(entry.name) and not has_owner(entry.name)]
    for name in names:
        with contextlib.suppress(OSError):
            (SHM / name).unlink(missing_ok=True)
    return sorted(names)


def has_owner(name: str) -> bool:
    """Whether a process that made the region of this name, or its decoder, is alive. False where there is none."""
    try:
        fd = os.open(SHM / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # of another group, or no file of ours: not to be touched
    try:
        return locks.is_taken(fd)
    finally:
        os.close(fd)


def _give_name(fd: int, name: str) -> None:
    folder = os.open(SHM, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder)  # as open(2) has it for O_TMPFILE
    finally:
        os.close(folder)
