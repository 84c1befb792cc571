"""How many calls to Triton have no answer yet. None is cancelled (ADR 11), so their number must be bounded here."""

from __future__ import annotations

import threading

from cliplane.errors import TritonUnavailable

MAX_UNDER_WAY = 256
"""Calls that may be without an answer, those that nobody waits for any more included."""

MAX_PAYLOAD_BYTES = 256 * 2**20
"""Of frames in messages to a Triton that does not take them."""


class CallsUnderWay:
    """The calls that have not ended, wanted or not: few, unless Triton hangs; then what they hold is bounded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._payload_bytes: dict[object, int] = {}

    def begin(self, payload_bytes: int) -> object:
        """A call with so many bytes of frames in its message; for `end`.

        Raises:
            TritonUnavailable: there are too many.
        """
        with self._changed:
            count, held = len(self._payload_bytes), sum(self._payload_bytes.values())
            if count >= MAX_UNDER_WAY or held > MAX_PAYLOAD_BYTES:
                raise TritonUnavailable(f"{count} earlier inferences have not ended")
            call = object()
            self._payload_bytes[call] = payload_bytes
            return call

    def end(self, call: object) -> None:
        with self._changed:
            del self._payload_bytes[call]
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Until all have ended; False if they do not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._payload_bytes, timeout_s)
