"""The steps of a request, for a trace: begun and ended where they happen. Here they are nothing; where a collector is
named, `tracing.py` has the others. Pure, and in the way of every request: a call that does nothing is all it costs."""

from __future__ import annotations

from typing import Protocol

Value = str | int | float


class Step(Protocol):
    """A span of time, with a name, in another step or in none."""

    @property
    def traceparent(self) -> str:
        """It, as W3C's header names it to whoever is asked next; empty where nobody traces."""

    def begin(self, name: str, **attributes: Value) -> Step:
        """A step within this one, from now on."""

    def end(self, error: str = "", **attributes: Value) -> None:
        """It ends now; `error`: the type of what ended it. One that is never ended is not told of."""


class _NoStep:
    traceparent = ""

    def begin(self, name: str, **attributes: Value) -> Step:
        return self

    def end(self, error: str = "", **attributes: Value) -> None:
        pass


NO_STEP: Step = _NoStep()
"""Of a request that is not traced."""
