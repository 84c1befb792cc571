"""How many jobs wait and run, for /metrics: read when asked, kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cliplane.errors import JobsUnavailable
from cliplane.paths import JOBS, JOBS_DATABASE


class JobLevels(Collector):
    def __init__(self, folder: Path = JOBS) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        try:
            counts = self._counts()
        except JobsUnavailable:  # said in the log by whoever wants a job; a number would be a guess
            return
        for state, doc in (("queued", "Jobs that wait"), ("running", "Jobs under way")):
            yield GaugeMetricFamily(f"cliplane_jobs_{state}", doc, counts.get(state, 0))

    def _counts(self) -> dict[str, int]:
        if not (self._folder / JOBS_DATABASE).exists():
            return {}
        from cliplane.jobs.store import Store  # where there are no jobs SQLite is not loaded

        return Store(self._folder).counts()
