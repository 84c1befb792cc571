"""The client's errors are the server's problem types."""

from __future__ import annotations

import re
from pathlib import Path

from cliplane.errors import CliplaneError
from cliplane_client import Failed, NotReady, Refused, TimedOut
from cliplane_client.errors import BY_TYPE, problem

ROOT = Path(__file__).parents[3]
FAMILIES = {4: Refused, 500: Failed, 502: Failed, 429: NotReady, 503: NotReady, 507: NotReady, 504: TimedOut}


def of_the_server(root: type[CliplaneError] = CliplaneError) -> list[type[CliplaneError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in of_the_server(child))]


def problems() -> dict[str, int]:
    """The status of each type, from the web side and from nginx."""
    found = {error.type: error.status for error in of_the_server()}
    text = (ROOT / "nginx/problems.conf").read_text()
    return found | {type_: int(status) for status, type_ in re.findall(r"return (\d+) .*?problem:([a-z-]+)", text)}


def test_every_problem_is_an_error_of_its_own_and_of_its_status() -> None:
    assert set(problems()) == set(BY_TYPE)
    for type_, status in problems().items():
        error = problem(status, {"type": f"urn:cliplane:problem:{type_}"})
        assert error.type == type_
        assert isinstance(error, FAMILIES.get(status) or FAMILIES[status // 100]), type_


def test_an_error_has_the_same_name_on_both_sides() -> None:
    assert {e.type: e.__name__ for e in of_the_server()[1:]}.items() <= {
        t: e.__name__ for t, e in BY_TYPE.items()
    }.items()


def test_what_a_newer_server_or_a_proxy_says_is_an_error_of_its_status() -> None:
    assert type(problem(422, {"type": "urn:cliplane:problem:new", "title": "New"})) is Refused
    assert problem(422, {"type": "urn:cliplane:problem:new"}).type == "new"
    assert type(problem(502, {})) is Failed
    assert problem(502, {}).type == "internal-error"
