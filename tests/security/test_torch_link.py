"""TORCH=file is run in a container of its own, which may not take the host's memory; what it leaves there is looked at
before it is followed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "services" / "triton" / "export" / "run"

# Plays the program in the container: it leaves a link in the folder that is mounted at /out. Says what it was asked.
DOCKER = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$SAID"
[[ $1 = info ]] && echo 8000000000
[[ $* = *exporter.torch_file* ]] || exit 0
[[ $LEAVES = killed ]] && exit 137
[[ $* =~ source=([^,]*)\\",target=/out ]] || exit 1
out=${BASH_REMATCH[1]}
[[ -e $out ]] || out=$(sed 's/^"//; s/"$//' <<<"$out")
case $LEAVES in
  link) ln -s "$TARGET" "$out/model.pt.onnx" ;;
  graph) echo graph >"$out/model.pt.onnx" ;;
esac
"""


Made = Callable[[str], tuple[subprocess.CompletedProcess[str], str]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Runs `make model TORCH=`, whose program leaves this: what came of it, and what Docker was asked."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "secret").write_text("the operator's")
    (tmp_path / "model.pt").write_text("a program")
    (tmp_path / "models").mkdir()
    said = tmp_path / "said"
    environ = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SAID": str(said),
        "TARGET": str(tmp_path / "secret"),
        "TORCH": str(tmp_path / "model.pt"),
        "MODELS": str(tmp_path / "models"),
        "WEIGHTS": str(tmp_path / "weights"),
        "AS": "mine",
        "EXPORTER": "exporter:test",
        "VIDEOS": str(tmp_path),
    }

    def make(leaves: str) -> tuple[subprocess.CompletedProcess[str], str]:
        told = environ | {"LEAVES": leaves}
        done = subprocess.run([RUN, "model"], env=told, capture_output=True, text=True, check=False, timeout=60)
        return done, said.read_text()

    return make


@pytest.mark.parametrize(("leaves", "is_followed"), [("link", False), ("nothing", False), ("graph", True)])
def test_a_link_that_a_program_leaves_is_not_followed(
    tmp_path: Path, made: Made, leaves: str, is_followed: bool
) -> None:
    done, asked = made(leaves)
    assert "exporter.torch_file" in asked, done.stderr
    assert str(tmp_path / "secret") not in asked
    assert ("/in/ONNX/" in asked) == is_followed, done.stderr
    if not is_followed:
        assert done.returncode != 0
        assert "what came out is no file" in done.stderr


def test_a_program_may_not_take_the_host_s_memory(made: Made) -> None:
    done, asked = made("killed")
    (torch,) = [line for line in asked.splitlines() if "exporter.torch_file" in line]
    assert "--memory 6000000000 --memory-swap 6000000000 --oom-score-adj 1000" in torch  # of 8 GB
    assert done.returncode != 0
    assert "5722 MiB" in done.stderr
