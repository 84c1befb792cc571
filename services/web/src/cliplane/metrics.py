"""What is counted. Lanes and the control plane are different processes: each writes its own files in
PROMETHEUS_MULTIPROC_DIR, and the control plane adds them up at /metrics."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter(
    "cliplane_requests", "Requests, by outcome; no model: refused before a lane knew it", ["model", "outcome"]
)
KEY_REQUESTS = Counter("cliplane_key_requests", "Requests with a key, by its name", ["key", "status"])
HANDOFFS = Counter("cliplane_handoffs", "Classified videos by the way of their frames to Triton", ["handoff"])
STAGE_SECONDS = Histogram(
    "cliplane_stage_seconds", "Time of a classified video in each stage", ["stage"], buckets=_BUCKETS_S
)
VIEWS = Counter("cliplane_views", "Views inferred", ["model"])
WARNINGS = Counter("cliplane_warnings", "What was doubtful in classified videos, by type", ["type"])
DECODERS_REPLACED = Counter("cliplane_decoders_replaced", "Decoder children replaced, by reason", ["reason"])
REGIONS_QUARANTINED = Counter("cliplane_regions_quarantined", "Regions given up after a timed-out inference")
REGIONS_SWEPT = Counter("cliplane_regions_swept", "Regions removed after a dead lane")
LANDLOCK = Gauge(
    "cliplane_landlock_version",
    "Version of the kernel's Landlock, which is around the decoders; 0: it has none",
    multiprocess_mode="livemax",
)
SPOOL_PROMISED = Gauge(
    "cliplane_spool_promised_bytes",
    "Space that the requests which are here hold of the spool, or may yet",
    multiprocess_mode="livesum",
)
HANDOFF_FALLBACK = Gauge(
    "cliplane_handoff_fallback",
    "1 for a lane that uses the gRPC payload",
    ["lane"],
    multiprocess_mode="liveall",
)


def exposition(*more: Collector) -> bytes:
    """All processes' metrics in Prometheus' text format, and those of `more`."""
    registry = CollectorRegistry()
    for collector in more:
        registry.register(collector)
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_process(pid: int) -> None:
    """Drop the gauges of a dead process; its counters stay."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
