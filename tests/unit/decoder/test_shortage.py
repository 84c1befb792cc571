"""A demuxer that found nothing yet, a packet that claims absurd bytes: neither is a shortage of this machine's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cliplane.decoder import container
from cliplane.decoder.container import demuxed, is_shortage


class Interrupted:
    """A container whose demuxer says EAGAIN behind each of so many packets, as MPEG-TS's does of damaged ones."""

    def __init__(self, packets: int) -> None:
        self.left = packets

    def demux(self, _stream: object) -> Iterator[int]:
        while self.left:
            self.left -= 1
            yield self.left
            raise BlockingIOError("Resource temporarily unavailable")


def test_a_demuxer_that_says_again_goes_on() -> None:
    interrupted: Any = Interrupted(5)
    packets: list[Any] = list(demuxed(interrupted, interrupted))
    assert packets == [4, 3, 2, 1, 0]


def test_one_that_says_it_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_MAX_AGAIN", 3)
    interrupted: Any = Interrupted(10**9)
    assert len(list(demuxed(interrupted, interrupted))) == 3


def test_a_claim_of_absurd_bytes_is_no_shortage_where_there_is_room() -> None:
    assert not is_shortage(MemoryError(), 320 * 240)
    assert is_shortage(MemoryError(), 2**46)
    assert is_shortage(BlockingIOError(), 320 * 240)
