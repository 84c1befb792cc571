"""The whole stack over HTTP: latency and throughput, where one is running."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from bench.gpu.steps import Skipped, Step

CLIENTS = (1, 4, 16)


def post(base: str, path: str, body: bytes) -> dict[str, Any]:
    """The answer's JSON.

    Raises:
        RuntimeError: it is a problem.
    """
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=120)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(str(answer.get("type", response.status)))
    return answer


def measure(base: str, clip: Path, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients, each as fast as it is answered."""
    body, ms, errors = clip.read_bytes(), list[float](), list[str]()
    answer = post(base, "/v1/classify", body)
    end = time.perf_counter() + seconds

    def client() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            try:
                post(base, "/v1/classify", body)
                ms.append(1000 * (time.perf_counter() - began))
            except RuntimeError as exc:  # too many clients for this host's lanes and queue: 503
                errors.append(str(exc))
                time.sleep(0.05)

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not ms:
        raise RuntimeError(errors[0] if errors else "no answer")
    rate = len(ms) / (time.perf_counter() - began)
    return {
        "model": answer["model"],
        "p50_ms": round(float(np.percentile(ms, 50)), 1),
        "p99_ms": round(float(np.percentile(ms, 99)), 1),
        "videos_per_s": round(rate, 2),
        "views_per_s": round(rate * len(answer["views"]), 1),
        "errors": len(errors),
    }


def steps(base: str, clip: Path, seconds: float) -> list[Step]:
    made = []
    for clients in CLIENTS:

        def of(clients: int = clients) -> dict[str, Any]:
            if not base:
                raise Skipped("no stack was given")
            return measure(base, clip, clients, seconds)

        made.append(Step(f"stack: {clients} {'client' if clients == 1 else 'clients'}", of))
    return made
