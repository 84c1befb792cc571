"""Labels over time: windows over a whole video, and the segments that they make."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import jsonschema
import pytest

from tests import media
from tests.e2e.test_classify import STREAM, events, without_timing

MOVES = ("pan_right", "zoom_in", "tilt_down")
MOVE_S = 6
STRIDE_S = 0.2
SEGMENTS = "/v1/segments"


@pytest.fixture(scope="module")
def film() -> bytes:
    """A camera that makes one move after the other, each for `MOVE_S` seconds."""
    moves = (media.moving_camera(move, frames=25 * MOVE_S, width=160, height=120, speed=0.004) for move in MOVES)
    return media.encode(itertools.chain(*moves))


def test_each_move_is_a_segment_that_begins_and_ends_with_it(http: httpx.Client, film: bytes) -> None:
    response = http.post(SEGMENTS, content=film, params={"stride_s": STRIDE_S, "min_s": 1})
    assert response.status_code == 200, response.text
    result = response.json()
    document = http.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Segmented", "components": document["components"]}
    jsonschema.validate(result, schema)
    assert [segment["label"] for segment in result["segments"]] == list(MOVES)
    for number, segment in enumerate(result["segments"]):
        # Of a window with a cut in it the model may say either.
        assert segment["start_s"] == pytest.approx(number * MOVE_S, abs=0.72 + STRIDE_S)
        assert segment["end_s"] == pytest.approx((number + 1) * MOVE_S, abs=0.72 + STRIDE_S)
    assert result["handoff"] == "system_shm"
    # Every frame that is decoded is decoded once.
    assert result["video"]["frames_decoded"] <= result["video"]["frames"] == 25 * MOVE_S * len(MOVES)


def test_windows_and_segments_come_as_events_while_the_video_is_decoded(http: httpx.Client, film: bytes) -> None:
    query = {"stride_s": STRIDE_S, "min_s": 1}
    with http.stream("POST", SEGMENTS, content=film, params=query, headers=STREAM) as response:
        found = events("".join(response.iter_text()))
    names = [name for name, _ in found]
    assert (names[0], names[-1]) == ("video", "result")
    windows: list[Any] = [data for name, data in found if name == "window"]
    result: Any = found[-1][1]
    assert [window["window"] for window in windows] == list(range(result["windows"]))
    assert windows[1]["start_s"] == pytest.approx(STRIDE_S, abs=0.1)
    assert [data for name, data in found if name == "segment"] == result["segments"]
    assert names.index("segment") < len(names) - 1 - names[::-1].index("window"), "as it closes"
    assert without_timing(result) == without_timing(http.post(SEGMENTS, content=film, params=query).json())


def test_a_window_s_scores_are_those_of_the_same_clip_in_classify(http: httpx.Client) -> None:
    video = media.clip("roll_cw", frames=36)  # one clip long
    with http.stream("POST", SEGMENTS, content=video, headers=STREAM) as response:
        found = events("".join(response.iter_text()))
    windows: list[Any] = [data for name, data in found if name == "window"]
    (view,) = http.post("/v1/classify", content=video, params={"views": 1, "top": 3}).json()["views"]
    assert [window["predictions"] for window in windows] == [view["predictions"]]


def test_a_long_video_goes_through_the_ring_many_times(http: httpx.Client) -> None:
    short = media.clip("pan_left", frames=50, width=96, height=96)
    video = media.looped(short, times=130)  # four minutes, more windows than the region has slots
    result = http.post(SEGMENTS, content=video, params={"stride_s": 0.36}).json()
    assert result["windows"] == 719
    assert result["video"]["duration_s"] == pytest.approx(260)
    assert result["video"]["frames_decoded"] <= result["video"]["frames"]
    assert {segment["label"] for segment in result["segments"]} >= {"pan_left"}


@pytest.mark.parametrize(
    ("query", "status", "type_"),
    [
        ({"stride_s": "0"}, 400, "bad-query"),
        ({"stride_s": "nan"}, 400, "bad-query"),
        ({"stride_s": "1e9"}, 400, "bad-query"),
        ({"threshold": "1.5"}, 400, "bad-query"),
        ({"min_s": "-1"}, 400, "bad-query"),
        ({"top": "3"}, 400, "bad-query"),
        ({"window_s": "3"}, 400, "bad-query"),  # its window is a clip
        ({"model": "nobody"}, 404, "unknown-model"),
    ],
)
def test_what_is_asked_wrongly_has_its_problem(
    http: httpx.Client, query: dict[str, str], status: int, type_: str
) -> None:
    response = http.post(SEGMENTS, content=media.clip(frames=40, width=96, height=96), params=query)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:cliplane:problem:{type_}"), response.text


def test_fields_of_a_form_are_obeyed(http: httpx.Client) -> None:
    files = {"video": ("c.mp4", media.clip("tilt_up", frames=120, width=96, height=96))}
    result = http.post(SEGMENTS, data={"stride_s": "0.4", "threshold": "0.3"}, files=files).json()
    assert (result["stride_s"], result["threshold"], result["windows"]) == (0.4, 0.3, 9)
