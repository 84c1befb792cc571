"""Clients leave, files are refused, deadlines pass, at any moment of a request: Triton lives on, and answers the rest.

ABANDONED says how many requests (`make abandoned` makes 20,000): half of them are given up. While gRPC calls were
cancelled, Triton 2.51 died about once in 1,200 of those.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
from cliplane.errors import CliplaneError
from cliplane.lane.classification import classify as classify_with
from cliplane.lane.lane import Lane
from cliplane.lane.requests import AUTO, Job
from cliplane.settings import Settings
from cliplane.triton.client import Triton

from tests import media
from tests.integration.conftest import BASE, Stack, docker

REQUESTS = int(os.environ.get("ABANDONED") or 300)
SEED = 11
LABEL = "zoom_in"

STREAM = {"Accept": "text/event-stream"}


def server(stack: Stack) -> str:
    """The server's process, and since when it runs."""
    return docker("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", stack.container("triton"))


def outcome(response: httpx.Response) -> str:
    """ "answered", or the problem's type."""
    return "answered" if response.status_code == 200 else str(response.json()["type"]).rpartition(":")[2]


class Clients:
    """Over HTTP: some see their answer, some leave, some send a damaged file. Each returns how it ended."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self._http = httpx.Client(base_url=BASE, timeout=60)

    def close(self) -> None:
        self._http.close()

    def request(self, number: int) -> str:
        rng = random.Random(f"{SEED}-{number}")
        views = rng.choice(["auto", "10", "20"])
        if number % 2 == 0:
            return self._stay(views)
        kind: Callable[[str, random.Random], str] = rng.choice([self._leave, self._leave_a_stream, self._send_damaged])
        return kind(views, rng)

    def _post(self, views: str, body: bytes) -> httpx.Response:
        return self._http.post("/v1/classify", params={"views": views, "top": 1}, content=body)

    def _stay(self, views: str) -> str:
        response = self._post(views, self._whole)
        assert response.status_code in (200, 503, 504), response.text  # busy, or too late, on a host that has no time
        if response.status_code == 200:
            assert response.json()["predictions"][0]["label"] == LABEL
        return outcome(response)

    def _leave(self, views: str, rng: random.Random) -> str:
        timeout = httpx.Timeout(60, read=rng.uniform(0.01, 0.4))
        try:
            self._http.post("/v1/classify", params={"views": views}, content=self._whole, timeout=timeout)
        except httpx.ReadTimeout:
            return "left"
        return "answered"

    def _leave_a_stream(self, views: str, rng: random.Random) -> str:
        with self._http.stream(
            "POST", "/v1/classify", params={"views": views}, content=self._whole, headers=STREAM
        ) as response:
            lines = sum(1 for _ in itertools.islice(response.iter_lines(), rng.randrange(1, 30)))
        return "left" if lines else "answered"

    def _send_damaged(self, views: str, rng: random.Random) -> str:
        body = bytearray(self._whole)
        at = rng.randrange(len(body) // 3, len(body))
        body[at:] = rng.randbytes(len(body) - at)
        response = self._post(views, bytes(body))
        assert response.status_code in (200, 422, 503, 504), response.text
        return "refused" if response.status_code == 422 else outcome(response)


class ImpatientLane:
    """A lane of this process, by the real Triton: its inferences may take some milliseconds, or it is left earlier."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._settings = Settings(lanes=1, region_bytes=8 * 2**20)
        self._triton = Triton(self._settings.triton_grpc)
        self._lane = Lane(self._settings, self._triton)

    def close(self) -> None:
        self._lane.close()
        self._triton.close()

    def request(self, number: int) -> str:
        rng = random.Random(f"{SEED}-{number}")
        job = Job(
            path=str(self._path),
            container="mp4",
            model="camera_motion",
            request_id=str(number),
            views=rng.choice([AUTO, 10, 20]),
            top=1,
        )
        is_late = rng.random() < 0.3
        infer_timeout_s = rng.uniform(0.001, 0.03) if is_late else self._settings.infer_timeout_s
        self._lane.settings = dataclasses.replace(self._settings, infer_timeout_s=infer_timeout_s)
        events = classify_with(self._lane, job)
        try:
            names = [event.name for event in itertools.islice(events, None if is_late else rng.randrange(1, 12))]
        except CliplaneError as error:
            return error.type.rpartition(":")[2]
        finally:
            events.close()
        return "answered" if names[-1] == "result" else "left"


def test_triton_outlives_clients_that_give_up(ready: Stack, tmp_path: Path) -> None:
    path = tmp_path / "video"
    path.write_bytes(media.clip(LABEL, frames=150, width=160, height=120))
    before, numbers = server(ready), itertools.count()
    outcomes: collections.Counter[str] = collections.Counter()
    clients, lane = Clients(path.read_bytes()), ImpatientLane(path)

    has_failed = threading.Event()

    def work(request: Callable[[int], str]) -> None:
        try:
            while (number := next(numbers)) < REQUESTS and not has_failed.is_set():
                outcomes[request(number)] += 1
        except BaseException:
            has_failed.set()
            raise

    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            works = [pool.submit(work, request) for request in (lane.request, *[clients.request] * 3)]
            for one in concurrent.futures.as_completed(works):
                one.result()
    finally:
        lane.close()
        clients.close()
    print(f"\n{REQUESTS} requests: {dict(outcomes)}")
    assert server(ready) == before, "Triton has died"
    assert outcomes["answered"] > REQUESTS / 10
    assert outcomes["left"] > REQUESTS / 10
    assert outcomes["infer-timeout"] > 0
    ready.wait_until_well()
