"""The steps of the check: each has a name and needs, and ends as measured, skipped or failed. Knows none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

NO_GPU = "no GPU"


class Skipped(Exception):
    """This step cannot be run here; its words say why."""


@dataclass(frozen=True, slots=True)
class Step:
    """`needs` are names of what must be there, e.g. "GPU"; `work` returns what was measured, as JSON has it."""

    name: str
    work: Callable[[], Any]
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """How one step ended. `found` is empty unless it was measured, `reason` unless it was not."""

    verdict: str
    found: Any = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0


def run(steps: Iterable[Step], missing: dict[str, str], say: Callable[[str], None]) -> dict[str, Result]:
    """Run each step that can be; `missing`: what is not there → why, e.g. {"GPU": "no GPU"}. One that fails stops
    none of the others."""
    results: dict[str, Result] = {}
    for step in steps:
        began = time.perf_counter()
        lacks = [missing[need] for need in step.needs if need in missing]
        try:
            if lacks:
                raise Skipped(lacks[0])
            result = Result("measured", step.work())
        except Skipped as why:
            result = Result("skipped", reason=str(why))
        except Exception as exc:
            # Whatever goes wrong on a host that nobody has seen is what the check is for.
            result = Result("failed", reason=" ".join(f"{type(exc).__name__}: {exc}".split())[:400])
        result.seconds = round(time.perf_counter() - began, 1)
        results[step.name] = result
        say(f"{step.name}: {result.verdict}{': ' * bool(result.reason)}{result.reason} ({result.seconds:g} s)")
    return results
