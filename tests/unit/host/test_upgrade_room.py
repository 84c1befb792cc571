"""A second release is started only where it fits. The `docker` and the `nvidia-smi` here only tell of room."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

DOCKER = """#!/bin/bash
echo "$*" >>"$(dirname "$0")/calls"
case "$*" in
  *"inactive_file"*) printf '%s\\n' $((700 << 20)) $((100 << 20)) $((FREE << 10)) ;;
  "ps -a "*) printf '%s\\n' 'c exited' 'b running' 'a running' ;;
  "exec listener cat"*) echo b ;;
  "inspect -f {{.State.Pid}}"*) echo 77 ;;
  "ps "*service=listener*) echo listener ;;
  "ps "*service=web*) echo web ;;
  "ps "*service=triton*) echo triton ;;
  "start "*) exit 9 ;;
esac
"""
NVIDIA_SMI = """#!/bin/bash
case "$*" in
  *compute-apps*) printf '%s\\n' '76, 5000' '77, 3000' ;;
  *) echo GPU_FREE ;;
esac
"""


@pytest.mark.parametrize(
    ("free", "gpu_free", "shell", "words"),
    [
        (1455, 0, {}, "a second release needs 1456 MiB of memory, and 1455 are free; nothing was started."),
        (1456, 0, {}, ""),
        (1456, 3255, {"GPU": "1"}, "a second Triton needs 3256 MiB of GPU 0, and 3255 are free; nothing was started."),
        (1456, 3256, {"GPU": "1"}, ""),
    ],
)
def test_what_does_not_fit_is_refused_with_the_number(
    tmp_path: Path, free: int, gpu_free: int, shell: dict[str, str], words: str
) -> None:
    shutil.copytree(REPOSITORY / "host", tmp_path / "host")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"docker": DOCKER, "nvidia-smi": NVIDIA_SMI}.items():
        (commands / name).write_text(text.replace("GPU_FREE", str(gpu_free)).replace("FREE", str(free)))
        (commands / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "host/upgrade", "--back"],
        env={"PATH": f"{commands}:{os.environ['PATH']}", **shell},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    calls = (commands / "calls").read_text().splitlines()
    started = any(call.startswith("start ") for call in calls)
    assert done.returncode
    assert done.stderr.startswith(f"make rollback: {words}" if words else "make rollback: taken back")
    assert started is (not words)
    # What an upgrade that was cut off has left is taken away, and the release before stays.
    assert [call for call in calls if call.startswith("rm ")] == ["rm -fv web triton"]
    assert any("cliplane.colour=a" in call for call in calls)
