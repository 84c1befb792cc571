"""Load, by hey: so many clients that each send the same body again and again. Waits for nothing else."""

from __future__ import annotations

import csv
import io
import math
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: milliseconds of the answers with status 200, in no order; how many of each status; for how
    long."""

    ms: list[float]
    statuses: Counter[str]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers with status 200 a second."""
        return len(self.ms) / self.seconds if self.seconds else 0.0


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed (nearest rank); NaN of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def send(
    url: str,
    body: Path,
    clients: int,
    *,
    seconds: float = 0,
    requests: int = 0,
    each_per_s: float = 0,
    content_type: str = "application/octet-stream",
) -> Load:
    """POST `body` from so many clients at once, for `seconds` or for `requests` in all (at least one each); each client
    as fast as it can, or at most `each_per_s` a second.

    Raises:
        RuntimeError: hey failed, or nothing at all came back.
    """
    amount = ["-n", str(max(requests, clients))] if requests else ["-z", f"{seconds:g}s"]
    amount += ["-q", f"{each_per_s:g}"] if each_per_s else []
    command = ["hey", *amount, "-c", str(clients), "-m", "POST", "-D", str(body), "-T", content_type]
    done = subprocess.run([*command, "-t", "120", "-o", "csv", url], capture_output=True, text=True, check=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode or not rows:
        raise RuntimeError(f"hey {url}: {done.stderr or 'no answer'}")
    ends = [float(row["offset"]) + float(row["response-time"]) for row in rows]
    return Load(
        ms=[float(row["response-time"]) * 1000 for row in rows if row["status-code"] == "200"],
        statuses=Counter(row["status-code"] for row in rows),
        seconds=max(ends) - min(float(row["offset"]) for row in rows),
    )
