"""What a request can end with: the server's problem types (application/problem+json, RFC 9457), a class each.

Four families say what to do: `Refused`, `NotReady`, `TimedOut`, `Failed`. A type that is not known here, of a newer
server, is an error of its status's family.
"""

from __future__ import annotations

from typing import Any

from cliplane_client.text import clean

_PREFIX = "urn:cliplane:problem:"


class ClientError(Exception):
    """The root."""


class CannotConnect(ClientError):
    """Nobody answers at that address, or the connection broke."""


class NoAnswer(CannotConnect):
    """The server took the request and did not answer within the client's own time limit."""


class InvalidAddress(ClientError):
    """The server's address is none; it is not quoted, for it may hold a password."""


class InvalidCertificates(ClientError):
    """The file of trusted certificates cannot be read, or has none."""


class InvalidHeader(ClientError):
    """A header or the key cannot be sent; its value is not quoted."""


class InvalidResponse(ClientError):
    """What answers is no Cliplane server, or a broken one: not its documents, too much of it, or an end too early."""


class Problem(ClientError):
    """The server said no. `type` is the problem's short name, for example "undecodable-video".

    Its texts are fit for a terminal: see `text.clean`.
    """

    type = "unknown"

    def __init__(self, status: int, body: dict[str, Any], retry_after_s: float = 0.0) -> None:
        """`body`: the problem document, or {} where the answer held none."""
        self.status, self.retry_after_s = status, retry_after_s
        self.type = clean(str(body.get("type", ""))).removeprefix(_PREFIX) or self.type
        self.title = clean(str(body.get("title", f"HTTP status {status}")))
        self.detail = clean(str(body.get("detail", "")))
        self.request_id = clean(str(body.get("request_id", "")))
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)


class Refused(Problem):
    """4xx: this request or this video; asking again does not help."""


class BadRequest(Refused):
    type = "bad-request"


class BadQuery(Refused):
    type = "bad-query"


class BadBody(Refused):
    type = "bad-body"


class NoMediaRoot(Refused):
    """The server takes no paths: its operator has set no MEDIA_ROOT."""

    type = "no-media-root"


class PathOutside(Refused):
    """A path is relative, does not go up, and passes no link."""

    type = "path-outside"


class PathUnreadable(Refused):
    type = "path-unreadable"


class PathNotFound(Refused):
    type = "path-not-found"


class NotARegularFile(Refused):
    type = "not-a-file"


class WebhookForbidden(Refused):
    """The server sends webhooks to the hosts that its operator has named, and to no others."""

    type = "webhook-forbidden"


class UnknownJob(Refused):
    """There is no such job, or it is another key's, or its answer was kept long enough."""

    type = "unknown-job"


class UnknownDigest(Refused):
    """No answer is known for these bytes: send them."""

    type = "unknown-digest"


class IdempotencyKeyReused(Refused):
    type = "idempotency-key-reused"


class UnknownModel(Refused):
    type = "unknown-model"


class NotFound(Refused):
    type = "not-found"


class MethodNotAllowed(Refused):
    type = "method-not-allowed"


class Unauthorized(Refused):
    """The server asks for a key: `--key`, CLIPLANE_KEY."""

    type = "unauthorized"


class CrossSite(Refused):
    type = "cross-site"


class Misdirected(Refused):
    """The server does not answer to the name it was asked by."""

    type = "misdirected"


class UploadTooSlow(Refused):
    type = "upload-too-slow"


class UnknownUpload(Refused):
    """No such resumable upload: it was forgotten after its time, or is another key's."""

    type = "unknown-upload"


class UploadOffset(Refused):
    """The server has more or less of a resumable upload than the request says."""

    type = "upload-offset"


class TusVersion(Refused):
    type = "tus-version"


class BodyTooLarge(Refused):
    type = "body-too-large"


class AddressTooLong(Refused):
    type = "address-too-long"


class NotAVideo(Refused):
    type = "not-a-video"


class EncodedBody(Refused):
    type = "encoded-body"


class UndecodableVideo(Refused):
    type = "undecodable-video"


class UnsupportedCodec(Refused):
    type = "unsupported-codec"


class OverLimit(Refused):
    type = "over-limit"


class DecoderCrashed(Refused):
    type = "decoder-crashed"


class NotReady(Problem):
    """503, 429, 507: the server or its model cannot answer now; the client has asked again already."""

    type = "not-ready"


class Busy(NotReady):
    """All lanes and the queue are full."""

    type = "busy"


class NoLaneForLong(NotReady):
    """As many long requests as may are here: one lane stays for the others."""

    type = "long-requests-full"


class Starting(NotReady):
    """The lanes are not there yet, or start anew."""

    type = "starting"


class SpoolFilling(NotReady):
    type = "spool-filling"


class SpoolFull(NotReady):
    """507: uploads that are under way hold all of the space for them."""

    type = "spool-full"


class TooManyRequests(NotReady):
    """429: this client's own requests are too many."""

    type = "too-many-requests"


class TooManyJobs(NotReady):
    """429: this key's jobs that have not ended are too many."""

    type = "too-many-jobs"


class JobsFull(NotReady):
    """507: the volume of jobs has no room."""

    type = "jobs-full"


class JobsUnavailable(NotReady):
    type = "jobs-unavailable"


class TooManyWatchers(NotReady):
    type = "too-many-watchers"


class NotAVideoModel(NotReady):
    type = "not-a-video-model"


class TritonUnavailable(NotReady):
    type = "triton-unavailable"


class DecoderOutOfMemory(NotReady):
    type = "decoder-out-of-memory"


class DecoderOutOfThreads(NotReady):
    type = "decoder-out-of-threads"


class HandoffError(NotReady):
    """Triton cannot read the server's shared memory; `Client.health` says so, videos are answered by other means."""

    type = "shared-memory-failed"


class SharedMemoryTooSmall(HandoffError):
    type = "shared-memory-too-small"


class SharedMemoryNotShared(HandoffError):
    type = "shared-memory-not-shared"


class SharedMemoryForbidden(HandoffError):
    type = "shared-memory-forbidden"


class RegionLost(HandoffError):
    type = "region-lost"


class TimedOut(Problem):
    """504: decoding or inference took too long."""


class DecodeTimeout(TimedOut):
    type = "decode-timeout"


class InferTimeout(TimedOut):
    type = "infer-timeout"


class OutOfTime(TimedOut):
    type = "out-of-time"


class Failed(Problem):
    """500, 502: something broke on the server."""

    type = "internal-error"


class JobCrashed(Failed):
    """A job whose process died again and again."""

    type = "job-crashed"


class InferenceFailed(Failed):
    type = "inference-failed"


class LaneDied(Failed):
    type = "lane-died"


def problem(status: int, body: dict[str, Any], retry_after_s: float = 0.0) -> Problem:
    """The error for a problem document."""
    type_ = str(body.get("type", "")).removeprefix(_PREFIX)
    return BY_TYPE.get(type_, _family(status))(status, body, retry_after_s)


def _family(status: int) -> type[Problem]:
    if status in (429, 503, 507):
        return NotReady
    if 400 <= status < 500:
        return Refused
    return TimedOut if status == 504 else Failed if status >= 500 else Problem


def _tree(root: type[Problem]) -> list[type[Problem]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_TYPE = {error.type: error for error in _tree(Problem) if error.type != Problem.type}
