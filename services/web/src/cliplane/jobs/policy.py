"""What becomes of a job next: pure, with no clock, file or network of its own.

When another attempt is made and when none is, when a job works and when it makes way for requests, and when a webhook
is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliplane.errors import (
    CliplaneError,
    DecoderCrashed,
    DecoderOutOfMemory,
    DecoderOutOfThreads,
    InferenceFailed,
    InferTimeout,
    NotAVideoModel,
    NotReady,
    PathUnreadable,
)

MAX_ATTEMPTS = 5
"""Of a job: so often may a crash end it before it is given up, with the reason."""

WAIT_S = 5.0
"""Until a job is tried again that found the stack not ready; no attempt is counted for it."""

_COUNTED = (DecoderCrashed, DecoderOutOfMemory, DecoderOutOfThreads, InferenceFailed, InferTimeout, PathUnreadable)
"""The video's fault, perhaps, or a bad moment's: worth another attempt, and only so many."""

WEBHOOK_PAUSES_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)
"""Between the attempts to deliver; one more than there are pauses."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Once more after `pause_s`; `is_counted`: as one of the attempts."""

    pause_s: float
    is_counted: bool


def after_failure(error: CliplaneError, attempts: int) -> Retry | None:
    """What follows an attempt, the `attempts`-th, that ended with an error; None: nothing, the error is the answer."""
    if isinstance(error, _COUNTED) or type(error) is CliplaneError:
        return after_crash(attempts)
    if isinstance(error, NotReady) and not isinstance(error, NotAVideoModel):
        return Retry(WAIT_S, is_counted=False)
    return None


def after_crash(attempts: int) -> Retry | None:
    """The same of an attempt that ended without a word."""
    return Retry(float(2**attempts), is_counted=True) if attempts < MAX_ATTEMPTS else None


def webhook_pause_s(attempts: int) -> float | None:
    """Until the next attempt after `attempts` that failed; None: that was the last."""
    return WEBHOOK_PAUSES_S[attempts - 1] if attempts <= len(WEBHOOK_PAUSES_S) else None


class Turns:
    """When the running job works, and when it makes way for requests: these come first, and it is never starved."""

    MAX_WAIT_S = 5.0
    """So long a job waits at most until it has a turn in the midst of requests."""

    TURN_S = 0.2
    """How long that turn is: 4 % of the time, so that it does not show in one request of twenty."""

    QUIET_S = 0.1
    """So long no request must have been here: between two of one client there is a gap."""

    def __init__(self) -> None:
        self._waits_since: float | None = None
        self._turn_ends: float | None = None
        self._busy_at: float | None = None

    def may_work(self, now: float, *, is_busy: bool) -> bool:
        """`now` by the monotonic clock; `is_busy`: requests are here."""
        if is_busy:
            self._busy_at = now
        if self._busy_at is None or now - self._busy_at >= self.QUIET_S:
            self._waits_since = self._turn_ends = None
            return True
        if self._turn_ends is not None:
            if now < self._turn_ends:
                return True
            self._turn_ends, self._waits_since = None, now
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < self.MAX_WAIT_S:
            return False
        self._turn_ends = now + self.TURN_S
        return True
