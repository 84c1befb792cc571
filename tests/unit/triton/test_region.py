"""Whose a region is. The segments are real, in a folder of the real /dev/shm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane.errors import SharedMemoryTooSmall
from cliplane.triton import region

MAKE_ONE = """
import sys, time
from pathlib import Path
from cliplane.triton import region
region.SHM = Path(sys.argv[1])
print(region.create_region(4096, 1).name, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def shm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        monkeypatch.setattr(region, "SHM", Path(folder))
        yield Path(folder)


def test_a_region_is_whole_and_for_the_group_as_soon_as_it_has_a_name(shm: Path) -> None:
    made = region.create_region(8192, 7)
    assert made.is_linked()
    (file,) = shm.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (made.name, 0o660)
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 8192  # the turn is behind the views
    made.close()
    assert not list(shm.iterdir())


def test_a_region_of_a_living_process_is_left_alone_and_one_of_a_dead_process_is_swept(shm: Path) -> None:
    mine = region.create_region(4096, 1)
    with subprocess.Popen([sys.executable, "-c", MAKE_ONE, shm], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert region.has_owner(name)
        assert region.sweep() == []
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert not region.has_owner(name)
        assert region.sweep() == [name]
    assert [file.name for file in shm.iterdir()] == [mine.name]
    mine.close()


def test_a_decoder_that_outlives_its_lane_still_owns_the_region() -> None:
    mine = region.create_region(4096, 1)
    with subprocess.Popen(["sleep", "600"], pass_fds=[mine.fd]) as decoder:
        mine.memory.close()
        os.close(mine.fd)
        assert region.sweep() == []
        decoder.kill()
    assert region.sweep() == [mine.name]


def test_other_files_are_never_swept(shm: Path) -> None:
    for name in ("cliplane-triton", "triton_python_x", "sem.other"):
        (shm / name).touch()
    (shm / "cliplane-0-1-1").symlink_to("/etc/passwd")
    assert region.sweep() == []
    assert len(list(shm.iterdir())) == 4


def test_a_region_without_room_leaves_nothing(shm: Path) -> None:
    room = os.statvfs(shm)
    with pytest.raises(SharedMemoryTooSmall):
        region.create_region(room.f_blocks * room.f_frsize + 4096, 1)
    assert not list(shm.iterdir())
