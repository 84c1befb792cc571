"""What a server answers, as events and errors, within bounds: nothing is sent here, and nothing is believed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from cliplane_client.errors import CannotConnect, InvalidResponse, NoAnswer, Problem, problem
from cliplane_client.results import Comparison, FileWarning, Result, Video, View, convert, decoded
from cliplane_client.segments import Segment, Segments, Window
from cliplane_client.text import clean

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""Largest answer that is read: some hundred views with all labels of a large model."""

MAX_SEGMENTS_BYTES = 64 * 1024 * 1024
"""The same for a long video: twenty thousand windows and as many segments, twice."""


class Kind(NamedTuple):
    """What is asked for, and which events may answer it. `is_long`: it may last while its events go on."""

    path: str
    types: dict[str, type]
    max_bytes: int
    is_long: bool


_ALWAYS: dict[str, type] = {"video": Video, "warning": FileWarning}
CLASSIFY = Kind("/v1/classify", {**_ALWAYS, "view": View, "result": Result}, MAX_RESPONSE_BYTES, is_long=False)
COMPARE = CLASSIFY._replace(types={**CLASSIFY.types, "result": Comparison})
SEGMENTS = Kind(
    "/v1/segments",
    {**_ALWAYS, "window": Window, "segment": Segment, "result": Segments},
    MAX_SEGMENTS_BYTES,
    is_long=True,
)


class Event(NamedTuple):
    """One step of an answer: "video", "warning" where something is doubtful, "view" (one each), then "result"; data as
    in the HTTP contract. Of segments: "window" instead of "view", and "segment".

    Where a request had to be repeated in the middle of its answer, the steps begin again with "video".
    """

    name: str
    data: dict[str, Any]


@contextmanager
def translated() -> Iterator[None]:
    """httpx's errors as ours.

    Raises:
        NoAnswer: the server took too long; CannotConnect: it was not there, or is gone.
    """
    try:
        yield
    except (httpx.ReadTimeout, httpx.WriteTimeout) as exc:
        raise NoAnswer("the server took longer than this client waits") from exc
    except httpx.TransportError as exc:
        raise CannotConnect(clean(f"{type(exc).__name__}: {exc}")) from exc


class Bounds:
    """How much of one answer is taken, and for how long. httpx's own limit is for each read: a server that sends a byte
    now and then would never reach it."""

    def __init__(self, response: httpx.Response, timeout_s: float, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        """Raises:
        InvalidResponse: the body is compressed, which was not asked for: a few bytes of it could fill the memory.
        """
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._left, self._deadline = max_bytes, time.monotonic() + timeout_s
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise InvalidResponse("the answer is compressed, which was not asked for")

    def taken(self, chunk: bytes) -> bytes:
        """The chunk, counted.

        Raises:
            InvalidResponse: with it the answer is too large; NoAnswer: it came too late.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise InvalidResponse(f"the answer is larger than {self._max_bytes} bytes")
        if time.monotonic() > self._deadline:
            raise NoAnswer("the server took longer than this client waits")
        return chunk

    def goes_on(self) -> None:
        """A whole event has come: of an answer that may last, the time begins anew."""
        self._deadline = time.monotonic() + self._timeout_s


class EventReader:
    """Server-sent events (HTML Living Standard, 9.2) out of an answer's bytes, as they come."""

    def __init__(self, response: httpx.Response, types: dict[str, type]) -> None:
        """`types`: of the events' data, by name.

        Raises:
            InvalidResponse: the answer has no events.
        """
        self._types = types
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise InvalidResponse("what answers there is no Cliplane server")
        self._name = ""
        self._line = bytearray()
        self._has_result = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes; names that are not known are passed over.

        Raises:
            Problem: one is an error; InvalidResponse: one has not its shape, or comes after the result.
        """
        first, *others = chunk.split(b"\n")
        self._line += first
        for following in others:
            line, self._line = bytes(self._line), bytearray(following)
            if event := self._event(line.rstrip(b"\r")):
                yield event

    def end(self) -> None:
        """Raises:
        InvalidResponse: the answer has ended before its result.
        """
        if not self._has_result:
            raise InvalidResponse("the answer ended before its result")

    def _event(self, line: bytes) -> Event | None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        if field != b"data":
            return None
        if self._has_result:
            raise InvalidResponse("the answer goes on after its result")
        body = decoded(value)
        if self._name == "error":
            raise problem(_status_of(body), body)
        if self._name not in self._types:
            return None
        convert(body, self._types[self._name])
        self._has_result = self._name == "result"
        return Event(self._name, body)


def _status_of(body: dict[str, Any]) -> int:
    status = body.get("status")
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def body_of(response: httpx.Response, document: bytes) -> dict[str, Any]:
    """The JSON object of a good answer; {} where it has no body.

    Raises:
        Problem: it is none; InvalidResponse: it is not Cliplane's.
    """
    if response.status_code not in (200, 202, 204):
        raise problem_of(response, document)
    return decoded(document) if response.status_code != 204 else {}


def problem_of(response: httpx.Response, document: bytes) -> Problem:
    """The error that an answer tells of, whoever wrote it: a proxy's page has nothing but its status."""
    try:
        body = decoded(document)
    except InvalidResponse:
        body = {}
    return problem(response.status_code, body, _retry_after_s(response.headers.get("retry-after", "")))


def _retry_after_s(text: str) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0.0 for neither."""
    if re.fullmatch("[0-9]{1,12}", text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):  # not a date, or one without its zone
        return 0.0
