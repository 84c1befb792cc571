"""observability/ asks for metrics that exist, and each alert has its paragraph and its tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from cliplane import metrics
from cliplane.ops import listener

from tests.unit.control.test_metrics import known_metrics

REPOSITORY = Path(__file__).parents[3]
FOLDER = REPOSITORY / "observability"


def loaded(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(f"rules/{name}.yml")["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    board = json.loads((FOLDER / "grafana" / "cliplane.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def asked(query: str) -> set[str]:
    """Names of metrics and recorded series in a query."""
    without_labels = re.sub(r'"[^"]*"', "", query)
    return set(re.findall(r"\b(?:\w+:)?cliplane_\w+(?::\w+)?", without_labels))


def exists(name: str) -> bool:
    recorded = {rule["record"] for rule in rules("recording")}
    return name in recorded | known_metrics() or re.sub(r"_(bucket|sum|count)$", "", name) in known_metrics()


def test_a_name_that_is_no_metric_is_seen() -> None:
    assert asked('sum(rate(cliplane_views_total{a="cliplane_no"}[5m])) / instance:cliplane_queue:ratio') == {
        "cliplane_views_total",
        "instance:cliplane_queue:ratio",
    }
    assert exists("cliplane_stage_seconds_bucket")
    assert not exists("cliplane_views")
    assert not exists("instance:cliplane_nothing:ratio")


@pytest.mark.parametrize("source", ["recording", "alerts", "dashboard"])
def test_what_is_asked_for_exists(source: str) -> None:
    queries = dashboard_queries() if source == "dashboard" else [rule["expr"] for rule in rules(source)]
    names = {name for query in queries for name in asked(query)}
    assert len(names) > 8
    assert {name for name in names if not exists(name)} == set()


def test_every_metric_and_every_recorded_series_is_on_the_dashboard_or_in_a_rule() -> None:
    queries = dashboard_queries() + [rule["expr"] for name in ("recording", "alerts") for rule in rules(name)]
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for query in queries for name in asked(query)}
    wanted = known_metrics() | {rule["record"] for rule in rules("recording")}
    # Of a model each: for whoever looks into one.
    assert wanted - names <= {"cliplane_triton_memory_bytes", "cliplane_triton_last_inference_timestamp_seconds"}


def test_the_outcomes_that_rules_name_exist() -> None:
    from cliplane.control.series import problem_types

    outcomes = [*problem_types(), "classified", "segmented"]
    outcomes += [*get_args(metrics.JobOutcome), *get_args(metrics.WebhookOutcome)]

    text = " ".join(rule["expr"] for name in ("recording", "alerts") for rule in rules(name))
    patterns = re.findall(r'outcome=~?"([^"]+)"', text)
    named = {part for alternatives in patterns for part in alternatives.split("|")}
    for pattern in named:
        assert any(re.fullmatch(pattern, outcome) for outcome in outcomes), pattern


@pytest.mark.parametrize("name", ["scrape", "scrape-tls"])
def test_the_release_that_serves_is_scraped_and_no_other(name: str) -> None:
    (job,) = loaded(f"{name}.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"listener:{listener.PORT}"]}]


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    page = (REPOSITORY / "docs" / "alerts.md").read_text()
    paragraphs = dict(re.findall(r"(?ms)^## (\w+)\n\n(.*?)(?=^## |\Z)", page))
    alerts = {rule["alert"]: rule for rule in rules("alerts")}
    assert list(paragraphs) == list(alerts)
    for name, rule in alerts.items():
        text = paragraphs[name]
        assert text.startswith(f"*{rule['labels']['severity']}*, `for: {rule.get('for', '0m')}`."), name
        assert "**At 3 a.m.** " in text, name
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"


def test_every_alert_is_tested_both_ways() -> None:
    tested = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in loaded("tests/alerts.yml")["tests"]
        for case in test["alert_rule_test"]
    ]
    assert sorted(tested) == sorted((rule["alert"], fires) for rule in rules("alerts") for fires in (True, False))


def test_kubernetes_has_the_same_rules_and_the_same_dashboard() -> None:
    folder = REPOSITORY / "deploy" / "kubernetes" / "components" / "monitoring"
    written = yaml.safe_load((folder / "rules.yaml").read_text())["spec"]["groups"]
    groups = [group for name in ("recording", "alerts") for group in loaded(f"rules/{name}.yml")["groups"]]
    assert written == groups, "make kubernetes-rules writes them"
    board = (FOLDER / "grafana" / "cliplane.json").read_bytes()
    assert (folder / "dashboard.json").read_bytes() == board, "make kubernetes-rules writes it"
