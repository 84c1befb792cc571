"""A lane whose library hangs: the request is over in time, the lane lives on. The decoder and Triton are real."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliplane.decoder import client
from cliplane.errors import DecodeTimeout, UndecodableVideo
from cliplane.http import problems, routes
from cliplane.intake.forms import read_form
from cliplane.lane.classification import classify
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Job
from cliplane.settings import Settings
from cliplane.triton.client import Triton
from flask import Flask, g

from tests import media

TIMEOUT_S = 2

STUB = """
import sys, time, ctypes
from cliplane.decoder import __main__ as decoder
def open_reader(*_):
    {hang}
decoder.load_reader = lambda _: open_reader
decoder.main()
"""


@pytest.fixture
def lane() -> Iterator[Lane]:
    settings = Settings(shared_memory=False, lanes=2)
    lane = Lane(settings, Triton(settings.triton_grpc))
    yield lane
    lane.close()


def job(path: Path) -> Job:
    return Job(path=str(path), container="mp4", model="camera_motion", request_id="hang", top=1)


@pytest.mark.parametrize(
    "hang", ["time.sleep(1000)", "ctypes.PyDLL(None).sleep(1000)", "while True: pass"], ids=["sleeps", "GIL", "spins"]
)
def test_a_hang_inside_the_library_is_a_timeout_and_the_lane_lives(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: str
) -> None:
    (tmp_path / "video").write_bytes(media.clip("tilt_up"))
    with monkeypatch.context() as patch:
        patch.setattr(client, "COMMAND", [sys.executable, "-c", STUB.format(hang=hang)])
        # Of the hang alone: on a busy machine a decoder may take as long to start.
        patch.setattr(lane, "settings", dataclasses.replace(lane.settings, request_timeout_s=TIMEOUT_S))
        lane.replace_decoder("crashed")
        began = time.monotonic()
        with pytest.raises(DecodeTimeout):
            list(classify(lane, job(tmp_path / "video")))
        assert time.monotonic() - began < TIMEOUT_S + 1
    lane.replace_decoder("crashed")
    *_, result = classify(lane, job(tmp_path / "video"))
    assert result.data["predictions"][0]["label"] == "tilt_up"


def test_a_form_s_reading_is_part_of_its_request_s_time(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask(__name__)
    app.extensions |= {"lane": lane, "settings": lane.settings}
    app.register_blueprint(routes.blueprint)
    app.before_request(lambda: setattr(g, "request_id", "form"))
    problems.install(app)
    head = b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    (tmp_path / "form").write_bytes(head + media.clip("tilt_up") + b"\r\n--x--\r\n")
    headers = {"X-Spool-Path": str(tmp_path / "form")}
    content_type = {"CONTENT_TYPE": "multipart/form-data; boundary=x"}  # werkzeug would make one of its own

    def ask() -> int:
        return app.test_client().post("/v1/classify", headers=headers, environ_overrides=content_type).status_code

    def all_of_its_time(*arguments: Any) -> Any:
        time.sleep(TIMEOUT_S)
        return read_form(*arguments)

    assert ask() == 200
    with monkeypatch.context() as patch:
        patch.setattr(lane, "settings", dataclasses.replace(lane.settings, request_timeout_s=TIMEOUT_S))
        patch.setattr(routes, "read_form", all_of_its_time)
        assert ask() == 504
    assert ask() == 200


def test_a_stopped_job_leaves_the_decoder_to_the_next_request(lane: Lane, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(media.clip("zoom_in", frames=200))
    events = classify(lane, job(tmp_path / "video"))
    assert next(events).name == "video"
    events.close()  # the client has left
    *_, result = classify(lane, job(tmp_path / "video"))
    assert result.data["predictions"][0]["label"] == "zoom_in"


def test_a_worn_decoder_is_replaced_before_the_next_request_comes(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "settings", dataclasses.replace(lane.settings, decoder_max_videos=2))
    (tmp_path / "video").write_bytes(media.clip("tilt_up"))
    jobs = []
    for _ in range(4):
        *_, result = classify(lane, job(tmp_path / "video"))
        assert result.data["predictions"][0]["label"] == "tilt_up"
        jobs.append(lane._decoder.jobs)
    assert jobs == [1, 0, 1, 0]


def test_a_file_that_changes_while_it_is_read_is_answered_or_refused(lane: Lane, tmp_path: Path) -> None:
    video, path = media.clip("zoom_in", frames=300, width=320, height=240), tmp_path / "video"
    for harm in (b"", b"garbage" * 10_000):
        path.write_bytes(video)
        events = classify(lane, dataclasses.replace(job(path), views=10))
        assert next(events).name == "video"
        with path.open("r+b") as file:
            file.seek(4000)
            file.write(harm)
            file.truncate()
        with contextlib.suppress(UndecodableVideo):
            assert [event.name for event in events][-1] == "result"
    path.write_bytes(media.clip("tilt_up"))
    *_, result = classify(lane, job(path))
    assert result.data["predictions"][0]["label"] == "tilt_up"


@pytest.mark.parametrize(("requests", "threads"), [(0, 4), (1, 4), (2, 2), (3, 2)], ids=str)
def test_a_decoder_has_its_share_of_the_cpus(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requests: int, threads: int
) -> None:
    """The requests are the whole files in the spool; no more than the two lanes are decoded at once."""
    monkeypatch.setattr("cliplane.lane.lane.SPOOL", tmp_path)
    monkeypatch.setattr("cliplane.kernel.cpus.available_cpus", lambda: 4.0)
    for number in range(requests):
        (tmp_path / str(number)).touch(0o640)
        (tmp_path / f"under way {number}").touch(0o600)
    assert lane.decoder_threads(lane.requests()) == threads


def test_a_decoder_keeps_no_threads_and_no_memory_of_the_videos_before(lane: Lane, tmp_path: Path) -> None:
    """Each video once left its threads and frames until Python's next collection; a few large ones filled the limit."""
    path = tmp_path / "video"
    path.write_bytes(media.clip("tilt_up", frames=20, width=1920, height=1080))
    status = Path(f"/proc/{lane.decoder()._process.pid}/status")

    def usage() -> tuple[int, int]:
        fields = dict(line.split(":") for line in status.read_text().splitlines())
        return int(fields["Threads"]), int(fields["VmSize"].split()[0])

    def run() -> tuple[int, int]:
        assert [event.name for event in classify(lane, job(path))][-1] == "result"
        lane.decoder().settle(1)
        return usage()

    threads_before, _ = usage()
    _, size_kb = run()
    for _ in range(8):
        run()
    deadline = time.monotonic() + 5
    while usage()[0] != threads_before:
        assert time.monotonic() < deadline, f"{usage()} threads and kB; {threads_before} threads before"
        time.sleep(0.01)
    assert usage()[1] < size_kb + 200_000
