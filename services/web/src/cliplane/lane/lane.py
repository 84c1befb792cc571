"""A lane: one decoder child, one region of shared memory, one channel to Triton, for one request at a time.

Owns what becomes of each after a failure: which decoder is replaced, which region goes into quarantine, and by
which way frames reach Triton. What is done with them for a request is in `classification.py`.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Literal

import structlog

from cliplane import metrics
from cliplane.decoder.client import Decoder
from cliplane.errors import HandoffError
from cliplane.intake.spool import whole_uploads
from cliplane.kernel.cpus import decoder_threads
from cliplane.lane.steps import NO_STEP, Step
from cliplane.paths import SPOOL
from cliplane.settings import Settings
from cliplane.triton.client import Triton
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.region import Region, create_private_region, create_region

log = structlog.get_logger()

HANDOFF_RETRY_S = 5.0
"""How long a lane whose shared memory failed uses the gRPC payload before it tries again."""

SETTLE_S = 0.3
"""How long a request waits for the decoder to let go of a job given up before: a new decoder takes as long."""

MAX_IN_QUARANTINE = 2
"""Regions a lane may keep for inferences that never ended; after that it uses the gRPC payload for a while."""

Handoff = Literal["system_shm", "grpc"]


class Lane:
    """A decoder, a region and a channel to Triton."""

    def __init__(self, settings: Settings, triton: Triton, *, is_for_jobs: bool = False) -> None:
        """`is_for_jobs`: it is beside those for requests, is not counted among them, and makes way for them."""
        self.settings = settings
        self.is_for_jobs = is_for_jobs
        self.triton = triton
        self.trace: Step = NO_STEP
        """Of the request that is here."""
        # Lives as long as the lane, not as a request: a late answer must not write to a file of another's number.
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.tell_alive: Callable[[], None] = lambda: None
        """For a request that lasts: gunicorn ends a worker that it has not heard of for a while (gunicorn.conf.py)."""
        self._generation = 0
        self._registered = False
        self._handoff_failed_at: float | None = None
        self._quarantine: list[tuple[float, Region]] = []
        metrics.LANES.set(0 if is_for_jobs else 1)
        metrics.LANES_BUSY.set(0)
        metrics.REGIONS_IN_QUARANTINE.set(0)
        metrics.HANDOFF_FALLBACK.labels(os.getpid()).set(0 if settings.shared_memory else 1)
        self._region = self._new_region()
        self._decoder = self._new_decoder()

    def requests(self) -> int:
        """How many requests are here, this one included; no more than there are lanes.

        nginx keeps each one's body in the spool until its answer, so the whole files there are the requests: those that
        wait count too, since they will soon want a share of the CPUs. An upload under way may never be one.
        """
        return max(1, min(whole_uploads(SPOOL), self.settings.lanes))

    def decoder_threads(self, requests: int) -> int:
        """Threads of a decoder where there are so many: for all CPUs, or for its share of them."""
        return self.settings.decoder_threads or decoder_threads(requests)

    def close(self) -> None:
        """Give everything back; for the worker's end."""
        self._decoder.kill()
        for region in (self._region, *(region for _, region in self._quarantine)):
            if not self._give_back(region):
                region.close()  # the janitor makes Triton let go
        if self.triton.settle():
            os.close(self.wake)  # else a late answer would write to whatever file has its number next

    def decoder(self) -> Decoder:
        """A living, idle decoder."""
        if not self._decoder.is_alive() or self._decoder.busy:
            self.replace_decoder("crashed")
        elif not self._decoder.settle(SETTLE_S):
            self.replace_decoder("given-up")
        return self._decoder

    def spec(self, model: str) -> ModelSpec:
        """The spec of a model, as `Triton.spec`. A call of a job has one view: no request waits for more than that."""
        spec = self.triton.spec(model)
        return dataclasses.replace(spec, max_batch_size=1) if self.is_for_jobs else spec

    def pause_decoder(self, *, is_paused: bool) -> None:
        """Let the decoder stand still, or go on; from another thread than the one that has a request in this lane."""
        self._decoder.pause(is_paused=is_paused)

    def renew_worn_decoder(self) -> None:
        """For the end of a request: the new one starts while nobody waits for it."""
        if not self._decoder.is_alive():
            self.replace_decoder("crashed")
        elif self._decoder.jobs >= self.settings.decoder_max_videos:
            self.replace_decoder("worn-out")

    def replace_decoder(self, reason: metrics.DecoderReason) -> None:
        self._decoder.kill()
        metrics.DECODERS_REPLACED.labels(reason).inc()
        log.info("decoder_replaced", reason=reason)
        self._decoder = self._new_decoder()

    def hand_over(self) -> tuple[Region, Handoff]:
        """The region for a request and the way it reaches Triton, after trying shared memory."""
        self._release_quarantine()
        if self.settings.shared_memory and not self._registered and self._may_retry_handoff():
            try:
                if not self._region.is_linked():
                    self._replace_region(create_region(self.settings.region_bytes, self._next_generation()))
                self.triton.register(self._region)
                self._registered = True
                self._handoff_failed_at = None
            except HandoffError as error:
                self._handoff_failed(error)
        metrics.HANDOFF_FALLBACK.labels(os.getpid()).set(0 if self._registered else 1)
        return self._region, "system_shm" if self._registered else "grpc"

    def register_again(self) -> bool:
        """Triton has forgotten the region; True if it knows it now.

        A region whose name is gone is made anew by the next request only: a new one would not hold the views that this
        one has decoded.
        """
        self._registered = False
        if not self._region.is_linked():
            return False
        return self.hand_over()[1] == "system_shm"

    def quarantine(self) -> None:
        """An inference on the region may still be running: never write to this memory again.

        The name is taken away at once; Triton's mapping and ours are given back when no inference can last any
        longer. The decoder goes with the region, since it can write to it.
        """
        region, self._registered = self._region, False
        log.warning("region_quarantined", region=region.name)
        metrics.REGIONS_QUARANTINED.inc()
        region.unlink()
        self._quarantine.append((time.monotonic() + self.settings.infer_timeout_s, region))
        metrics.REGIONS_IN_QUARANTINE.set(len(self._quarantine))
        self._region = self._new_region()
        self.replace_decoder("quarantine")

    # Private.

    def _new_region(self) -> Region:
        if self.settings.shared_memory and len(self._quarantine) < MAX_IN_QUARANTINE:
            try:
                return create_region(self.settings.region_bytes, self._next_generation())
            except HandoffError as error:
                self._handoff_failed(error)
        return create_private_region(self.settings.region_bytes)

    def _new_decoder(self) -> Decoder:
        return Decoder(self.settings.reader, self._region, self.settings.decoder_memory_bytes)

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation

    def _replace_region(self, region: Region) -> None:
        self._region.close()
        self._region = region
        self.replace_decoder("new-region")

    def _may_retry_handoff(self) -> bool:
        if len(self._quarantine) >= MAX_IN_QUARANTINE:
            return False
        return self._handoff_failed_at is None or time.monotonic() - self._handoff_failed_at > HANDOFF_RETRY_S

    def _handoff_failed(self, error: HandoffError) -> None:
        self._handoff_failed_at = time.monotonic()
        metrics.HANDOFF_FALLBACK.labels(os.getpid()).set(1)
        log.error("handoff_fallback", error=error.type, title=error.title, detail=error.detail)

    def _release_quarantine(self) -> None:
        while self._quarantine and self._quarantine[0][0] < time.monotonic():
            if not self._give_back(self._quarantine[0][1]):
                return
            self._quarantine.pop(0)
            metrics.REGIONS_IN_QUARANTINE.set(len(self._quarantine))

    def _give_back(self, region: Region) -> bool:
        """False if an inference that is not over yet still has it."""
        if region.name is not None and not self.triton.unregister(region):
            return False
        region.close()
        return True
