"""A short run of every benchmark, so that they cannot rot: that it runs, that its answers are right, that it can be
reported.

Not how fast anything is. `make test-bench` runs this, with the benchmarks' image.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import media

REPOSITORY = Path(__file__).parents[2]
SMALL = ["--sizes", "256p", "--models", "camera_motion", "--rounds", "1", "--seconds", "1"]


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder that the benchmarks' container sees under the same path."""
    folder = REPOSITORY / "artifacts" / "bench-smoke"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "results").mkdir(parents=True)
    (folder / "clip.mp4").write_bytes(media.clip("pan_left", frames=60, width=320, height=180))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def bench(*arguments: object) -> str:
    """Output of a module of the benchmarks, in their container."""
    compose = ["docker", "compose", "-f", "bench/compose.yaml", "run", "--rm", "bench"]
    command = [*compose, "python", "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def result(work: Path, name: str, *arguments: object) -> Any:
    out = work / "results" / f"{name}.json"
    bench(*arguments, "--work", work, "--out", out)
    return json.loads(out.read_text())


def test_handoff_brings_the_bytes(work: Path) -> None:
    found = result(work, "handoff", "bench.handoff.run", "--rounds", 1)
    assert set(found) == {f"{kind}, {views} views" for kind in ("uint8", "float32") for views in (1, 10, 30)}


def test_floor_answers_and_its_parts_add_up(work: Path) -> None:
    found = result(work, "floor", "bench.floor", work / "clip.mp4", *SMALL)["camera_motion, 256p"]
    assert found["per_s"]["Cliplane"] > 0
    parts = found["parts_ms"]
    assert parts["decode"] + parts["nginx"] <= parts["client"]


def test_peers_answer_as_cliplane_does_without_an_error(work: Path) -> None:
    found = result(work, "peers", "bench.peers.run", work / "clip.mp4", *SMALL)["models"]["camera_motion"]
    for servers in found["table"]["256p"].values():
        assert {"Cliplane", "LitServe", "BentoML", "Ray Serve", "FastAPI", "first stack"} <= set(servers)
        assert all(row["answers"] > 0 and row["errors"] == 0 for row in servers.values())


def test_upload_never_holds_a_body_in_python(work: Path) -> None:
    found = result(work, "upload", "bench.upload", work / "clip.mp4", "--rounds", 1, "--sizes", 1, 200)
    assert found["memory"]["after_mb"] - found["memory"]["before_mb"] < 50
    assert found["200 MB"]["Cliplane"] > 0


def test_growth_refuses_at_once_what_is_too_much(work: Path) -> None:
    settings = ["--seconds", 1, "--lanes", os.process_cpu_count() or 1, "--clients", 1, 64, "--rounds", 1]
    found = result(work, "growth", "bench.growth", work / "clip.mp4", *settings)
    assert set(found["clients"]["64"]["statuses"]) == {"200", "503"}
    assert found["overload"]["share"] > 0


def test_length_start_readers_and_overlap_run(work: Path) -> None:
    clip = work / "clip.mp4"
    assert "30" in result(work, "length", "bench.length", clip, "--lengths", 10, 30, "--rounds", 1)["gop12"]
    found = result(work, "segments", "bench.segments", clip, "--minutes", 1, "--short-s", 10, "--rounds", 1)
    assert found["long"]["windows"] == 59
    settings = ["--rounds", 1, "--requests", 3, "--job-s", 300]
    assert result(work, "jobs", "bench.jobs", clip, *settings)["windows"] >= 0
    assert result(work, "start", "bench.start", clip, "--rounds", 1)["seconds"]["cold"] > 0
    small = ["--codecs", "h264", "--sizes", "256p", "--rounds", 1, "--long", 20]
    assert result(work, "readers", "bench.readers", clip, *small)["files"]["h264_256p_gop12"]
    assert result(work, "overlap", "bench.overlap.run", clip, "--rounds", 1)["60 s"]["cliplane"] > 0
    assert result(work, "views", "bench.views", "--videos", 2)["auto"]["mean_views"] >= 1


def test_the_report_is_made_of_what_was_measured(work: Path) -> None:
    machine = {"cpus": 2, "cpu": "a CPU", "memory_gb": 24, "source": "clip.mp4"}
    (work / "results" / "machine.json").write_text(json.dumps(machine))
    bench("bench.report", "--results", work / "results", "--out", work / "report.md")
    report = (work / "report.md").read_text()
    for section in (
        "Hand-off",
        "Floor",
        "Peers",
        "Bound",
        "Upload",
        "Growth",
        "Length",
        "Segments",
        "Jobs",
        "Start and size",
        "Readers",
        "Overlap",
        "Views",
    ):
        assert f"\n## {section}\n" in report
    assert (work / "report" / "floor.svg").exists()
