"""What a request can end with. The tree mirrors the server's problem types (application/problem+json, RFC 9457)."""

from __future__ import annotations

from typing import Any

_PREFIX = "urn:cliplane:problem:"


class ClientError(Exception):
    """The root."""


class CannotConnect(ClientError):
    """Nobody answers at that address, or the connection broke."""


class Problem(ClientError):
    """The server said no. `type` is the problem's short name, for example "undecodable-video"."""

    def __init__(self, status: int, type_: str, title: str, detail: str, request_id: str, retry_after_s: float) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status, self.type, self.title, self.detail = status, type_, title, detail
        self.request_id, self.retry_after_s = request_id, retry_after_s


class Refused(Problem):
    """4xx: this request or this video; asking again does not help."""


class NotReady(Problem):
    """503: the server or its model cannot answer now."""


class Busy(NotReady):
    """503: all lanes and the queue are full."""


class TimedOut(Problem):
    """504: decoding or inference took too long."""


def problem(status: int, body: dict[str, Any], retry_after_s: float = 0.0) -> Problem:
    """The error for a problem document."""
    type_ = str(body.get("type", "")).removeprefix(_PREFIX) or "unknown"
    kind: type[Problem] = Problem
    if type_ == "busy":
        kind = Busy
    elif status == 503:
        kind = NotReady
    elif status == 504:
        kind = TimedOut
    elif 400 <= status < 500:
        kind = Refused
    title = str(body.get("title", f"HTTP status {status}"))
    return kind(status, type_, title, str(body.get("detail", "")), str(body.get("request_id", "")), retry_after_s)
