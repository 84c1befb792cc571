"""How many requests that may last for hours are let in: one fewer than there are lanes, so that one stays for the rest.

Each holds the lock of a file while it lasts. The kernel lets go of it whatever becomes of the lane.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cliplane.errors import NoLaneForLong
from cliplane.kernel import locks
from cliplane.paths import RUN


@contextlib.contextmanager
def admitted(lanes: int, folder: Path = RUN) -> Iterator[None]:
    """For as long as the request lasts.

    Raises:
        NoLaneForLong: as many as may are here, or there is one lane only.
    """
    for number in range(lanes - 1):
        fd = os.open(folder / f"long-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if locks.is_taken(fd):
                continue
            yield
            return
        finally:
            os.close(fd)
    raise NoLaneForLong(
        f"{lanes - 1} long requests are here, and one lane stays for the others; CLIPLANE_LANES={lanes}"
    )
