"""What the command writes of an answer: its labels, and what was doubtful in the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane_client import Client, FileWarning, Orientation
from cliplane_client.cli import main
from cliplane_client.results import Sampling

from tests.client.documents import MODEL, MODELS, RESULT, VIDEO
from tests.client.loopback import Server

DOUBTS = [{"type": "rate-assumed", "detail": "25 frames a second"}, {"type": "damaged", "detail": ""}]
NEWER = {
    **RESULT,
    "video": {
        **VIDEO,
        "orientation": {"rotate": 90, "mirror": True},
        "rate_source": "packets",
        "frames_decoded": 32,
        "damage": 0.25,
    },
    "warnings": DOUBTS,
}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def classify(server: Server, folder: Path, capsys: pytest.CaptureFixture[str], *form: str) -> tuple[str, str]:
    path = folder / "clip.mp4"
    path.write_bytes(b"x")
    assert main(["classify", str(path), *form, "--base", server.base]) == 0
    written = capsys.readouterr()
    return written.out, written.err


def test_each_doubt_is_a_line_of_the_notes(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.streams(("result", NEWER))
    _, notes = classify(server, tmp_path, capsys)
    assert [line.partition("clip.mp4: ")[2] for line in notes.splitlines()] == [
        "rate assumed: 25 frames a second",
        "damaged",
    ]
    server.streams(("result", RESULT))
    assert classify(server, tmp_path, capsys)[1] == ""


def test_json_has_the_doubts_as_they_came_and_csv_a_column(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.streams(("result", NEWER))
    assert json.loads(classify(server, tmp_path, capsys, "--json")[0])["warnings"] == DOUBTS
    (row,) = csv.DictReader(io.StringIO(classify(server, tmp_path, capsys, "--csv")[0]))
    assert row["warnings"] == "rate-assumed damaged"


def test_neither_a_file_s_name_nor_a_label_is_a_formula_to_a_spreadsheet(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.streams(("result", {**RESULT, "predictions": [{"label": "+1", "score": 0.5}], "warnings": DOUBTS}))
    Path("=1+1.mp4").write_bytes(b"x")
    assert main(["classify", "=1+1.mp4", "--csv", "--base", server.base]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["file"], row["label"]) == ("'=1+1.mp4", "'+1")


def test_results_have_what_newer_servers_say_and_do_without(server: Server) -> None:
    with Client(server.base) as client:
        server.streams(("video", VIDEO), ("warning", DOUBTS[0]), ("news", {}), ("result", NEWER))
        assert [event.name for event in client.stream(b"x")] == ["video", "warning", "result"]
        newer = client.classify(b"x")
        server.streams(("result", RESULT))
        older = client.classify(b"x")
    assert newer.warnings[0] == FileWarning("rate-assumed", "25 frames a second")
    assert newer.video.orientation == Orientation(90, True)
    assert (newer.video.rate_source, newer.video.frames_decoded, newer.video.damage) == ("packets", 32, 0.25)
    assert older.warnings == ()
    assert older.video.orientation is None


def test_a_model_s_sampling_stands_in_words(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert Sampling(16, 4, 224, 10, 30.0).in_words() == "16 frames, every 4th at 30 a second: 2.1 s"
    assert Sampling(16, 1, 224, 10).in_words() == "16 frames in a row"
    assert Sampling(16, 1, 224, 1, mode="uniform").in_words() == "16 frames, spread over the whole video"
    assert [Sampling(8, n, 64, 1).in_words()[-4:] for n in (2, 3, 11, 22)] == [" 2nd", " 3rd", "11th", "22nd"]
    server.says(json.dumps(MODELS | {"models": [MODEL | {"descriptions": {"static": "It does not move."}}]}).encode())
    with Client(server.base) as client:
        assert client.models()[0].descriptions["static"] == "It does not move."
    assert main(["models", "--base", server.base]) == 0
    assert "every 2nd" in " ".join(capsys.readouterr().out.split())
