"""Every image is built on the one base that BASE_IMAGE names, so that a digest there is a digest everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCKERFILES = sorted((Path(__file__).parents[3] / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_nothing_is_built_on_another_base(file: Path) -> None:
    text = file.read_text()
    froms = re.findall(r"(?m)^FROM (\S+)(?: AS (\S+))?$", text)
    stages = {name for _, name in froms}
    assert {base for base, _ in froms} - stages == {"${BASE_IMAGE}"}
    assert re.findall(r"(?m)^ARG BASE_IMAGE=(.*)$", text) == ["debian:trixie-slim"]
