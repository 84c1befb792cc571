"""The tree of errors."""

from __future__ import annotations

import pytest
from cliplane.errors import by_type


def test_every_error_is_found_by_its_type() -> None:
    assert by_type("over-limit").status == 422
    with pytest.raises(KeyError):
        by_type("no-such-type")
