"""One file, one answer: as it is, in a form, and shrunk by the client."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cliplane_client import Client
from cliplane_client.results import Result, result
from cliplane_client.shrinking import choose

from tests import media

BASE = os.environ.get("BASE", "http://127.0.0.1:8080")


FILES: dict[str, Callable[[], bytes]] = {
    "with a cover before it": lambda: media.covered(_clip()),
    "of a front camera": lambda: media.remuxed(_clip(), matrix=[-1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]),
    "filmed on its side": lambda: media.turned(90, label="tilt_up"),
    "with pixels that are not square": lambda: _clip(width=180, x264="sar=16/9"),
    "of a camera, joined": lambda: media.remuxed(_clip(), "mpegts") * 2,
}


def _clip(width: int = 320, x264: str = "sar=1") -> bytes:
    frames = media.moving_camera("tilt_up", frames=60, width=width, height=240)
    return media.encode(frames, options={"x264-params": x264})


def in_a_form(video: bytes) -> Result:
    with httpx.Client(trust_env=False) as http:
        response = http.post(f"{BASE}/v1/classify", files={"video": ("clip", video)}, timeout=60)
    return result(response.json())


@pytest.mark.parametrize("kind", FILES)
def test_a_file_has_the_same_answer_by_every_way(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(FILES[kind]())
    with Client(BASE) as client:
        raw = client.classify(path)
        small = client.classify(choose(path, 64, "on", tmp_path, lambda: 0.0).path)
    form = in_a_form(path.read_bytes())
    assert form.predictions == raw.predictions
    assert small.predictions[0].label == raw.predictions[0].label
    assert small.predictions[0].score == pytest.approx(raw.predictions[0].score, abs=0.2)  # it was encoded again
    assert (small.video.frames, len(small.views)) == (raw.video.frames, len(raw.views))
    assert small.video.fps == pytest.approx(raw.video.fps, rel=0.01)
    aspects = [video.width / video.height for video in (small.video, raw.video)]
    assert aspects[0] == pytest.approx(aspects[1], rel=0.05)  # whole pixels, and even ones
