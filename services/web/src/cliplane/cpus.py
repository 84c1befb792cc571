"""How many CPUs this container may use: its affinity, and the quota that Docker's `cpus` sets."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")

MOST_DECODER_THREADS = 4
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


def decoder_threads(requests: int) -> int:
    """How many threads of a decoder work at once where there are so many requests: its share of the CPUs, from 1 to
    `MOST_DECODER_THREADS`."""
    return min(max(round(available_cpus() / requests), 1), MOST_DECODER_THREADS)
