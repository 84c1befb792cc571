"""The command line and the Python API, against the running stack."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cliplane_client import AsyncClient, Busy, CannotConnect, Client, NoAnswer, Refused, shrink
from cliplane_client.errors import BodyTooLarge, UnknownModel
from cliplane_client.shrinking import Shrinking, choose

from tests import media

BASE = os.environ.get("BASE", "http://127.0.0.1:8080")


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(BASE) as client:
        yield client


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "pan.mp4"
    path.write_bytes(media.clip("pan_left"))
    return path


def cliplane(*arguments: object, stdin: bytes = b"", base: str = BASE) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "cliplane_client.cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "CLIPLANE_BASE": base},
    )


def test_a_path_or_bytes_are_classified(client: Client, clip: Path) -> None:
    by_path, by_bytes = client.classify(clip, top=2), client.classify(clip.read_bytes(), top=2)
    assert by_path.predictions == by_bytes.predictions
    assert by_path.predictions[0].label == "pan_left"
    assert by_path.video.width == 320
    assert by_path.views[0].start_s == 0


def test_steps_come_while_they_happen(client: Client, clip: Path) -> None:
    names = [event.name for event in client.stream(clip, views=3)]
    assert names == ["video", "view", "view", "view", "result"]


def test_a_problem_is_an_error_of_its_type(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.classify(b"no video at all")
    assert refused.value.type == "not-a-video"
    assert refused.value.status == 415
    assert refused.value.request_id
    with pytest.raises(UnknownModel, match="Unknown model"):
        client.classify(media.clip(frames=8), model="nobody")


def test_a_body_over_the_limit_is_refused_in_the_middle_of_its_upload(client: Client) -> None:
    with pytest.raises(BodyTooLarge):
        client.classify(bytes(200_000_000))


def test_who_sends_is_told_how_much_has_gone(client: Client, clip: Path) -> None:
    sent: list[int] = []
    list(client.stream(clip, sent=sent.append))
    assert sent == sorted(sent)
    assert sent[-1] == clip.stat().st_size


def test_many_at_once_from_asyncio(clip: Path) -> None:
    async def run() -> list[str]:
        async with AsyncClient(BASE) as client:
            assert (await client.health()).status == "ready"
            assert [model.name for model in await client.models() if model.is_default] == ["camera_motion"]
            responses = await asyncio.gather(*(client.classify(clip, top=1) for _ in range(6)))
            return [response.predictions[0].label for response in responses]

    assert asyncio.run(run()) == ["pan_left"] * 6


BODY = b"x" * 100


@pytest.fixture
def busy() -> Iterator[tuple[str, list[float]]]:
    """A server that is always busy, and for how long it is it says in both ways: its URL, and when it was asked."""
    server = socket.create_server(("127.0.0.1", 0))
    asked: list[float] = []

    def serve() -> None:
        for in_seconds in (True, False, True):
            connection, _ = server.accept()
            request = connection.recv(65536)
            while not request.endswith(BODY):  # to hang up on what is not read would be a reset, and no answer
                request += connection.recv(65536)
            asked.append(time.monotonic())
            date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
            body = b'{"type": "urn:cliplane:problem:busy", "title": "busy", "status": 503}'
            head = (
                "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
                f"Retry-After: {1 if in_seconds else date}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
    server.close()


def test_busy_is_asked_again_after_as_long_as_it_wishes(busy: tuple[str, list[float]]) -> None:
    base, asked = busy
    with Client(base, retries=2) as client, pytest.raises(Busy):
        client.classify(BODY)
    first, second, third = asked
    assert second - first >= 1
    assert third - second >= 2  # the date has no parts of a second


def test_who_takes_too_long_is_not_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Client(base, timeout_s=0.2) as client, pytest.raises(NoAnswer):
            client.classify(b"x" * 100)
        server.settimeout(0)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_nobody_there_is_an_error_of_its_own() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(CannotConnect):
        client.health()


def test_the_command_writes_json_csv_and_a_table(clip: Path) -> None:
    done = cliplane("classify", clip, clip.parent / "*.mp4", "--json", "--top", 1)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["predictions"][0]["label"] for line in lines] == ["pan_left", "pan_left"]
    done = cliplane("classify", clip, "--csv", "--views", "auto")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert (rows[0]["rank"], rows[0]["label"]) == ("1", "pan_left")
    assert len(rows) == 5
    done = cliplane("classify", clip)
    assert b"pan_left" in done.stdout
    done = cliplane("classify", clip, "--min-score", 0.5)
    assert [b"pan_left" in done.stdout, b"static" in done.stdout] == [True, False]
    done = cliplane("classify", clip, "--csv", "--min-score", 1)
    assert [row["rank"] for row in csv.DictReader(io.StringIO(done.stdout.decode()))] == ["0"]


def test_the_command_reads_standard_input(clip: Path) -> None:
    done = cliplane("classify", "-", "--json", stdin=clip.read_bytes())
    assert json.loads(done.stdout)["predictions"][0]["label"] == "pan_left"


def test_standard_input_is_shrunk_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(media.clip("tilt_up", width=640, height=480))
    done = cliplane("classify", "-", "--shrink", "on", "--json", stdin=path.read_bytes())
    assert json.loads(done.stdout)["video"]["height"] == 96, done.stderr
    assert json.loads(done.stdout)["file"] == "-"


def test_a_reader_who_has_seen_enough_may_leave(clip: Path) -> None:
    command = [sys.executable, "-m", "cliplane_client.cli", "classify", "--json", *[str(clip)] * 4]
    environment = {**os.environ, "CLIPLANE_BASE": BASE}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_server_is_named_before_the_command_or_after_it_or_by_the_environment(clip: Path) -> None:
    nobody = "http://127.0.0.1:9"
    assert cliplane("--base", BASE, "health", base=nobody).returncode == 0
    assert cliplane("health", "--base", BASE, base=nobody).returncode == 0
    assert cliplane("classify", clip, "--retries", 0, base=nobody).returncode == 3


def test_exit_codes_say_what_happened(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    done = cliplane("classify", clip, tmp_path / "text.mp4", tmp_path / "missing.mp4", "--json")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert b"no container that is known here" in done.stderr
    assert b"missing.mp4" in done.stderr
    assert cliplane("classify").returncode == 2
    assert cliplane("classify", clip, "--views", "none").returncode == 2
    assert cliplane("--retries", 0, "health", base="http://127.0.0.1:9").returncode == 3
    assert cliplane("health").returncode == 0
    assert b"camera_motion" in cliplane("models").stdout


def test_a_shrunk_video_has_the_same_label_and_fewer_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    frames = media.moving_camera("tilt_up", frames=60, width=960, height=720)
    path.write_bytes(media.encode(frames, options={"crf": "12", "preset": "ultrafast"}))
    done = cliplane("classify", path, "--shrink", "on", "--json")
    response = json.loads(done.stdout)
    assert response["predictions"][0]["label"] == "tilt_up"
    assert response["video"]["height"] == 96
    assert b"sent as" in done.stderr


def test_auto_measures_the_uplink_and_says_what_it_did(clip: Path) -> None:
    with Client(BASE) as client:
        assert client.uplink() > 1e5
    done = cliplane("classify", clip, "--shrink", "auto", "--json")
    assert done.returncode == 0
    assert b"sent as" in done.stderr


def test_shrinking_is_chosen_by_what_takes_longer(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    frames = media.moving_camera("tilt_up", frames=60, width=640, height=480)
    path.write_bytes(media.encode(frames, options={"crf": "8", "preset": "ultrafast"}))
    slow = shrink_choice(path, tmp_path / "slow", 20_000)
    assert slow.was_shrunk
    assert slow.sent_bytes < slow.raw_bytes / 5
    fast = shrink_choice(path, tmp_path / "fast", 1e9)
    assert not fast.was_shrunk
    assert "sending takes" in fast.reason
    assert fast.path == path


def shrink_choice(path: Path, folder: Path, uplink: float) -> Shrinking:
    folder.mkdir()
    return choose(path, 64, "auto", folder, lambda: uplink)


def test_a_rotated_video_stays_rotated(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    path.write_bytes(media.turned(-90, label="pan_right"))
    small, _, _ = shrink(path, 96, tmp_path)
    with Client(BASE) as client:
        result = client.classify(small)
    assert (result.video.width, result.video.height) == (96, 128)
    assert result.predictions[0].label == "tilt_down"
