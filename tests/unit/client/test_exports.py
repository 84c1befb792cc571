"""Segments in other tools' forms: what each says is what the server said."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from cliplane_client import exports
from cliplane_client.segments import Segments, segments_of
from hypothesis import given
from hypothesis import strategies as st

FPS = 30000 / 1001
VIDEO = {
    "container": "mp4",
    "codec": "h264",
    "width": 1280,
    "height": 720,
    "fps": FPS,
    "frames": 107_892,
    "duration_s": 3600.0,
}


def answer(*segments: tuple[str, float, float, float]) -> Segments:
    names = ("label", "start_s", "end_s", "score")
    return segments_of(
        {
            "request_id": "r",
            "model": "m",
            "version": "1",
            "stride_s": 1.0,
            "windows": 3600,
            "segments": [dict(zip(names, one, strict=True)) for one in segments],
            "video": VIDEO,
            "timing_ms": {"spool": 0.0, "decode": 1.0, "infer": 1.0, "total": 2.0},
        }
    )


TWO = answer(("walk <fast> & far", 0.0, 61.5, 0.91), ("ride", 59.9, 3600.0, 0.5))


def test_json_is_the_answer_as_it_came() -> None:
    assert json.loads(exports.as_json(TWO, "a.mp4")) == TWO.json


def test_csv_has_a_row_each() -> None:
    rows = list(csv.reader(exports.as_csv(TWO, "a.mp4").splitlines()))
    assert rows[0] == ["label", "start_s", "end_s", "score"]
    assert rows[1:] == [["walk <fast> & far", "0.0", "61.5", "0.91"], ["ride", "59.9", "3600.0", "0.5"]]


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "=cmd|' /C calc'!A0", "-\t1"])
def test_no_label_is_a_formula_to_a_spreadsheet(label: str) -> None:
    _, (cell, *_) = csv.reader(io.StringIO(exports.as_csv(answer((label, 0.0, 1.0, 0.5)), "a.mp4")))
    assert cell == "'" + label.replace("\t", r"\t")


@given(st.text(max_size=20))
def test_no_cell_begins_as_a_formula_or_a_control_does(label: str) -> None:
    _, (cell, *_) = csv.reader(io.StringIO(exports.as_csv(answer((label, 0.0, 1.0, 0.5)), "a.mp4")))
    assert cell[:1] not in tuple("=+-@\t\r\n＝＋－＠")


def test_no_label_is_a_cue_of_its_own() -> None:
    text = exports.as_vtt(answer(("x\n\n00:00.000 --> 00:09.000\n<script>", 0.0, 1.0, 0.5)), "a.mp4")
    assert text.count("-->") == 1
    assert "<" not in text.replace("WEBVTT", "")


def test_vtt_has_a_cue_each_whose_words_are_no_markup() -> None:
    assert exports.as_vtt(TWO, "a.mp4") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:01:01.500\nwalk &lt;fast&gt; &amp; far 0.91\n\n"
        "00:00:59.900 --> 01:00:00.000\nride 0.50\n"
    )


def test_an_edl_s_events_lie_one_behind_the_other() -> None:
    text = exports.as_edl(TWO, "folder/a.mp4")
    assert text.startswith("TITLE: a.mp4\nFCM: NON-DROP FRAME\n\n")
    events = re.findall(r"(?m)^(\d{3})  AX       V     C        (\S+) (\S+) (\S+) (\S+)$", text)
    assert events == [
        ("001", "00:00:00:00", "00:01:01:15", "00:00:00:00", "00:01:01:15"),
        ("002", "00:00:59:27", "01:00:00:00", "00:01:01:15", "01:00:01:18"),
    ]
    assert "* COMMENT: ride 0.50" in text


def test_label_studio_gets_a_task_with_predictions() -> None:
    (task,) = json.loads(exports.as_labelstudio(TWO, "folder/a.mp4"))
    assert task["data"] == {"video": "a.mp4"}
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "m 1"
    first = prediction["result"][0]
    assert (first["type"], first["from_name"], first["to_name"]) == ("timelinelabels", "labels", "video")
    assert first["value"] == {
        "ranges": [{"start": 1, "end": 1843}],
        "timelinelabels": ["walk <fast> & far"],
    }


def test_fiftyone_gets_detections_with_frames_of_the_video() -> None:
    labels = json.loads(exports.as_fiftyone(TWO, "folder/a.mp4"))
    assert labels["classes"] == ["ride", "walk <fast> & far"]
    assert labels["labels"] == {
        "a": [
            {"label": 1, "support": [1, 1843], "confidence": 0.91},
            {"label": 0, "support": [1796, 107_892], "confidence": 0.5},
        ]
    }


@pytest.mark.parametrize("name", exports.FORMATS)
def test_a_video_without_segments_has_a_file_all_the_same(name: str) -> None:
    assert exports.FORMATS[name](answer(), "a.mp4").endswith("\n")


@pytest.mark.parametrize("name", ["csv", "vtt", "edl"])
@given(label=st.text(max_size=40))
def test_no_label_breaks_out_of_its_line(name: str, label: str) -> None:
    plain = exports.FORMATS[name](answer(("x", 0.0, 1.0, 0.5)), "a.mp4")
    text = exports.FORMATS[name](answer((label, 0.0, 1.0, 0.5)), "a.mp4")
    assert len(text.splitlines()) == len(plain.splitlines())


@given(st.floats(0, 3600), st.floats(0, 3600))
def test_frames_lie_in_the_video(one: float, other: float) -> None:
    start_s, end_s = sorted((one, other))
    (task,) = json.loads(exports.as_labelstudio(answer(("x", start_s, end_s, 0.5)), "a.mp4"))
    (frames,) = task["predictions"][0]["result"][0]["value"]["ranges"]
    assert 1 <= frames["start"] <= frames["end"] <= VIDEO["frames"]
