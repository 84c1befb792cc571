"""README.md, docs/models.md and docs/engines.md have the figures of bench/results/, and no others."""

from __future__ import annotations

import pytest

from bench import models


@pytest.mark.parametrize("name", models.PAGES)
def test_the_tables_are_those_that_the_script_writes(name: str) -> None:
    assert models.page(name) == (models.REPOSITORY / name).read_text(), "python -m bench.models writes them anew"
