"""The engine in the server and its twin, by which engines are chosen and peers are served, follow one rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from exporter.engines.all_threads import CLEARLY_SOONER, takes_all_threads

BACKEND = Path(__file__).parents[3] / "services/triton/backends/openvino.cc"

CASES = re.findall(r"static_assert\((!?)takes_all_threads\((\w+), (\d+), (\d+)\)\)", BACKEND.read_text())


@pytest.mark.parametrize(("not_", "sooner", "in_work", "waiting"), CASES)
def test_the_twin_decides_as_the_compiler_has_seen_the_backend_decide(
    not_: str, sooner: str, in_work: str, waiting: str
) -> None:
    assert takes_all_threads(sooner == "true", int(in_work), int(waiting)) == (not not_)


def test_both_mean_the_same_by_clearly_sooner() -> None:
    assert len(CASES) == 4
    (factor,) = re.findall(r"kClearlySooner = ([0-9.]+);", BACKEND.read_text())
    assert float(factor) == CLEARLY_SOONER
