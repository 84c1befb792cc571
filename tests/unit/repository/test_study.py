"""What docs/shrinking.md is written from and by: no file but the repository's own, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import study_report

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "bench/results/study.json"

pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="make study has not been run")


@pytest.fixture
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def test_the_page_is_what_its_script_writes(results: dict[str, Any]) -> None:
    assert (ROOT / "docs/shrinking.md").read_text() == study_report.page(results)
    assert (ROOT / "docs/shrinking.svg").read_text() == study_report.plot(results)


def test_at_the_break_even_both_ways_take_as_long(results: dict[str, Any]) -> None:
    uplink = study_report.break_even(results, study_report.USUAL)
    row = results["encode"][study_report.USUAL]
    raw_s = results["clips"]["phone"]["megabytes"] * 8 / uplink
    assert raw_s == pytest.approx(row["encode_s"] + row["megabytes"] * 8 / uplink)


def test_every_measured_time_is_a_dot_of_the_plot(results: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(study_report.plot(results))
    name = "{http://www.w3.org/2000/svg}circle"
    assert len(drawn.findall(name)) == 2 * len(study_report.UPLINKS)


def test_what_agrees_too_seldom_is_not_recommended(results: dict[str, Any]) -> None:
    first = study_report.best(results)
    results["agreement"][first]["top1"] = 0.5
    assert study_report.best(results) != first
