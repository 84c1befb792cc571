"""A real decoder without memory or threads: that is no fault of the video, and no lane dies of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cliplane.decoder import client, wire
from cliplane.decoder.client import Decoder
from cliplane.errors import DecoderOutOfMemory, DecoderOutOfThreads
from cliplane.intake.spool import open_upload
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings
from cliplane.triton.region import create_private_region

from tests import media
from tests.integration.conftest import docker

SAMPLING = Sampling(8, 1, 64, 64, 64, 3, 1)
JOB = wire.Job(None, SAMPLING, Settings().decoder_limits(), threads=4, coarse_to_fine=False, cpu_s=60.0)

# What the kernel says where a process, a container or the host may have no thread more.
NO_THREADS = """
import errno, pyseccomp
calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
calls.add_rule(pyseccomp.ERRNO(errno.EAGAIN), "clone")
calls.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
calls.load()
"""


Start = Callable[[int, str], Decoder]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a real decoder of so much memory, which runs this code first."""
    region = create_private_region(JOB.sampling.view_bytes * JOB.sampling.views)
    started: list[Decoder] = []

    def start(memory_bytes: int, code: str) -> Decoder:
        program = f"import sys; sys.path[:0] = {sys.path!r}\n{code}\nfrom cliplane.decoder.__main__ import main; main()"
        monkeypatch.setattr(client, "COMMAND", [sys.executable, "-c", program])
        started.append(Decoder("pyav", region, memory_bytes))
        return started[-1]

    yield start
    for decoder in started:
        decoder.kill()
    region.close()


def video(folder: Path, width: int, height: int) -> str:
    path = folder / f"{width}.mp4"
    frames = (np.full((height, width, 3), 8 * number, np.uint8) for number in range(24))
    path.write_bytes(media.encode(frames, options={"preset": "ultrafast"}))
    return str(path)


def answer(decoder: Decoder, path: str) -> None:
    decoder.start(JOB, open_upload(path))
    while not isinstance(decoder.report(), wire.End):
        pass


def size_at_rest(decoder: Decoder) -> int:
    """Bytes of address space that a decoder has when it waits."""
    status = Path(f"/proc/{decoder._process.pid}/status").read_text()
    return int(status.partition("VmSize:")[2].split()[0]) * 1024


def test_a_video_that_needs_more_memory_than_a_decoder_may_have_is_not_at_fault(start: Start, tmp_path: Path) -> None:
    ample = start(2**31, "")
    answer(ample, video(tmp_path, 64, 64))
    little = start(size_at_rest(ample) + 24 * 2**20, "")
    answer(little, video(tmp_path, 64, 64))
    with pytest.raises(DecoderOutOfMemory):
        answer(little, video(tmp_path, 1920, 1080))
    assert not little.is_alive()  # so that the next video does not meet what is left of it


def test_a_decoder_that_can_start_no_thread_says_so(start: Start, tmp_path: Path) -> None:
    with pytest.raises(DecoderOutOfThreads):
        answer(start(2**31, NO_THREADS), video(tmp_path, 1920, 1080))


# In a container of little memory: the decoder takes all of it; the lane, which has as much as it needs, goes on.
GREEDY = """
import sys
from cliplane.decoder import client, wire
from cliplane.errors import CliplaneError
from cliplane.triton.region import create_private_region
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings

greedy = "import os; from cliplane.decoder import sandbox; sandbox.enter(2**33); kept = []"
client.COMMAND = [sys.executable, "-c", greedy + "\\nwhile True: kept.append(os.urandom(2**20))"]
decoder = client.Decoder("pyav", create_private_region(4096), 2**33)
job = wire.Job(None, Sampling(8, 1, 64, 64, 64, 3, 1), Settings().decoder_limits(), 1, False, 60.0)
decoder.start(job, open("/dev/null", "rb"))
try:
    decoder.report()
except CliplaneError as error:
    print(error.type)
"""


def test_the_kernel_ends_the_decoder_and_not_its_lane_where_the_container_has_no_memory_left() -> None:
    limit = ("--memory", "200m", "--memory-swap", "200m")
    image = f"cliplane-web:{os.environ['IMAGE_TAG']}"
    said = docker("run", "--rm", *limit, "--entrypoint", "python", image, "-c", GREEDY)
    assert said.strip() == "decoder-out-of-memory"
