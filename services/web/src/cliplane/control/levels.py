"""What stands at a level now, for /metrics: read when asked, kept nowhere. A few files of /proc and two folders."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cliplane.kernel import memory
from cliplane.paths import SPOOL
from cliplane.settings import Settings
from cliplane.triton import region

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Account:
    """What nginx tells with the question (`uploads.lua`), and what /readyz says."""

    promised_bytes: int
    uploads: int
    """Requests whose body is not whole."""
    whole: int
    """Requests whose body is: in a lane, or waiting for one."""
    is_ready: bool


class Levels(Collector):
    """`busy`: lanes that have a request; whoever is whole beyond them waits."""

    def __init__(self, settings: Settings, account: Account, busy: int, spool: Path = SPOOL) -> None:
        self._settings, self._account, self._busy, self._spool = settings, account, busy, spool

    def collect(self) -> Iterator[Metric]:
        settings, account = self._settings, self._account
        yield _gauge("ready", "1 if /readyz says so", account.is_ready)
        yield _gauge("lanes_wanted", "Lanes that there should be", settings.lanes)
        yield _gauge("queue", "Requests that wait for a lane", max(0, account.whole - self._busy))
        yield _gauge("queue_limit", "Requests that may wait for a lane", settings.queue)
        yield _gauge("uploads", "Uploads under way", account.uploads)
        yield _gauge("uploads_limit", "Uploads that may be under way", settings.uploads)
        yield _gauge(
            "spool_promised_bytes",
            "Space that the requests which are here hold of the spool, or may yet",
            account.promised_bytes,
        )
        yield _gauge("spool_limit_bytes", "Space that they may hold", settings.spool_bytes)
        yield _gauge("spool_bytes", "Bytes that lie in the spool", spool_bytes(self._spool))
        disk, shm = os.statvfs(self._spool), os.statvfs(region.SHM)
        yield _gauge("spool_free_bytes", "Free space of the spool's disk", disk.f_bavail * disk.f_frsize)
        yield _gauge("shm_limit_bytes", "Size of /dev/shm", shm.f_blocks * shm.f_frsize)
        yield _gauge("shm_bytes", "Bytes of /dev/shm in use", (shm.f_blocks - shm.f_bfree) * shm.f_frsize)
        names = [path.name for path in region.SHM.iterdir() if region.NAME.fullmatch(path.name)]
        yield _gauge("regions", "Regions with a name in /dev/shm", len(names))
        decoders = decoder_bytes()
        yield _gauge("decoders", "Decoder processes", len(decoders))
        yield _gauge("decoders_memory_bytes", "Memory of their own that decoders hold, all together", sum(decoders))
        yield _gauge("decoder_memory_max_bytes", "The same, of the largest", max(decoders, default=0))
        yield _gauge("decoder_memory_limit_bytes", "Address space that one may take", settings.decoder_memory_bytes)
        yield CounterMetricFamily(
            "cliplane_oom_kills", "Processes of this container that the kernel ended for memory", memory.oom_kills()
        )


def spool_bytes(spool: Path) -> int:
    """What the files there hold now."""
    held = 0
    with os.scandir(spool) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # its request has just ended
                held += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
    return held


def decoder_bytes(proc: Path = Path("/proc")) -> list[int]:
    """Of each decoder, the memory that is its own: without its region and the libraries."""
    found = []
    for process in proc.iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError, IndexError):  # it ended just now
                if b"\0cliplane.decoder\0" in (process / "cmdline").read_bytes():
                    _, resident, shared = (process / "statm").read_text().split()[:3]
                    found.append((int(resident) - int(shared)) * _PAGE_BYTES)
    return found


def _gauge(name: str, doc: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cliplane_{name}", doc, value)
