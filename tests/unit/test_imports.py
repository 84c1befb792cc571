"""Processes that must stay small or must not touch gRPC load nothing of the others'. Each is asked in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LANE = {"flask", "werkzeug", "grpc", "tritonclient"}

LOADED = {
    "decoder": ("import cliplane.decoder.__main__", LANE | {"structlog", "prometheus_client", "decord"}),
    "arbiter": (f"import runpy; runpy.run_path({str(REPOSITORY / 'services/web/gunicorn.conf.py')!r})", LANE | {"av"}),
    "exporter": ("import cliplane.sampling", LANE | {"structlog", "prometheus_client", "numpy", "av"}),
}


@pytest.mark.parametrize("process", LOADED)
def test_a_process_loads_nothing_that_it_does_not_need(process: str) -> None:
    code, unwanted = LOADED[process]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        env=os.environ | {"PLANE": "lanes"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert unwanted & {module.partition(".")[0] for module in done.stdout.split()} == set()
