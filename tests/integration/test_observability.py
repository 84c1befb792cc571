"""The Prometheus of the profile `obs`, with the rules of observability/: it alerts of what is done to the stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.conftest import PROJECT, InBackground, Stack, classify, docker, video, wait_until

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "observability"
IMAGE = f"cliplane-prometheus:{os.environ['IMAGE_TAG']}"
URL = "http://prometheus:9090"


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    mount = f"{folder}:/etc/prometheus:ro"
    files = ("-v", f"{folder}/scrape.yml:/etc/scrape.yml:ro", "-v", "/dev/null:/run/key:ro")
    return docker(
        "run", "--rm", "--network", "none", "-v", mount, *files, "--entrypoint", "promtool", IMAGE, *arguments
    )


def hastened(folder: Path) -> None:
    """The same rules and no patience: an alert of five minutes is seen in seconds."""
    shutil.copytree(FOLDER, folder)
    for file in folder.rglob("*.yml"):
        text = re.sub(r"(?m)^ +for: .*\n", "", file.read_text())
        text = text.replace("_interval: 15s", "_interval: 1s").replace("scrape_timeout: 10s", "scrape_timeout: 1s")
        file.write_text(text)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[httpx.Client]:
    folder = REPOSITORY / "artifacts" / f"obs-{PROJECT}"  # Docker must find it, so not in /tmp
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    hastened(folder / "observability")
    overlay = folder / "compose.yaml"
    volumes = [f"{folder}/observability:/etc/prometheus:ro"]
    overlay.write_text(json.dumps({"services": {"prometheus": {"volumes": volumes}}}))
    files = [word for file in ("compose.yaml", "compose.test.yaml", str(overlay)) for word in ("-f", file)]
    command = ["docker", "compose", "-p", PROJECT, *files, "--profile", "obs"]
    environ = os.environ | {"PROMETHEUS_PORT": "0", "PROMETHEUS_SCRAPE": f"{folder}/observability/scrape.yml"}

    def compose(*words: str) -> None:
        subprocess.run([*command, *words], cwd=REPOSITORY, env=environ, check=True, capture_output=True)

    compose("up", "-d", "--no-deps", "--no-build", "prometheus")
    try:
        with httpx.Client(base_url=URL, timeout=5) as client:
            wait_until(lambda: value(client, "cliplane_ready") == 1, what="the first scrape")
            yield client
    finally:
        compose("rm", "-sfv", "prometheus")
        shutil.rmtree(folder)


def value(client: httpx.Client, query: str) -> float | None:
    """Of a query with one answer; None where there is none, or no Prometheus yet."""
    try:
        found: list[dict[str, Any]] = client.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
    except (httpx.TransportError, ValueError, KeyError):
        return None
    return float(found[0]["value"][1]) if found else None


def firing(client: httpx.Client) -> set[str]:
    alerts = client.get("/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def test_promtool_has_nothing_against_the_rules_and_their_tests_pass() -> None:
    assert "SUCCESS" in promtool("check", "config", "/etc/prometheus/prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "/etc/prometheus/tests/alerts.yml")


def test_every_query_of_the_dashboard_is_one(tmp_path: Path, prometheus: httpx.Client) -> None:
    board = json.loads((FOLDER / "grafana" / "cliplane.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 30
    for query in queries:
        text = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
        answer = prometheus.get("/api/v1/query", params={"query": text})
        assert answer.status_code == 200, (query, answer.text)
    for source in ("rules/recording.yml", "rules/alerts.yml"):
        for rule in (
            rule for group in yaml.safe_load((FOLDER / source).read_text())["groups"] for rule in group["rules"]
        ):
            assert prometheus.get("/api/v1/query", params={"query": rule["expr"]}).status_code == 200


def test_a_stack_that_is_well_wakes_nobody(ready: Stack, prometheus: httpx.Client) -> None:
    wait_until(lambda: not firing(prometheus) & {"CliplaneDown", "CliplaneNotReady", "CliplaneLanesMissing"})
    assert value(prometheus, "cliplane_lanes") == 2
    assert value(prometheus, 'up{job="cliplane"}') == 1


def test_a_triton_that_is_gone_is_an_alert(ready: Stack, prometheus: httpx.Client) -> None:
    docker("stop", "-t", "0", ready.container("triton"))
    try:
        wait_until(lambda: firing(prometheus) >= {"CliplaneTritonDown", "CliplaneNotReady"}, what="alerts")
    finally:
        docker("start", ready.container("triton"))
    wait_until(
        lambda: not firing(prometheus) & {"CliplaneTritonDown", "CliplaneNotReady"}, seconds=60, what="their end"
    )


def test_a_host_that_stands_still_is_an_alert(ready: Stack, prometheus: httpx.Client) -> None:
    docker("pause", ready.container("web"))
    try:
        wait_until(lambda: "CliplaneDown" in firing(prometheus), what="the alert")
    finally:
        docker("unpause", ready.container("web"))
    wait_until(lambda: "CliplaneDown" not in firing(prometheus), what="its end")


def test_too_many_requests_and_decoders_that_crash_are_alerts(ready: Stack, prometheus: httpx.Client) -> None:
    for _ in range(4):
        for pid in ready.decoders():
            ready.kill("web", pid)
        wait_until(ready.all_lanes_answer, what="new decoders")
    wait_until(lambda: "CliplaneDecodersCrashing" in firing(prometheus), what="crashes")
    ready.stop_decoders()
    requests = [InBackground(video("pan_left")) for _ in range(6)]  # two in lanes, four wait
    wait_until(lambda: "CliplaneQueueLong" in firing(prometheus), what="the queue")
    refused = [classify(video("pan_left")).status_code for _ in range(20)]
    ready.continue_decoders()
    assert refused == [503] * 20
    assert {request.result().status_code for request in requests if request.result()} == {200}  # type: ignore[union-attr]
    wait_until(lambda: "CliplaneOverloaded" in firing(prometheus), what="refusals")


def test_lanes_that_do_not_come_back_are_an_alert(ready: Stack, prometheus: httpx.Client) -> None:
    arbiter = ready.arbiter("lanes")
    ready.kill("web", arbiter, "STOP")
    try:
        ready.kill("web", ready.lanes()[0])
        wait_until(lambda: "CliplaneLanesMissing" in firing(prometheus), what="the alert")
    finally:
        ready.kill("web", arbiter, "CONT")
    wait_until(lambda: "CliplaneLanesMissing" not in firing(prometheus), what="its end")


def test_a_full_shared_memory_is_an_alert(ready: Stack, prometheus: httpx.Client) -> None:
    fill = "import os; s = os.statvfs('/dev/shm'); f = os.open('/dev/shm/filler', os.O_CREAT | os.O_RDWR); "
    ready.exec("web", "python3", "-c", fill + "os.posix_fallocate(f, 0, (s.f_bavail - 256) * s.f_frsize)")
    try:
        wait_until(lambda: "CliplaneSharedMemoryFull" in firing(prometheus), what="the alert")
    finally:
        ready.exec("web", "rm", "/dev/shm/filler")
    wait_until(lambda: "CliplaneSharedMemoryFull" not in firing(prometheus), what="its end")
