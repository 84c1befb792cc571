"""How a lane says which calls it still wants, and how many it may have."""

from __future__ import annotations

import os
import threading

import pytest
from cliplane.errors import TritonUnavailable
from cliplane.triton.region import create_private_region
from cliplane.triton.under_way import MAX_PAYLOAD_BYTES, MAX_UNDER_WAY, CallsUnderWay


@pytest.mark.parametrize("byte_size", [1, 8, 98_304, 98_305])
def test_the_turn_is_the_last_8_bytes_of_the_file_and_no_part_of_a_view(byte_size: int) -> None:
    region = create_private_region(byte_size)
    size = os.fstat(region.fd).st_size
    assert size % 8 == 0
    assert size - 8 >= byte_size
    region.memory[:byte_size] = b"\xff" * byte_size
    for turn in (0, 1, 2):
        assert region.turn == turn
        assert int.from_bytes(os.pread(region.fd, 8, size - 8), "little") == turn
        region.end_turn()
    assert bytes(region.view(0, byte_size)) == b"\xff" * byte_size
    region.close()


def test_calls_that_do_not_end_are_bounded() -> None:
    calls = CallsUnderWay()
    held = [calls.begin(0) for _ in range(MAX_UNDER_WAY)]
    with pytest.raises(TritonUnavailable):
        calls.begin(0)
    calls.end(held.pop())
    calls.begin(0)


def test_frames_in_messages_that_nobody_takes_are_bounded() -> None:
    calls = CallsUnderWay()
    large = calls.begin(MAX_PAYLOAD_BYTES + 1)  # alone it may be of any size
    with pytest.raises(TritonUnavailable):
        calls.begin(0)
    calls.end(large)
    calls.begin(MAX_PAYLOAD_BYTES)


def test_the_end_waits_for_calls_under_way_but_not_for_ever() -> None:
    calls = CallsUnderWay()
    call = calls.begin(0)
    assert not calls.wait(0.01)
    threading.Timer(0.01, calls.end, [call]).start()
    assert calls.wait(60)
