"""Clients of several kinds, each on a thread of its own: whole, slow, leaving, malformed, streaming, and one that never
reads its stream. A 200 must be the label of the video that was sent; all else a problem of a known form."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx

from tests.chaos.bill import BROKEN, LEFT, RIGHT, WRONG, Bill, Ended

PREFIX = "urn:cliplane:problem:"
LABELS = ("pan_left", "tilt_up", "zoom_in", "roll_cw", "pan_right", "zoom_out")

Videos = dict[str, bytes]
Client = Callable[[str, Videos, random.Random], tuple[str, str]]
"""Sends one request; returns its outcome and words about it."""


def judged(status: int, text: str, label: str) -> tuple[str, str]:
    """The outcome of a whole answer to a video of that label."""
    try:
        body = json.loads(text)
        if status == 200:
            found = body["predictions"][0]["label"]
            return (RIGHT, "") if found == label else (WRONG, f"{label}: {found}")
        if body["type"].startswith(PREFIX) and body["status"] == status:
            return body["type"].removeprefix(PREFIX), ""
    except (ValueError, KeyError, TypeError):
        pass
    return WRONG, f"{status}: {text[:200]}"


def whole(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    label = chance.choice(list(videos))
    response = httpx.post(f"{base}/v1/classify", content=videos[label], timeout=90)
    return judged(response.status_code, response.text, label)


def slow(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    label = chance.choice(list(videos))

    def pieces() -> Iterator[bytes]:
        body = videos[label]
        for at in range(0, len(body), len(body) // 4 + 1):
            yield body[at : at + len(body) // 4 + 1]
            time.sleep(0.5)  # this client is slow: not a wait for anything

    response = httpx.post(f"{base}/v1/classify", content=pieces(), timeout=90)
    return judged(response.status_code, response.text, label)


def malformed(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    body = bytearray(chance.choice(list(videos.values())))
    for _ in range(50):
        body[chance.randrange(len(body))] = chance.randrange(256)
    response = httpx.post(f"{base}/v1/classify", content=bytes(body), timeout=90)
    if response.status_code == 200:
        return RIGHT, ""  # it could be read all the same; what it shows nobody knows
    return judged(response.status_code, response.text, "")


def streaming(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    label = chance.choice(list(videos))
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{base}/v1/classify", content=videos[label], headers=headers, timeout=90) as response:
        text = response.read().decode()
    if response.status_code != 200:
        return judged(response.status_code, text, label)
    event, _, data = text.strip().rpartition("\n\n")[2].partition("\ndata: ")
    if event == "event: result":
        return judged(200, data, label)
    if event == "event: error":
        return judged(json.loads(data)["status"], data, label)
    return BROKEN, "the stream ended without a result or an error"


def leaving(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    _sent(base, chance.choice(list(videos.values())), chance.random())
    return LEFT, ""


def deaf(base: str, videos: Videos, chance: random.Random) -> tuple[str, str]:
    """Asks for a stream and never reads it."""
    _sent(base, chance.choice(list(videos.values())), 5.0)
    return LEFT, ""


KINDS: tuple[Client, ...] = (whole, whole, slow, leaving, malformed, streaming, deaf)


def _sent(base: str, body: bytes, stay_s: float) -> None:
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        head = f"POST /v1/classify?views=8 HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: text/event-stream\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(stay_s)  # as long as this client stays: not a wait for anything


class Crowd:
    """All clients, until `stop`."""

    def __init__(self, base: str, videos: Videos, bill: Bill, seed: int) -> None:
        self._base, self._videos, self._bill = base, videos, bill
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(kind, random.Random(f"{seed} {number}")))
            for number, kind in enumerate(KINDS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: Client, chance: random.Random) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            try:
                outcome, words = kind(self._base, self._videos, chance)
            except (httpx.TransportError, OSError) as exc:
                outcome, words = BROKEN, repr(exc)
            self._bill.ended(Ended(kind.__name__, began, time.monotonic(), outcome, words))
            # Nobody asks again at once: a refusal takes a millisecond, and the CPUs are for the others.
            self._end.wait(0.1 if outcome == RIGHT else 0.5)
