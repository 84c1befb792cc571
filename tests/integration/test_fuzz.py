"""Mutants of real and made videos, against the whole stack and against a decoder alone: nothing dies, nothing hangs,
nothing calls home.

MUTANTS says how many (`make fuzz`: 10,000 against the stack, and 10,000 of each seed against a decoder).
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cliplane.decoder import client, wire
from cliplane.decoder.client import Decoder
from cliplane.decoder.media import HEAD_BYTES, sniff
from cliplane.errors import CliplaneError, DecoderOutOfMemory
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings
from cliplane.triton.region import create_private_region

from tests.corpus import mutants
from tests.e2e.conftest import real_videos
from tests.integration.conftest import BASE, Stack, wait_until

MUTANTS = int(os.environ.get("MUTANTS") or 400)
OF_EACH = int(os.environ.get("MUTANTS") or 25)
WARM_UP = 150
"""Mutants before the memory is looked at for the first time: by then both decoders have seen all formats."""

ANSWERS = ("classified", "not-a-video", "undecodable-video", "unsupported-codec", "over-limit")
ORDINARY = (*ANSWERS, DecoderOutOfMemory.type)  # of a picture that is within the limits, and needs more
SLOWEST_S = 15.0  # of a mutant in a decoder alone; 20 s of CPU time would end it

LIMIT_S = 25.0  # CLIPLANE_REQUEST_TIMEOUT_S of the tests' stack, and some for the queue


@pytest.fixture
def listener() -> Iterator[tuple[str, list[object]]]:
    """A server that nobody should call: its URL, and who has called."""
    callers: list[object] = []
    server = socket.create_server(("0.0.0.0", 0))
    server.settimeout(0.2)
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, address = server.accept()
            except TimeoutError:
                continue
            callers.append(address)
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    address = socket.gethostbyname(socket.gethostname())
    yield f"http://{address}:{server.getsockname()[1]}/x.mp4", callers
    ended.set()
    thread.join()
    server.close()


def resident_kb(stack: Stack) -> int:
    """Memory of the lanes and their decoders."""
    pids = [*stack.lanes(), *stack.decoders()]
    lines = stack.exec("web", "grep", "-h", "RssAnon", *(f"/proc/{pid}/status" for pid in pids)).splitlines()
    return sum(int(line.split()[1]) for line in lines)


def test_mutants_kill_nothing_hang_nothing_and_call_nobody(ready: Stack, listener: tuple[str, list[object]]) -> None:
    url, callers = listener
    host, port = url.removeprefix("http://").removesuffix("/x.mp4").split(":")
    connect = f"import socket; socket.create_connection(({host!r}, {port}), 5)"
    ready.exec("web", "python3", "-c", connect)
    wait_until(lambda: len(callers) == 1, what="the listener hears the web container")
    callers.clear()

    small = [path.read_bytes() for path in real_videos() if path.stat().st_size < 600_000]
    originals = [*small, *mutants.seeds().values()]
    lanes, shm = ready.lanes(), ready.shared_memory()
    slowest = 0.0
    outcomes: collections.Counter[str] = collections.Counter()
    with httpx.Client(base_url=BASE, timeout=60) as http:

        def one(number: int) -> tuple[str, float]:
            body = mutants.mutant(number, originals[number % len(originals)], url.encode())
            began = time.monotonic()
            response = http.post("/v1/classify", params={"views": 2, "top": 1}, content=body)
            kind = "classified" if response.status_code == 200 else response.json()["type"].rpartition(":")[2]
            assert kind in ORDINARY, f"mutant {number}: {response.status_code} {response.text}"
            return kind, time.monotonic() - began

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            memory_kb = 0
            for number, (kind, seconds) in enumerate(pool.map(one, range(MUTANTS))):
                outcomes[kind] += 1
                slowest = max(slowest, seconds)
                if number == WARM_UP:
                    memory_kb = resident_kb(ready)
    grown_kb = resident_kb(ready) - memory_kb
    print(
        f"\n{MUTANTS} mutants: {dict(outcomes)}; slowest {slowest:.2f} s; memory {memory_kb} kB, then {grown_kb:+} kB"
    )
    assert outcomes["classified"] > MUTANTS / 20
    assert outcomes["undecodable-video"] > MUTANTS / 20
    assert slowest < LIMIT_S
    assert callers == []
    assert ready.lanes() == lanes
    assert ready.shared_memory() == shm
    assert grown_kb < 100_000


MADE = mutants.seeds()
SAMPLING = Sampling(8, 5, 64, 64, 64, clips=2, crops=1, frame_rate=25)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Decoder]]:
    """Start a decoder; the one before it is ended."""
    program = f"import sys; sys.path[:0] = {sys.path!r}\nfrom cliplane.decoder.__main__ import main; main()"
    monkeypatch.setattr(client, "COMMAND", [sys.executable, "-I", "-c", program])
    region = create_private_region(SAMPLING.views * SAMPLING.view_bytes)
    started: list[Decoder] = []

    def start() -> Decoder:
        for before in started:
            before.kill()
        started[:] = [Decoder("pyav", region, Settings().decoder_memory_bytes)]
        return started[0]

    yield start
    for decoder in started:
        decoder.kill()
    region.close()


@pytest.mark.parametrize("seed", MADE)
def test_no_mutant_ends_a_decoder_within_its_walls(start: Callable[[], Decoder], seed: str, tmp_path: Path) -> None:
    decoder = start()
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, faults = 0.0, []
    for number in range(OF_EACH):
        body = mutants.mutant(number, MADE[seed], b"http://127.0.0.1:9/x.mp4")
        began = time.monotonic()
        kind = _outcome(decoder, body, tmp_path / "mutant")
        slowest = max(slowest, time.monotonic() - began)
        outcomes[kind] += 1
        if kind not in ORDINARY:
            faults.append((number, kind))
        if kind not in ANSWERS:
            decoder = start()
    print(f"\n{seed}: {OF_EACH} mutants, {dict(outcomes)}, slowest {slowest:.2f} s, faults {faults}")
    assert faults == []
    assert outcomes["classified"] > OF_EACH / 50
    assert slowest < SLOWEST_S


def _outcome(decoder: Decoder, body: bytes, path: Path) -> str:
    """The type of what is found wrong, or "classified"."""
    path.write_bytes(body)
    job = wire.Job(None, SAMPLING, Settings().decoder_limits(), 1, coarse_to_fine=False, cpu_s=20)
    try:
        sniff(body[:HEAD_BYTES])
        decoder.start(job, path.open("rb"))
        while not isinstance(decoder.report(), wire.End):
            pass
    except CliplaneError as exc:
        return exc.type
    return "classified"
