"""A request that names a file of MEDIA_ROOT instead of sending one. The tests' stack has a volume for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cliplane_client import Client, ServerPath
from cliplane_client.errors import PathNotFound

from tests.integration.conftest import BASE, Stack, video, wait_until

ROOT = Path("/srv/media")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One of its own beneath the root, readable by all."""
    folder = ROOT / uuid.uuid4().hex
    folder.mkdir(mode=0o755)
    yield folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def named(path: object, **query: object) -> httpx.Response:
    return httpx.post(f"{BASE}/v1/classify", json={"path": str(path)}, params=query, timeout=60)  # type: ignore[arg-type]


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).removeprefix("urn:cliplane:problem:")


def test_a_file_of_the_servers_is_answered_as_its_upload(ready: Stack, folder: Path) -> None:
    (folder / "Größe 3.mp4").write_bytes(video("pan_left"))
    by_path = named(folder.relative_to(ROOT) / "Größe 3.mp4", top=3)
    assert by_path.status_code == 200, by_path.text
    sent = httpx.post(f"{BASE}/v1/classify", params={"top": 3}, content=video("pan_left"), timeout=60)
    same = ("predictions", "views", "video", "warnings")
    assert {name: by_path.json()[name] for name in same} == {name: sent.json()[name] for name in same}


def test_the_client_names_files_too(ready: Stack, folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(video("pan_left"))
    path = f"{folder.name}/clip.mp4"
    with Client(BASE) as client:
        assert client.classify(ServerPath(path)).predictions[0].label == "pan_left"
        with pytest.raises(PathNotFound):
            client.classify(ServerPath(f"{folder.name}/clap.mp4"))
    done = subprocess.run(
        [sys.executable, "-m", "cliplane_client.cli", "--base", BASE, "classify", "--path", "--json", path],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["predictions"][0]["label"] == "pan_left"


def test_nothing_else_is_reached_and_nothing_hangs(ready: Stack, folder: Path) -> None:
    (folder / "secret").symlink_to("/keys/keys")
    (folder / "out").symlink_to("../..")
    (folder / "notes.mp4").write_bytes(b"no video at all" * 100)
    os.mkfifo(folder / "fifo")
    own = folder.name
    for path, expected in {
        "/keys/keys": (403, "path-outside"),
        f"{own}/../../../keys/keys": (403, "path-outside"),
        f"{own}/secret": (403, "path-outside"),
        f"{own}/out/keys": (403, "path-outside"),
        f"{own}/gone.mp4": (404, "path-not-found"),
        f"{own}/fifo": (422, "not-a-file"),
        own: (422, "not-a-file"),
        f"{own}/notes.mp4": (415, "not-a-video"),
    }.items():
        assert problem(named(path)) == expected, path


def test_a_file_that_goes_while_it_is_decoded_is_still_answered(ready: Stack, folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(video("tilt_up"))
    path = f"{folder.name}/clip.mp4"
    with httpx.stream(
        "POST", f"{BASE}/v1/classify", json={"path": path}, headers={"Accept": "text/event-stream"}, timeout=60
    ) as answer:
        events = answer.iter_lines()
        assert next(events) == "event: video"
        (folder / "clip.mp4").unlink()
        assert "event: result" in list(events)
    assert problem(named(path)) == (404, "path-not-found")


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"\xff", b'{"path": 3}', b'{"path": "a", "more": 1}', b"{}", b'{"path": "' + b"x" * 40_000 + b'"}'],
    ids=lambda body: repr(body[:16]),
)
def test_a_body_that_names_nothing_is_a_bad_one(ready: Stack, body: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = httpx.post(f"{BASE}/v1/classify", content=body, headers=headers, timeout=60)
    assert problem(answer) == (400, "bad-body")


def test_the_root_is_read_only(ready: Stack) -> None:
    wait_until(lambda: "read-only" in ready.exec("web", "sh", "-c", "touch /srv/media/x 2>&1 || true").lower())
