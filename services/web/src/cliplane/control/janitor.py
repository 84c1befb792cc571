"""Clears up after the dead, in Triton as well: what is mapped there stays mapped until somebody says so.

Lives in the control plane, which speaks gRPC; the gunicorn arbiter, which sees lanes die, must not (`region.py`).
"""

from __future__ import annotations

import threading

import structlog

from cliplane import metrics
from cliplane.errors import TritonUnavailable
from cliplane.triton import region
from cliplane.triton.client import Triton

log = structlog.get_logger()

EVERY_S = 5.0


class Janitor:
    """Sweeps every `EVERY_S` seconds, on a thread of its own."""

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(EVERY_S):
            try:
                swept = sweep(self._triton)
            except Exception:  # the next round must come, whatever this one met
                log.exception("sweep_failed")
                continue
            if swept:
                metrics.REGIONS_SWEPT.inc(len(swept))
                log.info("regions_swept", regions=swept)


def sweep(triton: Triton) -> list[str]:
    """Remove the regions without an owner from /dev/shm and from Triton; returns their names.

    A region in quarantine has no name any more, and its lane may be alive: to unmap it in Triton is what the lane waits
    for, and Triton refuses while an inference reads it.
    """
    swept = set(region.sweep())
    try:
        for name in triton.registered():
            if region.NAME.fullmatch(name) and not region.has_owner(name) and triton.unregister_name(name):
                swept.add(name)
    except TritonUnavailable:
        pass  # one that is down has nothing mapped
    return sorted(swept)
