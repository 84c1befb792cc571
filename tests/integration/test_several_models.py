"""`model=a,b`: one decode, and of each model the views and the answer that it has alone."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cliplane_client import Client

from tests import media
from tests.integration.conftest import BASE, wait_until

MODELS = Path(__file__).parents[2] / "services" / "triton" / "models"


@pytest.fixture
def copy() -> Iterator[str]:
    """camera_motion under another name, which wants its frames at another rate and stride."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    staged = MODELS.parent / f".models.new-{name}"
    shutil.copytree(MODELS / "camera_motion", staged)
    for config in (staged / "config.pbtxt", *(staged / "configs").iterdir()):
        text = config.read_text().replace('name: "camera_motion"', f'name: "{name}"')
        text = re.sub(r'("frame_rate"\s*value:?\s*{\s*string_value:\s*)"[^"]*"', r'\1"12"', text)
        config.write_text(re.sub(r'("temporal_stride"\s*value:?\s*{\s*string_value:\s*)"[^"]*"', r'\1"2"', text))
    for path in (staged, *staged.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    staged.rename(MODELS / name)
    try:
        wait_until(lambda: name in _offered(), seconds=60, what="the model is served")
        yield name
    finally:
        shutil.rmtree(MODELS / name)
        wait_until(lambda: name not in _offered(), seconds=60, what="the model is gone")


def _offered() -> list[str]:
    response = httpx.get(f"{BASE}/v1/models", timeout=60)
    return [model["name"] for model in response.json()["models"]] if response.status_code == 200 else []


def _ask(video: bytes, **query: Any) -> httpx.Response:
    return httpx.post(f"{BASE}/v1/classify", params=query, content=video, timeout=60)


def test_two_models_answer_one_request_as_each_does_alone(copy: str) -> None:
    video = media.encode(media.moving_camera("zoom_in", frames=150), fps=30)
    together = _ask(video, model=f"camera_motion,{copy}", top=3)
    assert together.status_code == 200, together.text
    found = together.json()
    assert [one["model"] for one in found["answers"]] == ["camera_motion", copy]
    works = []
    for one in found["answers"]:
        alone = _ask(video, model=one["model"], top=3).json()
        assert one == {key: alone[key] for key in ("model", "version", "predictions", "views")}
        works.append(alone["video"]["frames_decoded"])
    assert max(works) <= found["video"]["frames_decoded"] <= 150
    assert found["handoff"] == "system_shm"
    auto = _ask(video, model=f"camera_motion,{copy}", views="auto")
    assert auto.status_code == 400
    assert "views=auto is of one model" in auto.json()["detail"]
    with Client(BASE) as client:
        compared = client.compare(video, model=f"camera_motion,{copy}", top=1)
    assert [(one.model, one.predictions[0].label) for one in compared.answers] == [
        (one["model"], one["predictions"][0]["label"]) for one in found["answers"]
    ]
    events = httpx.post(
        f"{BASE}/v1/classify",
        params={"model": f"camera_motion,{copy}", "views": 2},
        content=video,
        headers={"Accept": "text/event-stream"},
        timeout=60,
    ).text
    assert events.count("event: view") == 4
    assert events.count(f'"model":"{copy}"') + events.count(f'"model": "{copy}"') >= 2


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"model": "camera_motion,camera_motion"}, 400, "named twice"),
        ({"model": ",".join(f"m{k}" for k in range(9))}, 400, "at most 8"),
        ({"model": "camera_motion,"}, 404, "a model's name is"),
        ({"model": "camera_motion,nobody"}, 404, "nobody"),
    ],
)
def test_what_cannot_be_asked_of_several_models_is_refused(query: dict[str, str], status: int, words: str) -> None:
    response = _ask(media.clip(), **query)
    assert response.status_code == status
    assert words in response.json()["detail"]
