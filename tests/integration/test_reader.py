"""The reader by itself, in a process of its own: what it must never do is hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import media

CLOSE_EARLY = """
import sys
from cliplane.decoder.container import Limits, silence
from cliplane.decoder.reader import open_reader
from cliplane.settings import Settings
limits = Limits(**Settings().decoder_limits())
silence()
for turn in range(40):
    video = open_reader("pyav", sys.argv[1], None, limits, threads=3)
    for _ in zip(range(1 + turn % 5), video.frames(list(range(0, 60, 3)), 64, 64)):
        pass
    video.close()
print("closed")
"""


def test_a_half_read_file_is_closed_without_waiting_for_its_threads(tmp_path: Path) -> None:
    """They once logged through Python, and waited for the interpreter that waited for them."""
    path = tmp_path / "video.mp4"
    frames = media.moving_camera("pan_left", width=640, height=480)
    path.write_bytes(media.encode(frames, codec="libx265", options={"x265-params": "log-level=none"}))
    done = subprocess.run(
        [sys.executable, "-c", CLOSE_EARLY, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "closed", done.stderr
