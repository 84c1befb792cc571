"""Which view gets all threads at once: the rule of the backend's engine (backends/openvino.cc), in Python."""

from __future__ import annotations

CLEARLY_SOONER = 0.8
"""Of the time in a stream: a single view must take less than this with all threads: what is nearer may be noise."""


def takes_all_threads(is_single_sooner: bool, in_work: int, waiting: int) -> bool:
    """Whether the first of the waiting views does: it is alone, and the model clearly sooner with all threads."""
    return is_single_sooner and in_work == 0 and waiting == 1
