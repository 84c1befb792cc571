"""Segments by the command line and the Python API, against the running stack."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
from pathlib import Path

import pytest
from cliplane_client import AsyncClient, Client
from cliplane_client.errors import BadQuery

from tests import media
from tests.client.test_client import BASE, cliplane


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    moves = (media.moving_camera(move, frames=100, width=160, height=120) for move in ("pan_left", "zoom_in"))
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    path.write_bytes(media.encode(itertools.chain(*moves)))
    return path


def test_segments_are_the_same_at_once_step_by_step_and_awaited(film: Path) -> None:
    async def awaited() -> list[str]:
        async with AsyncClient(BASE) as client:
            return [one.label for one in (await client.segments(film, stride_s=0.2, min_s=1)).segments]

    with Client(BASE) as client:
        answer = client.segments(film, stride_s=0.2, min_s=1)
        steps = list(client.stream_segments(film, stride_s=0.2, min_s=1))
    assert [one.label for one in answer.segments] == ["pan_left", "zoom_in"]
    assert asyncio.run(awaited()) == ["pan_left", "zoom_in"]
    closed = [step.data["label"] for step in steps if step.name == "segment"]
    assert closed == ["pan_left", "zoom_in"]
    assert sum(step.name == "window" for step in steps) == answer.windows


def test_a_wrong_stride_is_refused_by_name() -> None:
    with Client(BASE) as client, pytest.raises(BadQuery, match="stride_s"):
        client.segments(media.clip(frames=5), stride_s=-1.0)


def test_the_command_writes_the_format_that_is_asked_for(film: Path) -> None:
    asked = ("segments", film, "--stride", 0.2, "--min", 1)
    rows = list(csv.DictReader(io.StringIO(cliplane(*asked, "--format", "csv").stdout.decode())))
    assert [row["label"] for row in rows] == ["pan_left", "zoom_in"]
    assert cliplane(*asked, "--format", "vtt").stdout.startswith(b"WEBVTT\n\n00:00:00.000 --> ")
    assert b"zoom_in" in cliplane(*asked).stdout


def test_a_file_that_is_not_there_is_said_in_a_line() -> None:
    done = cliplane("segments", "nothing.mp4")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing.mp4" in done.stderr
