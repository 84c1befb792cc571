"""docs/problems.md has every problem type of the code, with its status, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from cliplane import errors

REPOSITORY = Path(__file__).parents[3]


def of_the_code() -> dict[str, int]:
    """Type → status: of the lanes and the control plane, and of nginx."""
    leaves = [errors.CliplaneError]
    for error in leaves:
        leaves += error.__subclasses__()
    found = {error.type: error.status for error in leaves}
    text = (REPOSITORY / "nginx" / "problems.conf").read_text()
    bodies = re.findall(r'urn:cliplane:problem:([a-z-]+)","title":"[^"]*","status":(\d+)', text)
    return found | {type_: int(status) for type_, status in bodies}


def test_the_page_has_every_type_with_its_status() -> None:
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (\d+) \|", (REPOSITORY / "docs" / "problems.md").read_text())
    assert {type_: int(status) for type_, status in rows} == of_the_code()
    assert len(rows) == len(of_the_code())
