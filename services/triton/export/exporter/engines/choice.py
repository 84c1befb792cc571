"""Which engine is chosen. Pure: numbers in, a name and a sentence out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

REFERENCE = "pytorch"
MIN_AGREEMENT = 0.99


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine that ran."""

    engine: str
    latency_ms: float  # batch 1, median
    batch_ms_per_view: float  # a full batch, median
    agreement: float  # part of the clips whose top class is PyTorch's in float32


@dataclass(frozen=True, slots=True)
class Choice:
    """`engine` is None where nothing that can be served is good enough; `faster` are those that cannot be served."""

    engine: str | None
    sentence: str
    faster: tuple[str, ...] = ()


def choose(measured: Sequence[Measured], served: Collection[str]) -> Choice:
    """The fastest at batch 1 of those that can be served, answer as PyTorch does, and are not slower than PyTorch:
    neither at batch 1 nor at the full batch."""
    reference = next((one for one in measured if one.engine == REFERENCE), None)
    if reference is None:
        return Choice(None, "PyTorch itself did not run: there is nothing to compare with")

    def is_good(one: Measured) -> bool:
        return (
            one.engine != REFERENCE
            and one.agreement >= MIN_AGREEMENT
            and one.latency_ms <= reference.latency_ms
            and one.batch_ms_per_view <= reference.batch_ms_per_view
        )

    good = sorted(filter(is_good, measured), key=lambda one: one.latency_ms)
    chosen = next((one for one in good if one.engine in served), None)
    if chosen is None:
        sentence = f"none that can be served agrees with PyTorch ({MIN_AGREEMENT:.0%}) and is as fast"
        return Choice(None, sentence, tuple(one.engine for one in good))
    faster = tuple(one.engine for one in good if one.latency_ms < chosen.latency_ms)
    ratio = reference.latency_ms / chosen.latency_ms
    return Choice(chosen.engine, f"{chosen.engine}, {ratio:.1f} times as fast as PyTorch", faster)
