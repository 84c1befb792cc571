"""One file, one answer: the corpus by the client, as it is and shrunk, and in a form."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from cliplane_client import Client
from cliplane_client.results import Result, result
from cliplane_client.shrinking import choose

from tests.corpus.files import FILES, File

BASE = os.environ.get("BASE", "http://127.0.0.1:8080")


def in_a_form(video: bytes) -> Result:
    with httpx.Client(trust_env=False) as http:
        response = http.post(f"{BASE}/v1/classify", files={"video": ("clip", video)}, timeout=60)
    return result(response.json())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_has_the_same_answer_by_every_way(file: File, tmp_path: Path) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.make())
    with Client(BASE) as client:
        raw = client.classify(path)
        sent = choose(path, 64, "on", tmp_path, lambda: 0.0)
        small = client.classify(sent.path) if sent.was_shrunk else raw
    form = in_a_form(path.read_bytes())
    assert (form.predictions, form.warnings, form.video) == (raw.predictions, raw.warnings, raw.video)
    assert {warning.type for warning in raw.warnings} == set(file.warnings)
    assert (raw.video.width, raw.video.height) == file.size
    for answer in (raw, small):
        assert tuple(view.predictions[0].label for view in answer.views) == file.labels
    for shown, whole in zip(small.views, raw.views, strict=True):  # it was encoded again
        assert shown.predictions[0].score == pytest.approx(whole.predictions[0].score, abs=0.2)
    assert small.video.frames == pytest.approx(raw.video.frames, abs=2)
    assert small.video.fps == pytest.approx(raw.video.fps, rel=0.01)
    aspects = [video.width / video.height for video in (small.video, raw.video)]
    assert aspects[0] == pytest.approx(aspects[1], rel=0.05)  # whole pixels, and even ones
