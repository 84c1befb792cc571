"""/metrics: every series is there from the start, levels are read where they stand, it stays cheap, and
docs/metrics.md tells of each."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from cliplane import metrics
from cliplane.control import levels
from cliplane.control.gpu import GpuStatistics
from cliplane.control.statistics import TritonStatistics
from cliplane.jobs.levels import JobLevels
from cliplane.settings import Settings
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).parents[3]

BEGIN = """
import sys
from cliplane import metrics
from cliplane.control import series
from cliplane.jobs.levels import JobLevels
from cliplane.settings import Settings
series.begin(Settings(), "1.2.3")
sys.stdout.buffer.write(metrics.exposition(metrics.of_all_processes()))
"""

LANES = """
import os, sys
from cliplane import metrics
metrics.LANES.set(1)
metrics.LANES_BUSY.set(1)
metrics.VIEWS.labels("m").inc()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def run(program: str, folder: Path) -> bytes:
    """What a process of its own writes: the library chooses how it counts when it is imported."""
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", program], env=environ, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def at_start(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a control plane that has just begun."""
    text = run(BEGIN, tmp_path_factory.mktemp("metrics")).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_counts_are_there_from_the_start_and_at_zero(
    at_start: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> None:
    problems = {dict(labels)["type"] for name, labels in at_start if name == "cliplane_problems_total"}
    assert {"busy", "lane-died", "decoder-crashed", "infer-timeout", "not-a-video"} <= problems
    outcomes = {dict(labels)["outcome"] for name, labels in at_start if name == "cliplane_requests_total"}
    assert outcomes == problems | {"classified", "segmented", "client-gone"}
    assert {value for (name, _), value in at_start.items() if name != "cliplane_build_info"} == {0}
    (build,) = (dict(labels) for name, labels in at_start if name == "cliplane_build_info")
    assert build["version"] == "1.2.3"


def test_no_family_lacks_a_sample(at_start: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> None:
    # A lane's gauges begin with the lane, and a key's requests with its first.
    later = {"cliplane_key_requests", "cliplane_handoff_fallback"}
    tree = ast.parse(Path(metrics.__file__).read_text())
    declared = {
        str(ast.literal_eval(call.args[0]))
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("Counter", "Gauge", "Histogram")
    }
    begun = {name.removesuffix("_total").removesuffix("_count") for name, _ in at_start}
    assert len(declared) > 12
    assert declared - later <= begun


def test_a_lane_that_died_unseen_is_no_lane_and_what_it_counted_stays(tmp_path: Path) -> None:
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", LANES], env=environ, stdin=PIPE, stdout=PIPE) as lane:
        assert lane.stdout is not None
        lane.stdout.readline()
        assert b"cliplane_lanes_busy 1.0" in run(BEGIN, tmp_path)
        lane.kill()
    after = run(BEGIN, tmp_path)
    assert b"cliplane_lanes_busy 0.0" in after
    assert b"cliplane_lanes 0.0" in after
    assert b'cliplane_views_total{model="m"} 1.0' in after


def test_a_slow_bucket_is_named_as_the_histogram_names_it(
    at_start: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> None:
    assert metrics.bucket(0.0) == "0.005"
    assert metrics.bucket(0.25) == "0.25"
    assert metrics.bucket(0.2501) == "0.5"
    assert metrics.bucket(7.0) == "10.0"
    assert metrics.bucket(61.0) == "+Inf"
    bounds = {dict(labels).get("le") for name, labels in at_start if name == "cliplane_stage_seconds_bucket"}
    assert {metrics.bucket(seconds) for seconds in (0.0, 0.2, 0.4, 9.0, 61.0)} <= bounds


def test_the_queue_is_who_is_here_and_in_no_lane(tmp_path: Path) -> None:

    def level(whole: int, busy: int) -> dict[str, float]:
        account = levels.Account(promised_bytes=7, uploads=3, whole=whole, is_ready=True)
        found = levels.Levels(Settings(lanes=2), account, busy, tmp_path).collect()
        return {metric.name: metric.samples[0].value for metric in found}

    assert level(5, 2)["cliplane_queue"] == 3
    assert level(1, 2)["cliplane_queue"] == 0
    assert level(1, 2).items() >= {"cliplane_uploads": 3, "cliplane_lanes_wanted": 2, "cliplane_ready": 1}.items()


def test_decoders_are_found_by_their_command_and_the_spool_by_its_files(tmp_path: Path) -> None:
    for pid, words in {"10": "python\0-I\0-m\0cliplane.decoder\0pyav\0", "11": "nginx\0", "x": ""}.items():
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "cmdline").write_text(words)
        (tmp_path / "proc" / pid / "statm").write_text("900 100 40 1 0 1 0")
    (tmp_path / "proc" / "12").mkdir()
    assert levels.decoder_bytes(tmp_path / "proc") == [60 * os.sysconf("SC_PAGE_SIZE")]
    (tmp_path / "spool" / "folder").mkdir(parents=True)
    (tmp_path / "spool" / "0000000001").write_bytes(bytes(1000))
    (tmp_path / "spool" / "0000000002").write_bytes(bytes(234))
    assert levels.spool_bytes(tmp_path / "spool") == 1234


def test_an_exposition_takes_time_by_its_series_and_no_more(tmp_path: Path) -> None:
    # A hundred keys with every problem: four thousand series. Were it quadratic, it would be a minute.
    many = BEGIN.replace(
        "sys.stdout",
        "for k in range(int(sys.argv[1])):\n"
        " for t in series.problem_types(): metrics.PROBLEMS.labels(t, f'camera-{k}').inc()\n"
        "import time; began = time.process_time(); metrics.exposition(metrics.of_all_processes())\n"
        "print(time.process_time() - began)\n#",
    )

    def cpu_s(keys: int) -> float:
        folder = tmp_path / str(keys)
        folder.mkdir()
        environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
        command = [sys.executable, "-c", many, str(keys)]
        return float(subprocess.run(command, env=environ, check=True, capture_output=True).stdout)

    began = time.monotonic()
    few, more = cpu_s(10), cpu_s(100)
    assert more < 40 * few, (few, more, time.monotonic() - began)


def known_metrics() -> set[str]:
    """Every name that /metrics can have."""
    account = levels.Account(promised_bytes=0, uploads=0, whole=0, is_ready=True)
    collectors = (
        levels.Levels(Settings(), account, 0, Path("/tmp")),
        JobLevels(Path("/tmp")),
        TritonStatistics(list),
        GpuStatistics(Path("/")),
    )
    found = {metric.name: metric.type for collector in collectors for metric in collector.collect()}
    ours = (metric for metric in vars(metrics).values() if isinstance(metric, Counter | Gauge | Histogram))
    found |= {family.name: family.type for metric in ours for family in metric.describe()}
    return {name + ("_total" if kind == "counter" else "") for name, kind in found.items()}


def test_the_page_tells_of_every_metric() -> None:
    rows = re.findall(r"(?m)^\| `(cliplane_\w+)", (REPOSITORY / "docs" / "metrics.md").read_text())
    assert sorted(rows) == sorted(known_metrics())
