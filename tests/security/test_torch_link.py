"""TORCH=file is run in a container of its own; what it leaves there is looked at before it is followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "services" / "triton" / "export" / "run"

# Plays the program in the container: it leaves a link in the folder that is mounted at /out. Says what it was asked.
DOCKER = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$SAID"
[[ $* = *exporter.torch_file* ]] || exit 0
[[ $* =~ source=([^,]*)\\",target=/out ]] || exit 1
out=${BASH_REMATCH[1]}
[[ -e $out ]] || out=$(sed 's/^"//; s/"$//' <<<"$out")
case $LEAVES in
  link) ln -s "$TARGET" "$out/model.pt.onnx" ;;
  graph) echo graph >"$out/model.pt.onnx" ;;
esac
"""


@pytest.mark.parametrize(("leaves", "is_followed"), [("link", False), ("nothing", False), ("graph", True)])
def test_a_link_that_a_program_leaves_is_not_followed(tmp_path: Path, leaves: str, is_followed: bool) -> None:
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("the operator's")
    (tmp_path / "model.pt").write_text("a program")
    (tmp_path / "models").mkdir()
    said = tmp_path / "said"
    environ = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SAID": str(said),
        "LEAVES": leaves,
        "TARGET": str(secret),
        "TORCH": str(tmp_path / "model.pt"),
        "MODELS": str(tmp_path / "models"),
        "WEIGHTS": str(tmp_path / "weights"),
        "AS": "mine",
        "EXPORTER": "exporter:test",
        "VIDEOS": str(tmp_path),
    }
    done = subprocess.run([RUN, "model"], env=environ, capture_output=True, text=True, check=False, timeout=60)
    asked = said.read_text()
    assert "exporter.torch_file" in asked, done.stderr
    assert str(secret) not in asked
    assert ("/in/ONNX/" in asked) == is_followed, done.stderr
    if not is_followed:
        assert done.returncode != 0
        assert "what came out is no file" in done.stderr
