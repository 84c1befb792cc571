"""How many CPUs and how much memory this container may use: its affinity, and what Docker's `cpus` and `memory` set."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")

MAX_DECODER_THREADS = 4
"""Each thread keeps frames of its own, and more of them gain little."""


def available_cpus() -> float:
    """CPUs, at least a fraction of one."""
    cpus = float(os.process_cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):  # v2: "QUOTA PERIOD" in microseconds, or "max PERIOD"
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        cpus = min(cpus, int(quota) / int(period))
    with contextlib.suppress(OSError, ValueError):  # v1: a quota of -1 is none
        quota, period = ((_CGROUP / "cpu" / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        cpus = min(cpus, int(quota) / int(period)) if int(quota) > 0 else cpus
    return cpus


def available_memory() -> int:
    """Bytes: the host's, or the limit of this container's cgroup (version 2 or 1) where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            memory = min(memory, int((_CGROUP / file).read_text()))
    return memory


def decoder_threads(requests: int) -> int:
    """How many threads of a decoder work at once where there are so many requests: its share of the CPUs, from 1 to
    `MAX_DECODER_THREADS`."""
    return min(max(round(available_cpus() / requests), 1), MAX_DECODER_THREADS)
