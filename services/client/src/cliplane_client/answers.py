"""What a server answers, as results, events and errors: nothing is sent here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from cliplane_client.errors import CannotConnect, NoAnswer, Problem, problem


class Event(NamedTuple):
    """One step of an answer: "video", "view" (one each), then "result"; data as in the HTTP contract.

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
        raise CannotConnect(f"{type(exc).__name__}: {exc}") from exc


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of a good answer.

    Raises:
        Problem: it is none; CannotConnect: it is not Cliplane's.
    """
    if answer.status_code != 200:
        raise problem_of(answer)
    body = _object(answer)
    if not body:
        raise CannotConnect("what answers there is no Cliplane server")
    return body


def _object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object that was answered, or {}: a proxy's page, for example."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def problem_of(answer: httpx.Response) -> Problem:
    """The error that an answer tells of, whoever wrote it."""
    body = _object(answer)
    return problem(answer.status_code, body, _retry_after_s(answer.headers.get("retry-after", "")))


def _retry_after_s(text: str) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0.0 for neither."""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # not a date, or one without its zone
        return 0.0


class EventParser:
    """Server-sent events, line by line."""

    def __init__(self) -> None:
        self._name = ""

    def feed(self, line: str) -> Event | None:
        """The event that is whole with this line.

        Raises:
            Problem: the event is an error.
        """
        if line.startswith("event: "):
            self._name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
            if self._name == "error":
                raise problem(int(data.get("status", 500)), data)
            return Event(self._name, data)
        return None


def events(lines: Iterator[str]) -> Iterator[Event]:
    """The events of an answer's lines.

    Raises:
        Problem: one is an error.
    """
    parser = EventParser()
    for line in lines:
        if event := parser.feed(line):
            yield event
