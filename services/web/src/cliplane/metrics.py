"""What is counted. Lanes and the control plane are different processes: each writes its own files in
PROMETHEUS_MULTIPROC_DIR, and the control plane adds them up at /metrics."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter(
    "cliplane_requests", "Requests, by outcome; no model: refused before a lane knew it", ["model", "outcome"]
)
PROBLEMS = Counter(
    "cliplane_problems", "Requests that ended in a problem, by its type and the name of the key", ["type", "key"]
)
KEY_REQUESTS = Counter("cliplane_key_requests", "Requests with a key, by its name", ["key", "status"])
HANDOFFS = Counter("cliplane_handoffs", "Classified videos by the way of their frames to Triton", ["handoff"])
STAGE_SECONDS = Histogram(
    "cliplane_stage_seconds", "Time of a classified video in each stage", ["stage"], buckets=_BUCKETS_S
)
VIEWS = Counter("cliplane_views", "Views inferred", ["model"])
VIEWS_SAVED = Counter("cliplane_views_saved", "Views that views=auto planned and did not need", ["model"])
WARNINGS = Counter("cliplane_warnings", "What was doubtful in classified videos, by type", ["type"])
DECODERS_REPLACED = Counter("cliplane_decoders_replaced", "Decoder children replaced, by reason", ["reason"])
DecoderReason = Literal["crashed", "given-up", "worn-out", "timeout", "new-region", "quarantine"]
"""Why a decoder is replaced."""

REGIONS_QUARANTINED = Counter("cliplane_regions_quarantined", "Regions given up after a timed-out inference")
REGIONS_SWEPT = Counter("cliplane_regions_swept", "Regions removed after a dead lane")
JOBS = Counter("cliplane_jobs", "Jobs' attempts, by outcome", ["outcome"])
JobOutcome = Literal["done", "failed", "retried", "crashed"]
WebhookOutcome = Literal["delivered", "retried", "given-up"]
WEBHOOKS = Counter("cliplane_webhooks", "Attempts to send a webhook, by outcome", ["outcome"])
LANDLOCK = Gauge(
    "cliplane_landlock_version",
    "Version of the kernel's Landlock, which is around the decoders; 0: it has none",
    multiprocess_mode="livemax",
)
LANES = Gauge("cliplane_lanes", "Lanes that are up", multiprocess_mode="livesum")
LANES_BUSY = Gauge("cliplane_lanes_busy", "Lanes that have a request", multiprocess_mode="livesum")
REGIONS_IN_QUARANTINE = Gauge(
    "cliplane_regions_in_quarantine",
    "Regions without a name that Triton may still be reading",
    multiprocess_mode="livesum",
)
BUILD_INFO = Gauge(
    "cliplane_build_info",
    "1; what is built here is in the labels",
    ["version", "commit", "image"],
    multiprocess_mode="livemax",
)
HANDOFF_FALLBACK = Gauge(
    "cliplane_handoff_fallback",
    "1 for a lane that uses the gRPC payload",
    ["lane"],
    multiprocess_mode="liveall",
)


def bucket(seconds: float) -> str:
    """The label `le` of the bucket of `STAGE_SECONDS` in which so long a time is counted."""
    return floatToGoString((*_BUCKETS_S, float("inf"))[bisect.bisect_left(_BUCKETS_S, seconds)])  # type: ignore[no-untyped-call, no-any-return]


def of_all_processes() -> list[Metric]:
    """What all of them have counted, added up."""
    _forget_the_dead()
    return list(MultiProcessCollector(None).collect())  # type: ignore[no-untyped-call]


def total(found: Iterable[Metric], name: str) -> float:
    """The sum of one metric's samples."""
    return sum(sample.value for metric in found if metric.name == name for sample in metric.samples)


def exposition(found: Iterable[Metric], *more: Collector) -> bytes:
    """Metrics in Prometheus' text format: those that were found, and those of `more`."""
    registry = CollectorRegistry()
    for collector in (_Found(found), *more):
        registry.register(collector)
    return generate_latest(registry)


def forget_process(pid: int) -> None:
    """Drop the gauges of a dead process; its counters stay."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _forget_the_dead() -> None:
    """Whoever lost its arbiter has nobody who reports its death; its gauges would stay for good."""
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        try:
            state = Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0]
        except OSError:
            state = "Z"
        if state == "Z":  # dead, whether its parent has seen it or not
            forget_process(int(pid))


class _Found(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found
