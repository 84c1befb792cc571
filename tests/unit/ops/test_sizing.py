"""Sizes that follow from the host: simulated ones of half a CPU to 128, and settings that cannot be."""

from __future__ import annotations

import pytest
from cliplane.ops.sizing import BASE_BYTES, LANE_BYTES, bounds, check, memory_needed, shm_needed, sizes, to_bytes
from cliplane.settings import MIB, Settings, SettingsError
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("cpus", "memory_gib", "lanes", "threads"),
    [
        (0.5, 4, 2, 1),
        (1, 4, 2, 1),
        (1.5, 4, 2, 2),
        (2, 8, 2, 2),
        (4, 16, 4, 4),
        (16, 64, 16, 4),
        (64, 256, 64, 4),
        (128, 512, 64, 4),
        (64, 8, 21, 4),  # memory is what there is too little of
        (2, 1, 1, 2),
    ],
)
def test_lanes_and_threads_follow_the_host(cpus: float, memory_gib: int, lanes: int, threads: int) -> None:
    found = sizes(Settings(), cpus, memory_gib * GIB)
    assert (found.lanes, found.decoder_threads) == (lanes, threads)
    assert found.shm_bytes == shm_needed(lanes, Settings().region_bytes)


@given(cpus=st.floats(0.1, 256), memory=st.integers(256 * MIB, 4096 * GIB), shm=st.integers(32 * MIB, 64 * GIB))
def test_whatever_the_host_the_lanes_fit_in_it(cpus: float, memory: int, shm: int) -> None:
    region = Settings().region_bytes
    found = sizes(Settings(), cpus, memory, shm)
    assert 1 <= found.lanes <= 64
    assert found.lanes == 1 or memory_needed(found.lanes, region) <= memory
    assert found.lanes == 1 or shm_needed(found.lanes, region) <= shm
    assert found.pids >= 64 * (found.lanes + 1)
    web, triton = bounds(Settings(), found.lanes, memory)
    assert web > memory_needed(found.lanes, region)  # so that the container's own limit takes no lane away
    assert triton >= 2 * GIB


def test_the_jobs_have_a_lane_of_their_own_beside_those_of_requests() -> None:
    region = Settings().region_bytes
    found = sizes(Settings(), 4, 16 * GIB)
    assert found.shm_bytes == 5 * 3 * region + 128 * MIB
    assert memory_needed(4, region) == BASE_BYTES + 5 * (LANE_BYTES + region)
    assert sizes(Settings(), 64, 256 * GIB, 3 * 3 * region + 128 * MIB).lanes == 2  # room for three: one is the jobs'


def test_what_is_set_counts() -> None:
    found = sizes(Settings(lanes=5, decoder_threads=3), 64, 256 * GIB)
    assert (found.lanes, found.decoder_threads) == (5, 3)


def test_the_default_memory_of_web_holds_two_lanes() -> None:
    assert bounds(Settings(), 2, 8 * GIB)[0] <= to_bytes("5g")


def test_the_default_size_of_shared_memory_holds_two_lanes() -> None:
    assert shm_needed(2, Settings().region_bytes) == to_bytes("704m")


def test_shared_memory_that_is_too_small_is_refused_with_the_size_that_would_do() -> None:
    with pytest.raises(SettingsError, match=r"SHM_SIZE=704m: 6 lanes .* SHM_SIZE=1472m would do"):
        check(Settings(lanes=6), 64 * GIB, "704m")
    check(Settings(lanes=6), 64 * GIB, "1472m")
    check(Settings(lanes=6), 64 * GIB, "")


def test_more_lanes_than_the_memory_holds_are_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(SettingsError, match=r"CLIPLANE_LANES=64: .* CLIPLANE_LANES=9 would do"):
        check(Settings(lanes=64), BASE_BYTES + 10 * (LANE_BYTES + Settings().region_bytes), "")
    check(Settings(lanes=9), BASE_BYTES + 10 * (LANE_BYTES + Settings().region_bytes), "")


@pytest.mark.parametrize(("text", "expected"), [("512m", 512 * MIB), ("2G", 2 * GIB), ("64kb", 65536), ("100", 100)])
def test_a_size_is_read_as_docker_reads_it(text: str, expected: int) -> None:
    assert to_bytes(text) == expected
