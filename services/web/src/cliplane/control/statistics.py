"""What Triton counts, for /metrics: it has no port of its own that a Prometheus could ask (ADR 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cliplane.errors import TritonUnavailable

_LABELS = ("model", "version")


class TritonStatistics(Collector):
    """Asked for each exposition, in one call; a Triton that does not answer is `cliplane_triton_up` 0 and no more."""

    def __init__(self, ask: Callable[[], list[Any]]) -> None:
        """`ask`: as `Triton.statistics`, and raises as it does."""
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("cliplane_triton_up", "1 if Triton answers")
        try:
            statistics = self._ask()
        except TritonUnavailable:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        requests = CounterMetricFamily("cliplane_triton_requests", "Calls to Triton", labels=(*_LABELS, "outcome"))
        views = CounterMetricFamily("cliplane_triton_views", "Views inferred", labels=_LABELS)
        executions = CounterMetricFamily("cliplane_triton_executions", "Batches inferred", labels=_LABELS)
        last = GaugeMetricFamily(
            "cliplane_triton_last_inference_timestamp_seconds", "When a model last inferred", labels=_LABELS
        )
        memory = GaugeMetricFamily(
            "cliplane_triton_memory_bytes", "Memory of a model, where its backend tells", labels=(*_LABELS, "kind")
        )
        seconds = CounterMetricFamily("cliplane_triton_seconds", "Time of calls, by stage", labels=(*_LABELS, "stage"))
        for model in statistics:
            name, calls = (model.name, model.version), model.inference_stats
            requests.add_metric((*name, "success"), calls.success.count)
            requests.add_metric((*name, "failure"), calls.fail.count)
            views.add_metric(name, model.inference_count)
            executions.add_metric(name, model.execution_count)
            last.add_metric(name, model.last_inference / 1e3)
            for used in model.memory_usage:
                memory.add_metric((*name, f"{used.type}{used.id}"), used.byte_size)
            for stage, spent in (
                ("queue", calls.queue),
                ("input", calls.compute_input),
                ("infer", calls.compute_infer),
                ("output", calls.compute_output),
            ):
                seconds.add_metric((*name, stage), spent.ns / 1e9)
        yield from (requests, views, executions, last, memory, seconds)
