"""Segments in the forms of other tools. Pure: an answer in, a text out.

Times are seconds from the video's first picture; frames are counted from 1 at the answer's frame rate.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from cliplane_client.segments import Segment, Segments
from cliplane_client.text import cell, clean


def as_json(answer: Segments, _name: str) -> str:
    """The server's answer as it came, on one line."""
    return json.dumps(answer.json) + "\n"


def as_csv(answer: Segments, _name: str) -> str:
    """label, start_s, end_s, score (RFC 4180)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["label", "start_s", "end_s", "score"])
    rows.writerows([cell(one.label), one.start_s, one.end_s, one.score] for one in answer.segments)
    return text.getvalue()


def as_vtt(answer: Segments, _name: str) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/): a cue a segment; cues may overlap."""
    cues = ["WEBVTT\n"]
    for one in answer.segments:
        words = clean(f"{one.label} {one.score:.2f}").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(one.start_s)} --> {_clock(one.end_s)}\n{words}\n")
    return "\n".join(cues)


def as_edl(answer: Segments, name: str) -> str:
    """CMX 3600: a cut list, one event a segment behind the other, since segments may overlap and events may not.

    Timecodes are non-drop, at the nearest whole rate.
    """
    rate = max(1, round(answer.video.fps))
    clip = clean(PurePath(name).name)
    lines = [f"TITLE: {clip}", "FCM: NON-DROP FRAME", ""]
    recorded = 0
    for number, one in enumerate(answer.segments, 1):
        start, end = (round(second * rate) for second in (one.start_s, one.end_s))
        end = max(end, start + 1)
        codes = (start, end, recorded, recorded + end - start)
        recorded = codes[3]
        lines.append(f"{number:03d}  AX       V     C        {' '.join(_timecode(frame, rate) for frame in codes)}")
        lines += [f"* FROM CLIP NAME: {clip}", f"* COMMENT: {clean(one.label)} {one.score:.2f}"]
    return "\n".join(lines) + "\n"


def as_labelstudio(answer: Segments, name: str) -> str:
    """A task with predictions, for a labelling interface of `<Video name="video">` and `<TimelineLabels
    name="labels" toName="video">` (https://labelstud.io/tags/timelinelabels). The video's address is its name: the
    import's own storage says where that is."""
    result = [
        {
            "id": str(number),
            "type": "timelinelabels",
            "from_name": "labels",
            "to_name": "video",
            "value": {"ranges": [_frames(answer, one)], "timelinelabels": [one.label]},
            "score": one.score,
        }
        for number, one in enumerate(answer.segments, 1)
    ]
    prediction = {"model_version": f"{answer.model} {answer.version}", "result": result}
    return json.dumps([{"data": {"video": PurePath(name).name}, "predictions": [prediction]}]) + "\n"


def as_fiftyone(answer: Segments, name: str) -> str:
    """`labels.json` of a FiftyOneTemporalDetectionDataset, whose `data/` has the video under its name
    (https://docs.voxel51.com/user_guide/import_datasets.html)."""
    classes = sorted({one.label for one in answer.segments})
    detections: list[dict[str, Any]] = []
    for one in answer.segments:
        frames = _frames(answer, one)
        detections.append(
            {
                "label": classes.index(one.label),
                "support": [frames["start"], frames["end"]],
                "confidence": one.score,
            }
        )
    return json.dumps({"classes": classes, "labels": {PurePath(name).stem: detections}}) + "\n"


FORMATS: dict[str, Callable[[Segments, str], str]] = {
    "json": as_json,
    "csv": as_csv,
    "vtt": as_vtt,
    "edl": as_edl,
    "labelstudio": as_labelstudio,
    "fiftyone": as_fiftyone,
}
"""By name: a function of the answer and of the video's file name."""


def _frames(answer: Segments, segment: Segment) -> dict[str, int]:
    """The first and the last frame of a segment, from 1 on."""
    first = int(segment.start_s * answer.video.fps) + 1
    last = max(first, round(segment.end_s * answer.video.fps))
    return {"start": min(first, answer.video.frames), "end": min(last, answer.video.frames)}


def _clock(second: float) -> str:
    ms = round(second * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _timecode(frame: int, rate: int) -> str:
    seconds = frame // rate
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame % rate:02d}"
