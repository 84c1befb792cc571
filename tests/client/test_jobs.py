"""Jobs by the command line and the Python API: against the running stack, and against servers that say it wrongly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cliplane_client import Client, Digest, InvalidResponse, NotReady, digest
from cliplane_client.errors import UndecodableVideo, UnknownDigest, UnknownJob
from cliplane_client.jobs_command import ASK_FIRST_BYTES

from tests import media
from tests.client.conftest import cliplane as in_process
from tests.client.documents import RESULT
from tests.client.loopback import Server
from tests.client.test_client import BASE, cliplane

ID = "0123456789abcdef" * 2
JOB: dict[str, Any] = {
    "id": ID,
    "state": "done",
    "operation": "classify",
    "priority": "interactive",
    "attempts": 1,
    "created_at": "2026-11-28T20:00:00.000+00:00",
    "started_at": None,
    "ended_at": None,
    "progress": {"views": 1, "planned": None},
    "request_id": "1",
}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "pan.mp4"
    path.write_bytes(media.clip("pan_left"))
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A video of so many bytes that its answer is asked for by digest: a box that says nothing stands at its end."""
    path = tmp_path / "large.mp4"
    path.write_bytes(media.clip("tilt_up") + ASK_FIRST_BYTES.to_bytes(4) + b"free" + bytes(ASK_FIRST_BYTES - 8))
    return path


def lines(stdout: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_a_video_is_submitted_waited_for_and_answered_as_at_once(clip: Path) -> None:
    with Client(BASE) as client:
        job = client.jobs.submit(clip, {"priority": "batch"}, views=2, top=1)
        assert (job.operation, job.priority) == ("classify", "batch")
        done = client.jobs.wait(job.id)
        assert done.answer().json["predictions"] == client.classify(clip, views=2, top=1).json["predictions"]
        assert job.id in [one.id for one in client.jobs.list()]
        known = client.classify(Digest(digest(clip).sha256), views=2, top=1)
        assert known.predictions[0].label == "pan_left"
        client.jobs.cancel(job.id)
        with pytest.raises(UnknownJob):
            client.jobs.get(job.id)
        with pytest.raises(UnknownDigest):
            client.classify(digest(clip), views=2, top=1)


def test_the_commands_of_jobs(clip: Path) -> None:
    submitted = cliplane("submit", clip, "--views", 2, "--json")
    assert submitted.returncode == 0, submitted.stderr
    (told,) = lines(submitted.stdout)
    assert told["file"] == str(clip)
    (waited,) = lines(cliplane("wait", told["id"], "--json").stdout)
    assert waited["result"]["predictions"][0]["label"] == "pan_left"
    assert b"pan_left" in cliplane("job", told["id"]).stdout
    assert told["id"] in [one["id"] for one in lines(cliplane("jobs", "--json").stdout)]
    assert cliplane("cancel", told["id"]).returncode == 0
    gone = cliplane("job", told["id"])
    assert (gone.returncode, gone.stdout) == (1, b"")


def test_segments_are_submitted_too(clip: Path) -> None:
    (told,) = lines(cliplane("submit", clip, "--segments", "--stride", 0.5, "--wait", "--json").stdout)
    assert (told["state"], told["operation"]) == ("done", "segments")
    assert told["result"]["segments"][0]["label"] == "pan_left"


def test_a_large_file_whose_answer_is_known_is_not_sent_again(large: Path) -> None:
    (first,) = lines(cliplane("submit", large, "--views", 2, "--wait", "--json").stdout)
    assert first["state"] == "done"
    (second,) = lines(cliplane("submit", large, "--views", 2, "--json").stdout)
    assert second["state"] == "known"
    assert second["result"]["predictions"] == first["result"]["predictions"]
    (other,) = lines(cliplane("submit", large, "--views", 1, "--json").stdout)
    assert other["state"] in ("queued", "running", "done")
    for told in (first, other):
        cliplane("cancel", told["id"])


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    done = cliplane("submit", broken, "--wait", "--json")
    assert done.returncode == 1
    (told,) = lines(done.stdout)
    assert told["state"] == "failed"
    with Client(BASE) as client, pytest.raises(UndecodableVideo):
        client.jobs.get(told["id"]).answer()
    cliplane("cancel", told["id"])


def test_a_repeated_request_has_the_same_idempotency_key(server: Server, video: Path) -> None:
    server.says(b"{}", status=503, head="Retry-After: 1\r\n")
    with Client(server.base, retries=1) as client:
        with pytest.raises(NotReady):
            client.jobs.submit(video)
        with pytest.raises(NotReady):
            client.jobs.submit(video, {"idempotency_key": "mine"})
    keys = [re.search(rb"idempotency-key: (\S+)", head.lower())[1] for head in server.requests]  # type: ignore[index]
    assert keys[0] == keys[1]
    assert keys[0] != b"mine"
    assert keys[2:] == [b"mine", b"mine"]
    assert b"prefer: respond-async" in server.requests[0].lower()


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b'{"id": "../../x"}',
        json.dumps(JOB | {"id": "../../readyz"}).encode(),
        json.dumps(JOB | {"state": "well"}).encode(),
        json.dumps(JOB | {"progress": None}).encode(),
    ],
)
def test_a_document_that_is_no_job_is_not_believed(server: Server, document: bytes) -> None:
    server.says(document)
    with Client(server.base, retries=0) as client, pytest.raises(InvalidResponse):
        client.jobs.get(ID)
    assert in_process("--base", server.base, "job", ID)[0] == 3


def test_a_done_job_without_a_result_has_no_answer(server: Server) -> None:
    server.says(json.dumps(JOB).encode())
    with Client(server.base) as client, pytest.raises(InvalidResponse):
        client.jobs.get(ID).answer()


def test_an_answer_is_cleaned_before_it_is_written(server: Server) -> None:
    evil = RESULT | {"predictions": [{"label": "\x1b[31mred", "score": 0.5}]}
    server.says(json.dumps(JOB | {"result": evil}).encode())
    code, written = in_process("--base", server.base, "job", ID)
    assert code == 0
    assert "\x1b[31m" not in written
    assert "red" in written


def test_an_id_that_is_none_is_not_asked_for(server: Server) -> None:
    with Client(server.base) as client, pytest.raises(UnknownJob):
        client.jobs.cancel("../../v1/models")
    assert server.requests == []
