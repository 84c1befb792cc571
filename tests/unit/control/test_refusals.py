"""What nginx names is counted, and nothing else ends or fools the count."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from cliplane import metrics
from cliplane.control import refusals


def test_what_nginx_never_says_does_not_end_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "SOCKET", tmp_path / "refusals.sock")
    refusals.count()
    busy = metrics.REQUESTS.labels("", "busy")
    before = busy._value.get()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.connect(str(refusals.SOCKET))
        for said in (b"", b"nonsense", b"a:b:c:d", b"\xff\xfe", b":::", b"busy::not-a-status", b"made-up::503"):
            teller.send(b"<190>Nov 26 07:00:00 nginx: " + said)
        teller.send(b"<190>Nov 26 07:00:00 nginx: busy::503")
    ends = time.monotonic() + 10
    while busy._value.get() == before and time.monotonic() < ends:
        time.sleep(0.01)
    assert busy._value.get() == before + 1
    outcomes = {sample.labels["outcome"] for metric in metrics.REQUESTS.collect() for sample in metric.samples}
    assert "made-up" not in outcomes
