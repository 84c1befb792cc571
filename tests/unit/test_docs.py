"""docs/models.md has the figures of bench/results/, and no others."""

from __future__ import annotations

from bench import models


def test_the_tables_are_those_that_the_script_writes() -> None:
    text = models.PAGE.read_text()
    assert models.page(text) == text, "python -m bench.models writes them anew"
