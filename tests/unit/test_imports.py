"""Processes that must stay small or must not touch gRPC load nothing of the others'. Each is asked in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import media

REPOSITORY = Path(__file__).parents[2]
LANE = {"flask", "werkzeug", "grpc", "tritonclient"}

LOADED = {
    "decoder": ("import cliplane.decoder.__main__", LANE | {"structlog", "prometheus_client", "decord"}),
    "arbiter": (f"import runpy; runpy.run_path({str(REPOSITORY / 'services/web/gunicorn.conf.py')!r})", LANE | {"av"}),
    "lane": ("from cliplane.app import create_app; import cliplane.http.routes", {"opentelemetry"}),
    "exporter": ("import cliplane.triton.model_spec", LANE | {"structlog", "prometheus_client", "numpy", "av"}),
}


@pytest.mark.parametrize("process", LOADED)
def test_a_process_loads_nothing_that_it_does_not_need(process: str) -> None:
    code, unwanted = LOADED[process]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        env=os.environ | {"PLANE": "lanes"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert unwanted & {module.partition(".")[0] for module in done.stdout.split()} == set()


# Prints what is imported and which files are opened while these are decoded: behind the walls neither is possible.
DECODE = """
import os, sys
import numpy as np
from cliplane.decoder import wire
from cliplane.decoder.__main__ import decode
from cliplane.decoder.container import silence
from cliplane.decoder.reader import load_reader
from cliplane.errors import CliplaneError
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings

open_reader, memory = load_reader(sys.argv[1]), np.zeros(2**20, np.uint8)
job = wire.Job(None, Sampling(4, 2, 64, 64, 64, 3, 1), Settings().decoder_limits(), 2, False, 60.0)
files = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
silence()
sys.addaudithook(lambda event, details: event in ("import", "open") and print(event, *details[:1]))
for file in files:
    try:
        for report in decode(open_reader, job, file, memory, lambda: False):
            wire.encode(report)
    except CliplaneError:
        pass
print("decoded")
"""


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_nothing_is_imported_and_no_file_is_opened_while_a_video_is_decoded(reader: str, tmp_path: Path) -> None:
    files = []
    for container, codec in (
        ("mp4", "libx264"),
        ("matroska", "libx265"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
        ("mpegts", "libx264"),
    ):
        frames = (np.full((64, 96, 3), 8 * number, np.uint8) for number in range(30))
        whole = media.encode(frames, container=container, codec=codec)
        broken = bytearray(whole)
        broken[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
        for name, body in (("whole", whole), ("cut", whole[: len(whole) * 2 // 3]), ("broken", bytes(broken))):
            files.append(tmp_path / f"{name}.{container}")
            files[-1].write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", DECODE, reader, *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["decoded"]
