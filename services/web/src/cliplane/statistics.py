"""What Triton counts, for /metrics: it has no port of its own that a Prometheus could ask (ADR 10)."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cliplane.errors import TritonUnavailable
from cliplane.triton import Triton

PATIENCE_S = 1.0
_LABELS = ("model", "version")


class TritonStatistics(Collector):
    """Asked for each exposition, in one call; a Triton that does not answer is `cliplane_triton_up` 0 and no more."""

    def __init__(self, triton: Triton) -> None:
        self._triton = triton

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("cliplane_triton_up", "1 if Triton answers")
        try:
            statistics = self._triton.statistics(PATIENCE_S)
        except TritonUnavailable:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        requests = CounterMetricFamily("cliplane_triton_requests", "Calls to Triton", labels=(*_LABELS, "outcome"))
        views = CounterMetricFamily("cliplane_triton_views", "Views inferred", labels=_LABELS)
        seconds = CounterMetricFamily("cliplane_triton_seconds", "Time of calls, by stage", labels=(*_LABELS, "stage"))
        for model in statistics:
            name, calls = (model.name, model.version), model.inference_stats
            requests.add_metric((*name, "success"), calls.success.count)
            requests.add_metric((*name, "failure"), calls.fail.count)
            views.add_metric(name, model.inference_count)
            seconds.add_metric((*name, "queue"), calls.queue.ns / 1e9)
            seconds.add_metric((*name, "infer"), calls.compute_infer.ns / 1e9)
        yield from (requests, views, seconds)
