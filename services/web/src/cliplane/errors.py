"""Everything that can go wrong, as one tree of exceptions.

Class attributes say what an HTTP client sees (`http/problems.py` answers with them); instances add
`detail`. Adapters raise these `from` a library's own exceptions. A detail is always in our own words: nothing
of an uploaded file's content may reach an answer or a log.
"""

from __future__ import annotations

from typing import Any, Self

TYPE_PREFIX = "urn:cliplane:problem:"


class CliplaneError(Exception):
    """The root: an unexpected failure."""

    status = 500
    type = "internal-error"
    title = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def anew(self) -> Self:
        """An exception that says the same: one that several threads raise would gather all their tracebacks."""
        other = type(self)(self.detail)
        other.__dict__.update(self.__dict__)
        return other


class ClientGone(Exception):
    """Nobody waits for the answer any more. No error of ours, and no answer: the work ends."""


class BadQuery(CliplaneError):
    status, type, title = 400, "bad-query", "Invalid query"


class BadBody(CliplaneError):
    status, type, title = 400, "bad-body", "No video in the body"


class NoMediaRoot(CliplaneError):
    status, type, title = 400, "no-media-root", "Paths are not taken here"


class PathOutside(CliplaneError):
    status, type, title = 403, "path-outside", "The path leads out of the media root"


class PathUnreadable(CliplaneError):
    status, type, title = 403, "path-unreadable", "The file cannot be read by the server"


class PathNotFound(CliplaneError):
    status, type, title = 404, "path-not-found", "No file of this path"


class NotARegularFile(CliplaneError):
    status, type, title = 422, "not-a-file", "Not a regular file"


class WebhookForbidden(CliplaneError):
    status, type, title = 403, "webhook-forbidden", "No webhook is sent there"


class UnknownJob(CliplaneError):
    status, type, title = 404, "unknown-job", "Unknown job"


class UnknownDigest(CliplaneError):
    status, type, title = 404, "unknown-digest", "No answer is known for this digest"


class IdempotencyKeyReused(CliplaneError):
    status, type, title = 422, "idempotency-key-reused", "The idempotency key was used for something else"


class JobCrashed(CliplaneError):
    status, type, title = 500, "job-crashed", "The job's process died again and again"


class TooManyJobs(CliplaneError):
    status, type, title = 429, "too-many-jobs", "This key has too many jobs"
    retry_after_s = 30


class JobsFull(CliplaneError):
    status, type, title = 507, "jobs-full", "There is no room for another job"
    retry_after_s = 60


class JobsUnavailable(CliplaneError):
    status, type, title = 503, "jobs-unavailable", "Jobs cannot be kept now"
    retry_after_s = 5


class TooManyWatchers(CliplaneError):
    status, type, title = 503, "too-many-watchers", "Too many follow jobs at once"
    retry_after_s = 5


class UnknownModel(CliplaneError):
    status, type, title = 404, "unknown-model", "Unknown model"


class NotFound(CliplaneError):
    status, type, title = 404, "not-found", "Not found"


class MethodNotAllowed(CliplaneError):
    status, type, title = 405, "method-not-allowed", "Method not allowed"


class BodyTooLarge(CliplaneError):
    status, type, title = 413, "body-too-large", "The body is too large"


class NotAVideo(CliplaneError):
    status, type, title = 415, "not-a-video", "Not a video that is accepted here"


class EncodedBody(CliplaneError):
    status, type, title = 415, "encoded-body", "The body is compressed"


class UndecodableVideo(CliplaneError):
    status, type, title = 422, "undecodable-video", "The video cannot be decoded"


class UnsupportedCodec(CliplaneError):
    status, type, title = 422, "unsupported-codec", "Unsupported video format"


class OverLimit(CliplaneError):
    status, type, title = 422, "over-limit", "The video is over a limit"


class DecoderCrashed(CliplaneError):
    status, type, title = 422, "decoder-crashed", "The decoder died on this video"


class NotReady(CliplaneError):
    status, type, title = 503, "not-ready", "The model is not ready"
    retry_after_s = 2


class NoLaneForLong(CliplaneError):
    status, type, title = 503, "long-requests-full", "No lane is free for a long request"
    retry_after_s = 30


class SpoolFilling(NotReady):
    type, title = "spool-filling", "The spool has no room for an upload of each lane"


class NotAVideoModel(NotReady):
    type, title = "not-a-video-model", "Not a video model"


class TritonUnavailable(NotReady):
    type, title = "triton-unavailable", "The inference server does not answer"


class DecoderOutOfMemory(NotReady):
    type, title = "decoder-out-of-memory", "The decoder ran out of memory"


class DecoderOutOfThreads(NotReady):
    type, title = "decoder-out-of-threads", "The decoder could not start a thread"


class DecodeTimeout(CliplaneError):
    status, type, title = 504, "decode-timeout", "Decoding took too long"


class InferTimeout(CliplaneError):
    status, type, title = 504, "infer-timeout", "Inference took too long"


class InferenceFailed(CliplaneError):
    status, type, title = 500, "inference-failed", "The model failed on this input"


class HandoffError(CliplaneError):
    """Shared memory cannot be used; the lane falls back to the gRPC payload and says which of these it was."""

    status, type, title = 503, "shared-memory-failed", "Shared memory cannot be used"


class SharedMemoryTooSmall(HandoffError):
    type, title = "shared-memory-too-small", "SHM_SIZE is too small"


class SharedMemoryNotShared(HandoffError):
    type, title = "shared-memory-not-shared", "web and triton do not see one /dev/shm"


class SharedMemoryForbidden(HandoffError):
    type, title = "shared-memory-forbidden", "web and triton have no common group"


class RegionLost(HandoffError):
    """Triton does not know the region (any more): it has restarted. Register again."""

    type, title = "region-lost", "The inference server has forgotten the region"


def by_type(type_: str) -> type[CliplaneError]:
    """The class of a `type`, for errors that cross a pipe.

    Raises:
        KeyError: no class has that type.
    """
    return _BY_TYPE[type_]


def types() -> list[str]:
    """Of every class, sorted."""
    return sorted(_BY_TYPE)


def _tree(root: type[CliplaneError]) -> list[type[CliplaneError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


_BY_TYPE = {error.type: error for error in _tree(CliplaneError)}


def problem(error: CliplaneError, request_id: str) -> dict[str, Any]:
    """The members of a problem+json document (RFC 9457)."""
    return {
        "type": TYPE_PREFIX + error.type,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
