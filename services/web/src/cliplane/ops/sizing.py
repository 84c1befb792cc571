"""How large a stack is that fits its host: lanes, decoder threads, shared memory, processes.

Pure: what the host has is given. Each size can be set instead; one that is set and cannot be is refused with the number
that would do. docs/sizing.md has the measurements behind the constants.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from cliplane.kernel.cpus import MAX_DECODER_THREADS
from cliplane.settings import MIB, Settings, SettingsError

MIN_LANES, MAX_LANES = 2, 64
"""Two even on one CPU: while one lane waits for the engine or for a slow disk, the other decodes."""

JOBS_LANES = 1
"""Beside the lanes of requests, made at the first job and given back after the last."""

BASE_BYTES = 1024 * MIB
"""Triton with a small model, nginx, the control plane, and what the system itself needs."""

LANE_BYTES = 256 * MIB
"""A lane and its decoder on 1080p (150 MiB measured), beside its region."""

REGIONS_A_LANE = 3
"""One in use, two in quarantine, which Triton may still be reading after a time-out."""

BACKEND_BYTES = 128 * MIB
"""Segments of Triton's Python backend: 8 MiB for each model of it, growing by 8."""

MIN_TRITON_BYTES = 2048 * MIB
"""What a model has at least, on whatever host."""

PIDS_A_LANE, BASE_PIDS = 64, 128
"""Processes and threads: a lane has some 12 of gRPC's and at most 2 × its decoder's threads."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What follows from the host and the settings."""

    cpus: float
    memory_bytes: int
    lanes: int
    decoder_threads: int
    """The most that one decoder has, alone on the host."""
    shm_bytes: int
    pids: int


def shm_needed(lanes: int, region_bytes: int) -> int:
    """Bytes of /dev/shm that so many lanes and that of the jobs can come to need."""
    return (lanes + JOBS_LANES) * region_bytes * REGIONS_A_LANE + BACKEND_BYTES


def memory_needed(lanes: int, region_bytes: int) -> int:
    """Bytes of memory for a stack of so many lanes and that of the jobs: one region each, the quarantine being rare."""
    return BASE_BYTES + (lanes + JOBS_LANES) * (LANE_BYTES + region_bytes)


def bounds(settings: Settings, lanes: int, memory_bytes: int) -> tuple[int, int]:
    """Bytes that the web container may take, and Triton's, on a host of so much memory.

    The first: so many lanes, that of the jobs, all their regions, and one decoder that takes all it may. The second:
    what is left.
    """
    a_lane = LANE_BYTES + settings.region_bytes * REGIONS_A_LANE
    web = BASE_BYTES + (lanes + JOBS_LANES) * a_lane + settings.decoder_memory_bytes
    return web, max(memory_bytes - web, MIN_TRITON_BYTES)


def sizes(settings: Settings, cpus: float, memory_bytes: int, shm_bytes: int | None = None) -> Sizes:
    """The sizes for a host of so many CPUs and so much memory, whose /dev/shm, if it is there already, has `shm_bytes`.

    `settings.lanes` and `settings.decoder_threads` count where they are not 0.
    """
    region = settings.region_bytes
    lanes = settings.lanes
    if not lanes:
        room = (memory_bytes - BASE_BYTES) // (LANE_BYTES + region)
        if shm_bytes is not None:
            room = min(room, (shm_bytes - BACKEND_BYTES) // (region * REGIONS_A_LANE))
        room -= JOBS_LANES
        lanes = max(1, min(max(MIN_LANES, math.ceil(cpus)), room, MAX_LANES))
    threads = settings.decoder_threads or min(max(round(cpus), 1), MAX_DECODER_THREADS)
    return Sizes(
        cpus=cpus,
        memory_bytes=memory_bytes,
        lanes=lanes,
        decoder_threads=threads,
        shm_bytes=shm_needed(lanes, region) if shm_bytes is None else shm_bytes,
        pids=BASE_PIDS + (lanes + JOBS_LANES) * PIDS_A_LANE,
    )


def check(settings: Settings, memory_bytes: int, shm_size: str) -> None:
    """Whether the sizes that were set are possible. `shm_size` is Docker's way to write one, or empty.

    Raises:
        SettingsError: naming the setting, and the number that would do.
    """
    lanes, region = settings.lanes, settings.region_bytes
    if lanes > 1 and memory_needed(lanes, region) > memory_bytes:
        fit = max(1, (memory_bytes - BASE_BYTES) // (LANE_BYTES + region) - JOBS_LANES)
        raise SettingsError(
            f"CLIPLANE_LANES={lanes}: they need {_mib(memory_needed(lanes, region))} MiB of memory and there are "
            f"{memory_bytes // MIB}: CLIPLANE_LANES={fit} would do"
        )
    if shm_size and (needed := shm_needed(lanes or MIN_LANES, region)) > to_bytes(shm_size):
        raise SettingsError(
            f"SHM_SIZE={shm_size}: {lanes or MIN_LANES} lanes of CLIPLANE_REGION_BYTES={region} need "
            f"{_mib(needed)} MiB: SHM_SIZE={_mib(needed)}m would do"
        )


def to_bytes(size: str) -> int:
    """`512m` in bytes, as Docker reads it.

    Raises:
        SettingsError: it is no size.
    """
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", size.lower())
    if match is None:
        raise SettingsError(f"SHM_SIZE={size!r}: a size, such as 512m or 2g")
    return int(match[1]) << 10 * "bkmg".index(match[2] or "b")


def settle(settings: Settings, found: Sizes) -> Settings:
    """The settings with the number of lanes that was found."""
    return dataclasses.replace(settings, lanes=found.lanes)


def _mib(size: int) -> int:
    return math.ceil(size / MIB)
