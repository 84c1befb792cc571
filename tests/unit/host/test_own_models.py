"""The models of a release: what is given to its folder while Triton looks at it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

DOCKER = """#!/bin/bash
case "$*" in
  *service=triton*) echo triton ;;
  "inspect "*) echo '%s' ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "host", tmp_path / "host")
    source = tmp_path / "services/triton/models"
    for version in ("1", "2"):
        (source / "x" / version).mkdir(parents=True)
        (source / "x" / version / "model.onnx").write_text(version)
    (source / "x/config.pbtxt").write_text("first")
    (tmp_path / "bin").mkdir()
    return tmp_path


def give(checkout: Path, folder: Path, name: str = "x") -> None:
    stand_in = checkout / "bin/docker"
    stand_in.write_text(DOCKER % folder)
    stand_in.chmod(0o755)
    environment = {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([checkout / "host/model", name], env=environment, check=True, timeout=60, umask=0o077)


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_release_gets_the_model_as_the_checkout_has_it_and_nothing_else_of_it_is_touched(checkout: Path) -> None:
    source, own = checkout / "services/triton/models", checkout / "services/triton/.models.cliplane-a"
    shutil.copytree(source, own)
    (source / "x/3").mkdir()
    (source / "x/3/model.onnx").write_text("3")
    (source / "x/config.pbtxt").write_text("second")
    shutil.rmtree(source / "x/1")
    (source / "x/2/model.onnx").write_text("changed")
    (source / "other").mkdir()
    unchanged = own / "y"
    unchanged.mkdir()
    give(checkout, own)
    assert contents(own / "x") == contents(source / "x")
    assert unchanged.is_dir()
    assert not (own / "other").exists()
    assert (own / "x/3").stat().st_mode & 0o055 == 0o055  # whoever has made it, under whatever umask
    # A copy, and no link: who edits the checkout's changes no release.
    (source / "x/config.pbtxt").write_text("third")
    assert (own / "x/config.pbtxt").read_text() == "second"
    assert {folder.name for folder in own.parent.iterdir()} == {"models", own.name}


def test_a_model_that_is_gone_is_taken_away(checkout: Path) -> None:
    source, own = checkout / "services/triton/models", checkout / "services/triton/.models.cliplane-a"
    shutil.copytree(source, own)
    shutil.rmtree(source / "x")
    give(checkout, own)
    assert not list(own.iterdir())


def test_a_release_that_has_the_checkouts_own_folder_or_another_checkouts_is_left_alone(checkout: Path) -> None:
    source, foreign = checkout / "services/triton/models", checkout / "elsewhere/services/triton/.models.cliplane-a"
    foreign.mkdir(parents=True)
    before = contents(source)
    for folder in (source, foreign):
        give(checkout, folder)
    assert contents(source) == before
    assert not list(foreign.iterdir())
