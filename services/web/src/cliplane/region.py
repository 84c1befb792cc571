"""The shared-memory region of a lane: where the decoder writes frames and Triton reads them, in place.

Owns the segments' names, sizes, permissions and their removal. Must not know gRPC: the gunicorn arbiter, which
sweeps after dead lanes, forks, and gRPC does not survive a fork. So the sweep talks to Triton's HTTP port.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cliplane.errors import SharedMemoryForbidden, SharedMemoryTooSmall

SHM = Path("/dev/shm")
NAME = re.compile(r"cliplane-(?P<boot>[0-9a-f]+)-(?P<pid>\d+)-(?P<generation>\d+)")

TRITON_MARKER = SHM / "cliplane-triton"
"""A file that Triton's launcher leaves in its /dev/shm: seen from here, the two share one IPC namespace."""


def boot_id() -> str:
    """Names this start of the container: when its first process started, in clock ticks of the host."""
    stat = Path("/proc/1/stat").read_text()
    # Field 22; the second one, the command's name in parentheses, may hold spaces.
    return f"{int(stat.rpartition(')')[2].split()[19]):x}"


@dataclass(slots=True)
class Region:
    """Memory for the views of one request, (views, T, H, W, C) uint8, view k at offset k × view_bytes.

    `name` is None for private memory, which only the gRPC payload can carry to Triton.
    """

    fd: int
    memory: mmap.mmap
    byte_size: int
    name: str | None

    def view(self, offset: int, byte_size: int) -> memoryview:
        """`byte_size` bytes from `offset`, not copied."""
        return memoryview(self.memory)[offset : offset + byte_size]

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


def create_region(byte_size: int, generation: int) -> Region:
    """A shared region of this process, every page of it allocated.

    Raises:
        SharedMemoryTooSmall: /dev/shm has no room. Without the allocation here, a full tmpfs would kill whoever
            first writes to a missing page, by SIGBUS.
        SharedMemoryForbidden: /dev/shm cannot be written.
    """
    name = f"cliplane-{boot_id()}-{os.getpid()}-{generation}"
    try:
        fd = os.open(SHM / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    except PermissionError as exc:
        raise SharedMemoryForbidden("/dev/shm cannot be written by this uid") from exc
    try:
        # The umask took the group's write bit away, and Triton opens the segment for reading and writing.
        os.fchmod(fd, 0o660)
        os.posix_fallocate(fd, 0, byte_size)
        return Region(fd, mmap.mmap(fd, byte_size), byte_size, name)
    except OSError as exc:
        (SHM / name).unlink()
        os.close(fd)
        if exc.errno not in (errno.ENOSPC, errno.ENOMEM):
            raise
        shm = os.statvfs(SHM)
        free, size = shm.f_bavail * shm.f_frsize, shm.f_blocks * shm.f_frsize
        raise SharedMemoryTooSmall(f"a region needs {byte_size} bytes; {free} of {size} are free") from exc


def create_private_region(byte_size: int) -> Region:
    """Memory of the same shape that no other container sees, allocated as it is touched."""
    fd = os.memfd_create("cliplane-private")
    os.ftruncate(fd, byte_size)
    return Region(fd, mmap.mmap(fd, byte_size), byte_size, None)


def sweep(triton_http: str) -> list[str]:
    """Remove the regions of dead lanes, in /dev/shm and in Triton; returns their names.

    For the gunicorn arbiter: at its start and after each lane's death. A lane of an earlier boot is dead; one of
    this boot is if its process is. No failure to reach Triton is an error: a Triton that is down holds nothing.
    """
    boot = boot_id()

    def is_dead(name: str) -> bool:
        match = NAME.fullmatch(name)
        return match is not None and (match["boot"] != boot or not Path(f"/proc/{match['pid']}").exists())

    names = {entry.name for entry in os.scandir(SHM) if is_dead(entry.name)}
    for name in names:
        with contextlib.suppress(OSError):
            (SHM / name).unlink(missing_ok=True)
    for name in _registered(triton_http):
        if is_dead(name):
            names.add(name)
            with contextlib.suppress(OSError):
                _post(triton_http, f"/v2/systemsharedmemory/region/{name}/unregister")
    return sorted(names)


def _registered(triton_http: str) -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError):
        with urllib.request.urlopen(f"http://{triton_http}/v2/systemsharedmemory/status", timeout=2) as answer:
            regions = json.load(answer)
        yield from (region["name"] for region in regions)


def _post(triton_http: str, path: str) -> None:
    request = urllib.request.Request(f"http://{triton_http}{path}", method="POST", data=b"")
    urllib.request.urlopen(request, timeout=2).close()
