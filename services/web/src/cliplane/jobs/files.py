"""The videos of jobs, on the volume: taken in whole and on the disk before their job is, and swept after it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from pathlib import Path
from typing import BinaryIO

from cliplane.decoder.media import Span
from cliplane.errors import CliplaneError, JobsFull, JobsUnavailable
from cliplane.paths import JOBS

ID = re.compile(r"[0-9a-f]{32}")

_CHUNK_BYTES = 2**20

ORPHAN_AGE_S = 3600.0
"""A file without a job that nobody has written to for so long: whoever took it in has died."""


def check_room(size: int, min_free_bytes: int, folder: Path = JOBS) -> None:
    """Raises:
    JobsFull: with so many bytes more the disk has less than its floor.
    """
    disk = os.statvfs(folder)
    left = disk.f_bavail * disk.f_frsize - size
    if left < min_free_bytes:
        raise JobsFull(f"{max(left, 0)} bytes would be left; CLIPLANE_JOBS_MIN_FREE_BYTES={min_free_bytes}")


def size(source: BinaryIO, span: Span | None) -> int:
    """Bytes of the video."""
    return span.end - span.start if span else os.fstat(source.fileno()).st_size


def take_in(source: BinaryIO, span: Span | None, id_: str, folder: Path = JOBS) -> str:
    """Copy a video to the volume, and wait until it is on the disk; returns its SHA-256.

    Raises:
        JobsFull: the disk is; JobsUnavailable: the volume cannot be written.
    """
    start, end = span or (0, os.fstat(source.fileno()).st_size)
    videos = folder / "videos"
    path = videos / id_
    digest = hashlib.sha256()
    try:
        videos.mkdir(exist_ok=True)
        with path.open("xb") as file:
            if end > start:
                os.posix_fallocate(file.fileno(), 0, end - start)  # a full disk is told before anything is copied
            source.seek(start)
            left = end - start
            while left and (chunk := source.read(min(_CHUNK_BYTES, left))):
                digest.update(chunk)
                file.write(chunk)
                left -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        _sync(videos)
    except OSError as exc:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobsFull("the volume of jobs is full") from exc
        raise JobsUnavailable(f"/jobs: {os.strerror(exc.errno or 0)}") from exc  # no volume, or a broken disk
    return digest.hexdigest()


def open_video(id_: str, folder: Path = JOBS) -> BinaryIO:
    """A job's video, to be read.

    Raises:
        CliplaneError: it is not there, which is a mistake of ours or the operator's.
    """
    try:
        return (folder / "videos" / id_).open("rb")
    except FileNotFoundError:
        raise CliplaneError("the job's video is no more on the volume") from None


def remove(id_: str, folder: Path = JOBS) -> None:
    (folder / "videos" / id_).unlink(missing_ok=True)


def sweep(needed: set[str], folder: Path = JOBS) -> list[str]:
    """Remove the videos that no job needs and nobody is taking in; returns their ids."""
    swept = []
    if (folder / "videos").is_dir():
        for file in (folder / "videos").iterdir():
            if file.name not in needed and time.time() - file.stat().st_mtime > ORPHAN_AGE_S:
                file.unlink(missing_ok=True)
                swept.append(file.name)
    return sorted(swept)


def _sync(folder: Path) -> None:
    """A file's name is on the disk when its folder is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
