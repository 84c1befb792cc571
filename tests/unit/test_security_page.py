"""docs/security.md claims nothing without a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_attack_has_a_test_that_is_there() -> None:
    text = (ROOT / "docs/security.md").read_text()
    rows = text.partition("| attack |")[2].partition("\n\n")[0].splitlines()[2:]
    assert rows
    for row in rows:
        tests = re.findall(r"`(tests/[a-z0-9_/]+\.py)`", row)
        assert tests, row
        for test in tests:
            assert (ROOT / test).is_file(), test
