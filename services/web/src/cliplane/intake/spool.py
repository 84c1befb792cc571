"""The spool: where nginx writes uploads to. How large it may be, and whether there is room.

nginx keeps the account (`uploads.lua`): a request is charged for what it promises to send, or the most it may where it
says no length, until its answer. It tells the sum to the control plane with each question.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from cliplane.errors import ClientGone, SpoolFilling
from cliplane.paths import SPOOL
from cliplane.settings import Settings

SHARE = 0.8
"""Of the free space, where CLIPLANE_SPOOL_BYTES says nothing: the disk is not the spool's alone."""


def budget_bytes(spool: Path = SPOOL) -> int:
    """What uploads may fill where nothing is set; for a start, when none is under way: what lies there will go."""
    disk = os.statvfs(spool)
    left_over = sum(entry.stat().st_size for entry in os.scandir(spool) if entry.is_file())
    return int(SHARE * (disk.f_bavail * disk.f_frsize + left_over))


def floor_bytes(settings: Settings) -> int:
    """Room for an upload of each lane; with less, the stack says that it is not ready."""
    return settings.lanes * settings.max_upload_bytes


def check_room(settings: Settings, promised_bytes: int, spool: Path = SPOOL) -> None:
    """Whether each lane's next upload has room.

    Raises:
        SpoolFilling: in the budget or on the disk it has not.
    """
    disk = os.statvfs(spool)
    left = min(settings.spool_bytes - promised_bytes, disk.f_bavail * disk.f_frsize)
    if left < floor_bytes(settings):
        raise SpoolFilling(f"{left} bytes are left; an upload of each lane needs {floor_bytes(settings)}")


def open_upload(path: str) -> BinaryIO:
    """A body, to be read.

    Raises:
        ClientGone: nginx has taken it away, as it does when the client leaves.
    """
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise ClientGone from None


def whole_uploads(spool: Path = SPOOL) -> int:
    """How many requests are here whose body is whole: `uploads.lua` lets the group read their files."""
    whole = 0
    with os.scandir(spool) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # its request has just ended
                whole += entry.is_file() and bool(entry.stat().st_mode & stat.S_IRGRP)
    return whole
