"""Whoever can write to the media root exchanges names while they are walked: the file beneath it, or a link out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cliplane.errors import CliplaneError
from cliplane.intake.media_root import open_media

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[Callable[[], int]]:
    """Exchange two names as fast as it goes, in one step each (renameat2); how often so far."""
    is_over, times = threading.Event(), 0
    names = os.fsencode(one), os.fsencode(other)

    def exchange() -> None:
        nonlocal times
        while not is_over.is_set():
            assert LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
            times += 1

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield lambda: times
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("what", ["the file", "a folder on the way"])
def test_a_link_that_comes_and_goes_leads_nowhere(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    (root / "a" / "b" / "video").write_text("ours")
    (outside / "video").write_text("secret")
    link = root / "link"
    link.symlink_to(outside if what == "a folder on the way" else outside / "video")
    swapped = root / "a" / "b" / "video" if what == "the file" else root / "a" / "b"
    seen: set[str] = set()
    ends = time.monotonic() + 60
    with exchanging(swapped, link) as times:
        while times() < 20_000 or not {"ours", "refused"} <= seen:
            assert time.monotonic() < ends, seen
            try:
                with open_media("a/b/video", root) as file:
                    seen.add(file.read().decode())
            except CliplaneError:
                seen.add("refused")
    assert seen == {"ours", "refused"}
