"""docs/security.md claims nothing without a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_attack_has_a_test_that_is_there() -> None:
    text = (ROOT / "docs/security.md").read_text()
    tables = [
        text.partition(head)[2].partition("\n\n")[0].splitlines()[2:]
        for head in ("| attack |", "| what came through |", "| part |")
    ]
    assert all(tables)
    for row in (row for rows in tables for row in rows):
        tests = re.findall(r"`(tests/[a-z0-9_/]+\.py|\.ci/[a-z]+)`", row)
        assert tests, row
        for test in tests:
            assert (ROOT / test).is_file(), test
