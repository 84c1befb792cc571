"""One lane stays for requests that are no long ones, whatever becomes of those."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cliplane.errors import NoLaneForLong
from cliplane.lane.long_requests import admitted


def test_all_lanes_but_one_take_long_requests(tmp_path: Path) -> None:
    refused = pytest.raises(NoLaneForLong, match="2 long requests are here")
    with admitted(3, tmp_path), admitted(3, tmp_path), refused, admitted(3, tmp_path):
        pass
    with admitted(3, tmp_path):
        pass


def test_one_lane_takes_none(tmp_path: Path) -> None:
    with pytest.raises(NoLaneForLong), admitted(1, tmp_path):
        pass


def test_one_that_failed_gives_its_place_back(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), admitted(2, tmp_path):
        raise ZeroDivisionError
    with admitted(2, tmp_path):
        pass
