"""The media root: a folder of the host, mounted read-only, whose videos a request may name instead of sending them.

Owns the way from a client's path to an open file beneath the root, and to no other. The folder is walked by descriptor,
one name after another, and no link is followed: as openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS has it, but
on every kernel and below every seccomp filter (ADR 31).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from cliplane.errors import CliplaneError, NoMediaRoot, NotARegularFile, PathNotFound, PathOutside, PathUnreadable
from cliplane.paths import MEDIA

MAX_PATH_BYTES = 4096
"""As PATH_MAX of Linux."""


def open_media(path: str, root: Path = MEDIA) -> BinaryIO:
    """The regular file of this relative path, to be read.

    Raises:
        NoMediaRoot: the operator has given none.
        PathOutside: the path is absolute, goes up, or passes a link.
        PathNotFound, PathUnreadable, NotARegularFile: what is there, if anything.
    """
    names = _names(path)
    try:
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NoMediaRoot("MEDIA_ROOT") from None
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, folder)
        try:
            for name in names[:-1]:
                folder = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                opened.callback(os.close, folder)
                _check(folder, stat.S_ISDIR, PathNotFound("a name on the way is that of no folder"))
            return _open_file(names[-1], folder)
        except (FileNotFoundError, NotADirectoryError):
            raise PathNotFound("there is no such file beneath MEDIA_ROOT") from None
        except PermissionError:
            raise PathUnreadable("uid 10002 and gid 10000 may not read it") from None
        except OSError as exc:  # a mount that went stale, a disk that fails
            raise PathUnreadable(f"the file system says {os.strerror(exc.errno or 0)}") from exc


def _names(path: str) -> list[str]:
    names = path.split("/")
    try:
        path.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        raise PathNotFound("a path is UTF-8") from None
    if not path or "\0" in path or len(path.encode()) > MAX_PATH_BYTES:
        raise PathNotFound("a path has 1 to 4096 bytes, and none of them is 0")
    if path.startswith("/") or ".." in names:
        raise PathOutside("a path is relative to MEDIA_ROOT and does not go up")
    if not (names := [name for name in names if name not in ("", ".")]) or path.endswith("/"):
        raise NotARegularFile("it is a folder's path")
    if any(len(name.encode()) > 255 for name in names):
        raise PathNotFound("a name has at most 255 bytes")
    return names


def _open_file(name: str, folder: int) -> BinaryIO:
    # First without opening it: to open a device or a fifo has effects of its own, or waits.
    seen = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        _check(seen, stat.S_ISREG, NotARegularFile("it is a folder, a device, a fifo or a socket"))
    finally:
        os.close(seen)
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Whoever writes to the folder may have put something else in its place.
        _check(file, stat.S_ISREG, NotARegularFile("it is a folder, a device, a fifo or a socket"))
    except BaseException:
        os.close(file)
        raise
    return os.fdopen(file, "rb")


def _check(fd: int, is_right: Callable[[int], bool], otherwise: CliplaneError) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISLNK(mode):
        raise PathOutside("the path passes a symbolic link")
    if not is_right(mode):
        raise otherwise
