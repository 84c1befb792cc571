"""A video goes in, labels come out: every way to send it, every way to be answered."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import jsonschema
import pytest

from tests import media
from tests.e2e.conftest import real_videos

STREAM = {"Accept": "text/event-stream"}

# The file that its makers broke; decoders that conceal errors answer, others refuse. Neither may crash.
BROKEN = "corrupted.mp4"


@pytest.fixture(scope="session")
def result_schema(http: httpx.Client) -> dict[str, object]:
    document = http.get("/openapi.json").json()
    return {"$ref": "#/components/schemas/Result", "components": document["components"]}


def events(text: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def without_timing(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if key not in ("request_id", "timing_ms")}


@pytest.mark.parametrize("path", real_videos(), ids=lambda path: path.name)
def test_every_real_video_is_classified_raw_multipart_and_streamed(
    http: httpx.Client, result_schema: dict[str, object], path: Path
) -> None:
    data = path.read_bytes()
    raw = http.post("/v1/classify", content=data)
    form = http.post("/v1/classify", files={"video": (path.name, data)})
    stream = http.post("/v1/classify", content=data, headers=STREAM)
    assert raw.status_code == form.status_code == stream.status_code == 200, raw.text
    result = raw.json()
    jsonschema.validate(result, result_schema)
    assert result["handoff"] == "system_shm"
    assert sum(p["score"] for p in result["predictions"]) <= 1
    assert result["video"]["frames"] >= 1
    assert without_timing(form.json()) == without_timing(result)
    found = events(stream.text)
    names = [name for name, _ in found if name != "warning"]
    assert names == ["video", *["view"] * len(result["views"]), "result"]
    assert without_timing(found[-1][1]) == without_timing(result)
    assert [data for name, data in found if name == "warning"] == result["warnings"]
    assert [warning["type"] for warning in result["warnings"]] == (["damaged"] if path.name == BROKEN else [])


@pytest.mark.parametrize(
    "label",
    ["static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw"],
)
def test_the_default_model_names_the_camera_s_movement(http: httpx.Client, label: str) -> None:
    speed = 0.0 if label == "static" else 0.006
    response = http.post("/v1/classify", content=media.clip(label, speed=speed), params={"top": 1})
    assert response.json()["predictions"][0]["label"] == label


def test_views_arrive_while_later_ones_are_decoded(http: httpx.Client) -> None:
    video = media.clip(frames=200)
    with http.stream("POST", "/v1/classify", content=video, params={"views": 8}, headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        found = events("".join(response.iter_text()))
    views = [data for name, data in found if name == "view"]
    assert [view["view"] for view in views] == list(range(8))


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "libx264", "mp4"),
        ("mov", "libx264", "mov"),
        ("matroska", "libx264", "matroska"),
        ("webm", "libvpx-vp9", "webm"),
        ("avi", "mpeg4", "avi"),
        ("mpegts", "libx264", "mpegts"),
    ],
)
def test_every_allowed_container_is_read(http: httpx.Client, container: str, codec: str, name: str) -> None:
    video = media.encode(media.moving_camera("pan_right"), container=container, codec=codec)
    response = http.post("/v1/classify", content=video)
    assert response.status_code == 200, response.text
    assert response.json()["video"]["container"] == name
    assert response.json()["predictions"][0]["label"] == "pan_right"


def test_a_video_inside_a_form_with_other_fields_is_found(http: httpx.Client) -> None:
    response = http.post(
        "/v1/classify", data={"note": "a", "more": "b"}, files={"video": ("c.mp4", media.clip("tilt_up"))}
    )
    assert response.json()["predictions"][0]["label"] == "tilt_up"


def test_fields_of_a_form_are_obeyed_as_the_query_is(http: httpx.Client) -> None:
    files = {"video": ("c.mp4", media.clip("tilt_up", frames=120))}
    data = {"model": "camera_motion", "views": "2", "top": "3"}
    result = http.post("/v1/classify?top=3", data=data, files=files).json()
    assert (len(result["views"]), len(result["predictions"])) == (2, 3)


def test_labels_below_the_least_score_are_left_out(http: httpx.Client) -> None:
    video = media.clip(frames=120)
    whole = http.post("/v1/classify", content=video, params={"min_score": 0, "views": 2}).json()
    assert len(whole["predictions"]) == 9
    least = whole["predictions"][2]["score"]
    few = http.post("/v1/classify", content=video, params={"min_score": least, "views": 2}).json()
    assert few["predictions"] == whole["predictions"][:3]
    for view in few["views"]:
        assert all(one["score"] >= least for one in view["predictions"])
    none = http.post("/v1/classify", content=video, params={"min_score": 1, "views": 2}).json()
    assert none["predictions"] == []


def test_views_and_top_are_obeyed(http: httpx.Client) -> None:
    result = http.post("/v1/classify", content=media.clip(frames=120), params={"views": 3, "top": 2}).json()
    assert len(result["views"]) == 3
    assert len(result["predictions"]) == 2
    assert all(len(view["predictions"]) == 2 for view in result["views"])


def test_a_video_of_one_frame_has_one_view(http: httpx.Client) -> None:
    result = http.post("/v1/classify", content=media.clip("static", frames=1)).json()
    assert len(result["views"]) == 1
    assert result["predictions"][0]["label"] == "static"


def test_auto_takes_as_many_views_as_it_needs_and_says_why(
    http: httpx.Client, result_schema: dict[str, object]
) -> None:
    video = media.clip("pan_right", frames=200, width=160, height=120, speed=0.01)
    result = http.post("/v1/classify", content=video, params={"views": "auto"}).json()
    jsonschema.validate(result, result_schema)
    assert result["auto"] == {"planned": 10, "used": len(result["views"]), "reason": "decided"}
    assert len(result["views"]) < 10
    assert result["predictions"][0]["label"] == "pan_right"
    starts = [view["start_s"] for view in result["views"]]
    assert starts == sorted(starts)
    # The lane is at once fit for another video.
    assert http.post("/v1/classify", content=media.clip("zoom_in")).json()["predictions"][0]["label"] == "zoom_in"


def test_auto_over_a_short_video_takes_all_its_views(http: httpx.Client) -> None:
    result = http.post("/v1/classify", content=media.clip(frames=8), params={"views": "auto"}).json()
    assert result["auto"] == {"planned": 1, "used": 1, "reason": "all"}


def test_the_same_video_gives_the_same_answer_to_the_bit(http: httpx.Client) -> None:
    video = media.clip("roll_cw")
    first, second = (http.post("/v1/classify", content=video, params={"top": 9}).json() for _ in range(2))
    assert without_timing(first) == without_timing(second)
