"""Can this stack answer? The default model is ready, and frames written here reach it through shared memory.

The round trip: one view of a known pattern is inferred from a region and from a gRPC payload, and both answers must
be equal to the bit. Nothing less shows that the two containers see one /dev/shm and may open its segments.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import structlog

from cliplane.errors import (
    CliplaneError,
    HandoffError,
    InferTimeout,
    NotReady,
    RegionLost,
    SharedMemoryNotShared,
    SharedMemoryTooSmall,
    TritonUnavailable,
)
from cliplane.settings import Settings
from cliplane.triton.client import Triton
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.region import SHM, TRITON_MARKER, Region, create_region
from cliplane.triton.responses import Probabilities

log = structlog.get_logger()

MAX_AGE_S = 0.5
"""How long an answer is repeated before it is found out again."""

PATIENCE_S, LIVE_S = 1.0, 0.5
"""Who asks waits so long for the finding out, and then for a sign of life: together less than 2 s."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The stack can answer."""

    model: str
    version: str
    handoff: str


class Readiness:
    """Finds out, at most every `MAX_AGE_S`; safe to ask from several threads, and answers within 2 s."""

    def __init__(self, settings: Settings, triton: Triton) -> None:
        self._settings, self._triton = settings, triton
        self._lock = threading.Lock()
        self._finder = ThreadPoolExecutor(1, "readiness")
        self._finding: Future[None] | None = None
        self._region: Region | None = None
        self._found_at = -MAX_AGE_S
        self._answer: Ready | CliplaneError | None = None

    def check(self) -> Ready:
        """How the stack answers.

        Raises:
            CliplaneError: it cannot, or not as it should, and why: NotReady, TritonUnavailable, a HandoffError. Its
                status is 503, whatever it is.
        """
        with self._lock:
            if self._finding is None or self._finding.done():
                fresh = self._answer is not None and time.monotonic() - self._found_at < MAX_AGE_S
                self._finding = self._finding if fresh else self._finder.submit(self._renew)
            finding = self._finding
        try:
            if finding is not None:
                finding.result(PATIENCE_S)
            answer = self._answer
        except TimeoutError:
            answer = self._meanwhile()
        if isinstance(answer, Ready):
            return answer
        assert answer is not None
        error = answer.anew()
        error.status, error.retry_after_s = 503, error.retry_after_s or NotReady.retry_after_s
        raise error from answer.__cause__

    def close(self) -> None:
        self._finder.shutdown(wait=False, cancel_futures=True)
        self._forget_region()

    def _renew(self) -> None:
        before = self._answer
        try:
            self._answer = self._find_out()
        except CliplaneError as error:
            self._answer = error
        except Exception:
            log.exception("readiness_failed")
            self._answer = CliplaneError()
        self._found_at = time.monotonic()
        self._log_change(before)

    def _meanwhile(self) -> Ready | CliplaneError:
        """The answer while it is being found out: what a busy server was before, it still is."""
        if not self._triton.is_live(LIVE_S):
            return TritonUnavailable(f"no sign of life within {PATIENCE_S + LIVE_S:g} s")
        if isinstance(self._answer, Ready) and time.monotonic() - self._found_at < self._settings.infer_timeout_s:
            return self._answer
        return NotReady("whether it can answer is not known yet")

    def _find_out(self) -> Ready:
        spec = self._triton.spec(self._settings.default_model)
        if not self._settings.shared_memory:
            return Ready(spec.name, spec.version, "grpc")
        if not TRITON_MARKER.exists():
            raise SharedMemoryNotShared("Triton's marker is not in this /dev/shm")
        needed, size = self._settings.lanes * self._settings.region_bytes, os.statvfs(SHM)
        if size.f_blocks * size.f_frsize < needed:
            raise SharedMemoryTooSmall(
                f"/dev/shm has {size.f_blocks * size.f_frsize} bytes; {self._settings.lanes} lanes need {needed}"
            )
        self._round_trip(spec)
        return Ready(spec.name, spec.version, "system_shm")

    def _round_trip(self, spec: ModelSpec) -> None:
        byte_size = spec.sampling.view_bytes
        if self._region is None or self._region.byte_size != byte_size or not self._region.is_linked():
            self._forget_region()
            self._region = create_region(byte_size, generation=0)
            self._region.memory[:byte_size] = np.random.default_rng(0).integers(0, 256, byte_size, np.uint8).tobytes()
            self._triton.register(self._region)
        try:
            through_memory = self._infer(spec, self._region, shared=True)
        except RegionLost:
            self._triton.register(self._region)
            through_memory = self._infer(spec, self._region, shared=True)
        if not np.array_equal(through_memory, self._infer(spec, self._region, shared=False)):
            raise HandoffError("the region and the payload gave different answers")

    def _forget_region(self) -> None:
        if self._region is not None:
            self._triton.unregister(self._region)
            self._region.close()
            self._region = None

    def _infer(self, spec: ModelSpec, region: Region, *, shared: bool) -> Probabilities:
        answers: queue.SimpleQueue[Probabilities | CliplaneError] = queue.SimpleQueue()

        def on_inferred(probabilities: Probabilities | None, _version: str, error: CliplaneError | None) -> None:
            answers.put(error if probabilities is None else probabilities)  # type: ignore[arg-type]

        self._triton.infer(
            spec,
            region,
            0,
            1,
            shared=shared,
            request_id="readyz",
            on_inferred=on_inferred,
        )
        try:
            answer = answers.get(timeout=self._settings.infer_timeout_s)
        except queue.Empty:
            raise InferTimeout("CLIPLANE_INFER_TIMEOUT_S") from None
        if isinstance(answer, CliplaneError):
            raise answer
        return answer

    def _log_change(self, before: Ready | CliplaneError | None) -> None:
        now = self._answer
        if isinstance(now, CliplaneError) and not (isinstance(before, CliplaneError) and before.type == now.type):
            log.error("not_ready", error=now.type, title=now.title, detail=now.detail)
        elif isinstance(now, Ready) and not isinstance(before, Ready):
            log.info("ready", model=now.model, version=now.version, handoff=now.handoff)
