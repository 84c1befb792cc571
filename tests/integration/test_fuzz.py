"""Mutants of real and made videos, against the whole stack: nothing dies, nothing hangs, nothing calls home.

MUTANTS says how many (`make fuzz` runs 10,000). The seed is fixed, so a failure can be had again.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import random
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests import media
from tests.e2e.conftest import real_videos
from tests.integration.conftest import BASE, Stack, wait_until

MUTANTS = int(os.environ.get("MUTANTS") or 400)
SEED = 20261124
WARM_UP = 150
"""Mutants before the memory is looked at for the first time: by then both decoders have seen all formats."""

LIMIT_S = 25.0  # CLIPLANE_REQUEST_TIMEOUT_S of the tests' stack, and some for the queue


def seeds() -> list[bytes]:
    small = [path.read_bytes() for path in real_videos() if path.stat().st_size < 600_000]
    made = [
        media.encode(media.moving_camera("pan_right", frames=24, width=96, height=64), container=container, codec=codec)
        for container, codec in (
            ("mp4", "libx264"),
            ("mov", "libx265"),
            ("matroska", "libx264"),
            ("webm", "libvpx-vp9"),
            ("mp4", "libsvtav1"),
            ("avi", "mpeg4"),
            ("mpegts", "mpeg2video"),
            ("mpegts", "libx264"),
            ("flv", "libx264"),
            ("vob", "mpeg2video"),
            ("asf", "wmv2"),
            ("ogg", "libvpx"),
            ("mxf", "mpeg2video"),
            ("h264", "libx264"),
            ("hevc", "libx265"),
            ("ivf", "libvpx-vp9"),
            ("webp", "libwebp_anim"),
        )
    ]
    moving = media.moving_camera("pan_right", frames=12, width=96, height=64)
    made += [
        media.encode(iter(frames), container=container, codec=codec, pixels=pixels)
        for frames in [list(moving)]
        for container, codec, pixels in (
            ("gif", "gif", "rgb8"),
            ("apng", "apng", "rgb24"),
            ("matroska", "ffv1", "yuv420p"),
        )
    ]
    return small + made


def mutant(number: int, originals: list[bytes], url: bytes) -> bytes:
    """Mutant `number`: bits flipped, bytes overwritten, pieces cut, moved and doubled, boxes resized, URLs planted."""
    rng = random.Random(f"{SEED}-{number}")
    data = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 4096))
        size = min(rng.choice((1, 4, 16, 256, 4096)), len(data) - at)
        match rng.randrange(9):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                data[at : at + size] = b"\xff" * size
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case 5:
                del data[max(at, 64) :]
            case 6:  # a box's, an element's or a table's size or count
                value = rng.choice((0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.randrange(2**32)))
                data[at : at + 4] = value.to_bytes(4, "big")
            case 7:
                boxes = list(media.boxes(bytes(data)))
                if boxes:
                    start, end = rng.choice(boxes)
                    other = rng.choice(boxes)[0]
                    box = data[start:end][:65536]
                    data[other:other] = box
            case 8:
                data[at : at + len(url)] = url
        if len(data) < 64:
            data.extend(bytes(64))
    return bytes(data)


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

    originals = seeds()
    lanes, shm = ready.lanes(), ready.shared_memory()
    slowest = 0.0
    outcomes: collections.Counter[str] = collections.Counter()
    with httpx.Client(base_url=BASE, timeout=60) as http:

        def one(number: int) -> tuple[str, float]:
            body = mutant(number, originals, url.encode())
            began = time.monotonic()
            response = http.post("/v1/classify", params={"views": 2, "top": 1}, content=body)
            kind = "classified" if response.status_code == 200 else response.json()["type"].rpartition(":")[2]
            assert kind in (
                "classified",
                "not-a-video",
                "undecodable-video",
                "unsupported-codec",
                "over-limit",
                "decoder-out-of-memory",
                "decoder-crashed",
                "decoder-out-of-memory",  # of a picture that is within the limits, and needs more
            ), f"mutant {number}: {response.status_code} {response.text}"
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
