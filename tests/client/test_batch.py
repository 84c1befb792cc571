"""`cliplane batch`: a row for each video, none lost and none doubled, whatever ends the process.

The server is a stand-in that answers at once; what it is told is real.
"""

from __future__ import annotations

import collections
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliplane_client import batch_plan
from cliplane_client.batch_plan import Item, Shard, WrongBatch
from cliplane_client.cli import main
from cliplane_client.ledger import InUse, Ledger
from hypothesis import given
from hypothesis import strategies as st

LABELS = ("pan", "tilt")


class Server(http.server.ThreadingHTTPServer):
    """Answers with a label made of what it was sent, and counts how often it was sent that."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.sent: collections.Counter[bytes] = collections.Counter()
        self.problems: dict[bytes, int] = {}
        self.is_down = False
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def label(body: bytes) -> str:
    return LABELS[sum(body) % 2]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sent[body] += 1
        status = 503 if self.server.is_down else self.server.problems.get(body, 200)
        if status != 200:
            names = {422: "undecodable-video", 503: "busy"}
            told = {"type": f"urn:cliplane:problem:{names[status]}", "title": "No", "status": status, "detail": ""}
            self._say(status, "application/problem+json", json.dumps(told))
            return
        predictions = [{"label": label(body), "score": 1.0}]
        view = {"start_s": 0.0, "end_s": 1.0, "predictions": predictions}
        facts = {
            "container": "mp4",
            "codec": "h264",
            "width": 1,
            "height": 1,
            "fps": 1.0,
            "frames": 1,
            "duration_s": 1.0,
        }
        timing = dict.fromkeys(("spool", "decode", "infer", "total"), 0.0)
        ids = {"request_id": "r", "model": "m", "version": "1", "predictions": predictions, "views": [view]}
        result = ids | {"video": facts, "timing_ms": timing}
        self._say(200, "text/event-stream", f"event: result\ndata: {json.dumps(result)}\n\n")

    def _say(self, status: int, content_type: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.shutdown()
    found.server_close()


def command(source: Path, out: Path, base: str, *more: str) -> list[str]:
    program = [sys.executable, "-m", "cliplane_client.cli", "--retries", "0", "batch"]
    return [*program, str(source), "--out", str(out), "--hosts", base, *more]


def batch(source: Path, out: Path, base: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(source, out, base, *more), capture_output=True, text=True, check=False, timeout=120)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def videos(folder: Path, count: int) -> dict[str, bytes]:
    """`count` files in folders, by their names."""
    made = {f"{number % 3}/v{number}.mp4": f"video {number}".encode() for number in range(count)}
    for name, body in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return made


def test_workers_that_are_killed_lose_no_video_and_double_none(server: Server, tmp_path: Path) -> None:
    made = videos(tmp_path / "in", 240)
    rng, workers = random.Random(7), 3
    outs = [tmp_path / f"out-{n}.jsonl" for n in range(workers)]
    kills = 0
    for n, out in enumerate(outs):
        while True:
            process = subprocess.Popen(
                command(tmp_path / "in", out, server.base, "--shard", f"{n}/{workers}"), stderr=subprocess.DEVNULL
            )
            size = out.stat().st_size if out.exists() else 0
            most = size + rng.randrange(2_000, 20_000)
            while process.poll() is None and kills < 3 * (n + 1):
                if out.exists() and out.stat().st_size > most:
                    process.send_signal(signal.SIGKILL)
                    break
            if process.wait(60) == 0:
                break
            assert process.returncode == -signal.SIGKILL
            kills += 1
            with out.open("ab") as file:
                file.write(b'{"id": "0/v0.mp4", "resu')  # a line that the power's end has torn
    assert kills >= workers
    found = [row for out in outs for row in rows(out)]
    assert sorted(row["id"] for row in found) == sorted(made)
    for row in found:
        assert row["result"]["predictions"][0]["label"] == label(made[row["id"]])
    # What was under way when it was killed is sent once more, and nothing else.
    assert sum(server.sent.values()) <= len(made) + 2 * kills


def test_a_batch_that_is_done_sends_nothing_and_what_has_changed_is_made_anew(server: Server, tmp_path: Path) -> None:
    made = videos(tmp_path / "in", 4)
    out = tmp_path / "out.jsonl"
    assert batch(tmp_path / "in", out, server.base).returncode == 0
    assert batch(tmp_path / "in", out, server.base).returncode == 0
    assert sum(server.sent.values()) == len(made)
    (tmp_path / "in" / "0" / "v0.mp4").write_bytes(b"another one")
    assert batch(tmp_path / "in", out, server.base).returncode == 0
    assert sum(server.sent.values()) == len(made) + 1
    assert sorted(row["id"] for row in rows(out)) == sorted(made)


def test_equal_bytes_are_sent_once_and_have_a_row_each(server: Server, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.MKV"):
        (tmp_path / name).write_bytes(b"the same")
    (tmp_path / "notes.txt").write_text("no video")
    assert batch(tmp_path, tmp_path / "out.jsonl", server.base, "--jobs", "3").returncode == 0
    assert sorted(row["id"] for row in rows(tmp_path / "out.jsonl")) == ["a.mp4", "b.mp4", "c.MKV"]
    assert server.sent == {b"the same": 1}


def test_every_line_of_a_manifest_has_a_row_and_errors_have_a_type(server: Server, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes(b"good")
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    server.problems = {b"bad": 422}
    lines = [
        '{"path": "good.mp4", "id": "first"}',
        "{broken",
        "[]",
        '{"path": 3}',
        '{"path": "good.mp4", "server_path": "good.mp4"}',
        "",
        '{"path": "bad.mp4"}',
        '{"path": "gone.mp4"}',
        '{"path": "good.mp4", "id": "first"}',
        '{"server_path": "2026/cam.mp4"}',
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    done = batch(tmp_path / "manifest.jsonl", tmp_path / "out.jsonl", server.base)
    assert done.returncode == 1
    found = {row["id"]: row.get("error", {}).get("type") for row in rows(tmp_path / "out.jsonl")}
    broken = {f"line {number}": "bad-line" for number in (2, 3, 4, 5, 9)}
    expected = {"first": None, "bad.mp4": "undecodable-video", "gone.mp4": "unreadable", "2026/cam.mp4": None}
    assert found == expected | broken
    assert server.sent[b'{"path": "2026/cam.mp4"}'] == 1
    assert "5 bad-line" in done.stderr
    # Once more: what another run may mend is tried again, and nothing else.
    before = sum(server.sent.values())
    (tmp_path / "gone.mp4").write_bytes(b"here now")
    batch(tmp_path / "manifest.jsonl", tmp_path / "out.jsonl", server.base)
    assert sum(server.sent.values()) == before + 1
    assert len(rows(tmp_path / "out.jsonl")) == 9


def test_what_the_server_sees_is_named_and_not_sent(server: Server, tmp_path: Path) -> None:
    videos(tmp_path / "archive" / "2026", 2)
    root = str(tmp_path / "archive")
    assert batch(tmp_path / "archive" / "2026", tmp_path / "out", server.base, "--server-root", root).returncode == 0
    assert set(server.sent) == {b'{"path": "2026/0/v0.mp4"}', b'{"path": "2026/1/v1.mp4"}'}


def test_where_no_server_answers_the_batch_stops_and_no_row_is_made_of_it(server: Server, tmp_path: Path) -> None:
    made = videos(tmp_path / "in", 6)
    server.is_down = True
    stopped = batch(tmp_path / "in", tmp_path / "out", server.base)
    assert stopped.returncode == 3
    assert "6 videos left" in stopped.stderr
    assert rows(tmp_path / "out") == []
    server.is_down = False
    nobody = "http://127.0.0.1:1"  # another host that is down is gone around
    assert batch(tmp_path / "in", tmp_path / "out", f"{nobody},{server.base}").returncode == 0
    assert len(rows(tmp_path / "out")) == len(made)


@pytest.mark.parametrize("shard", ["1", "1/1", "3/2", "-1/2", "a/b", "0/0"])
def test_a_shard_that_cannot_be_is_refused(server: Server, tmp_path: Path, shard: str) -> None:
    with pytest.raises(WrongBatch):
        batch_plan.shard(shard)
    assert main(command(tmp_path, tmp_path / "out", server.base, f"--shard={shard}")[3:]) == 2
    assert main(command(tmp_path / "nowhere", tmp_path / "out", server.base)[3:]) == 2


@given(st.lists(st.text(), unique=True, max_size=50), st.integers(1, 9))
def test_each_video_is_in_one_shard(ids: list[str], count: int) -> None:
    assert all(sum(Shard(n, count).has(id_) for n in range(count)) == 1 for id_ in ids)


def test_one_process_has_a_file_of_results(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out", lambda _: True) as ledger:
        ledger.add({"id": "a", "result": {}})
        with pytest.raises(InUse):
            Ledger(tmp_path / "out", lambda _: True)
    with Ledger(tmp_path / "out", lambda _: True) as ledger:
        assert set(ledger.rows) == {"a"}


@given(st.binary(max_size=200), st.integers(0, 60))
def test_whatever_stands_in_the_file_whole_rows_are_kept_once(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "ledger"
    line = json.dumps({"id": "\udcffb", "result": {"x": "ä"}}).encode() + b"\n"
    path.write_bytes(line + line + rest.replace(b"\n", b"") + b"\n" + line[: min(cut, len(line) - 1)])
    with Ledger(path, lambda _: True) as ledger:
        assert "\udcffb" in ledger.rows
        ledger.add({"id": "new"})
    assert path.read_bytes().count(b'"new"') == 1
    with Ledger(path, lambda _: True) as ledger:
        assert {"\udcffb", "new"} <= set(ledger.rows)
    assert path.read_bytes().startswith(line)


def test_a_name_that_is_no_text_is_done_once(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.mp4")).write_bytes(b"odd")
    for _ in range(2):
        assert batch(folder, tmp_path / "out", server.base).returncode == 0
    assert sum(server.sent.values()) == len(rows(tmp_path / "out")) == 1
    assert batch_plan.items(folder, None) == [Item("\udcff\udcfe.mp4", folder / "\udcff\udcfe.mp4")]


def test_the_tasks_of_a_slurm_array_have_each_video_once(server: Server, tmp_path: Path) -> None:
    made = videos(tmp_path / "archive", 12)
    (tmp_path / "results").mkdir()
    shim = tmp_path / "bin" / "cliplane"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m cliplane_client.cli "$@"\n')
    shim.chmod(0o755)
    script = Path(__file__).parents[2] / "examples" / "batch" / "slurm.sh"
    for task in range(2):
        slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2", "CLIPLANE_HOSTS": server.base}
        subprocess.run(
            ["bash", script, tmp_path / "archive", tmp_path / "results"],
            env=os.environ | slurm | {"PATH": f"{shim.parent}:{os.environ['PATH']}"},
            capture_output=True,
            check=True,
            timeout=120,
        )
    found = [row["id"] for task in range(2) for row in rows(tmp_path / "results" / f"shard-{task}.jsonl")]
    assert sorted(found) == sorted(made)
    assert all(body.startswith(b'{"path": ') for body in server.sent)
