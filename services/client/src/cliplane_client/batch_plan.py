"""What a batch has to do: its videos, the part of one shard, and what is done already.

Reads folders and manifests, and sends nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliplane_client.errors import ClientError

SUFFIXES = frozenset(
    (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "vob", "flv", "wmv", "asf"),
        *("ogv", "ogg", "mxf", "dv", "h264", "264", "hevc", "265", "ivf", "y4m", "gif"),
    )
)
"""Of the files that are taken from a folder; a manifest may name any."""

AGAIN = frozenset(
    ("unreadable", "decoder-out-of-memory", "decoder-out-of-threads", "no-answer", "lane-died", "out-of-time")
)
"""Errors that another run may not meet: their rows are made anew."""


class WrongBatch(ClientError):
    """The folder, the manifest or the shard is none."""


@dataclass(frozen=True, slots=True)
class Item:
    """A video. `id` is its row's; `path`: on this machine, None where only the server has it (`server_path`). `error`:
    why it is none, of a line of a manifest that says nothing."""

    id: str
    path: Path | None = None
    server_path: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th of `count` parts, from 0 on."""

    index: int = 0
    count: int = 1

    def has(self, id_: str) -> bool:
        digest = hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index


def shard(text: str) -> Shard:
    """`i/n`, from `0/n` to `n-1/n`.

    Raises:
        WrongBatch: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise WrongBatch(f"--shard {text}: i/n, from 0/n to n-1/n")
    return Shard(int(match[1]), int(match[2]))


def items(source: Path, server_root: Path | None) -> list[Item]:
    """The videos of a folder, by name, or the lines of a manifest, in order.

    Raises:
        WrongBatch: it is neither.
    """
    if source.is_dir():
        return [_item(name, source / name, server_root) for name in _files(source)]
    try:
        lines = source.read_bytes().splitlines()
    except OSError as exc:
        raise WrongBatch(f"{source}: {exc.strerror}") from exc
    return list(_listed(lines, source.parent, server_root))


def _files(folder: Path) -> list[str]:
    found = []
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            if name.rpartition(".")[2].lower() in SUFFIXES and not name.startswith("."):
                found.append(os.path.relpath(os.path.join(path, name), folder))  # noqa: PTH118
    return sorted(found)


def _listed(lines: Iterable[bytes], folder: Path, server_root: Path | None) -> Iterator[Item]:
    seen = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        item = _line(line, folder, server_root)
        if isinstance(item, str) or item.id in seen:
            reason = item if isinstance(item, str) else f"an earlier line has the id {item.id!r}"
            item = Item(f"line {number}", error=reason)
        seen.add(item.id)
        yield item


def _line(line: bytes, folder: Path, server_root: Path | None) -> Item | str:
    """A line's video, or why it has none."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return "the line is not JSON"
    if not isinstance(told, dict):
        return "the line is no JSON object"
    values = {name: told.get(name) for name in ("id", "path", "server_path")}
    if any(value is not None and (not isinstance(value, str) or not value) for value in values.values()):
        return "id, path and server_path are texts"
    path, server_path = values["path"], values["server_path"]
    if (path is None) == (server_path is None):
        return "a line has either path or server_path"
    id_ = values["id"] or path or server_path
    if path is not None:
        return _item(str(id_), folder / path, server_root)
    return Item(str(id_), server_path=server_path)


def _item(id_: str, path: Path, server_root: Path | None) -> Item:
    if server_root is None:
        return Item(id_, path)
    try:
        return Item(id_, path, str(path.resolve().relative_to(server_root.resolve())))
    except ValueError:
        return Item(id_, path)  # not there where the server sees it: it is sent


def stamp(item: Item) -> dict[str, Any]:
    """What tells that a file has changed since: its size and time; of the server's own nothing is known here.

    Raises:
        OSError: there is no such file.
    """
    if item.path is None:
        return {}
    status = item.path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def is_done(row: dict[str, Any], item: Item | None) -> bool:
    """Whether a row of an earlier run is the answer for this video as it is now; one of a video that is no more in the
    batch stays."""
    error = row.get("error")
    if isinstance(error, dict) and error.get("type") in AGAIN:
        return False
    if not isinstance(row.get("result"), dict) and not isinstance(error, dict):
        return False
    if item is None or item.error:
        return True
    try:
        return all(row.get(name) == value for name, value in stamp(item).items())
    except OSError:
        return True  # it was there once, and its answer is


def sha256(path: Path) -> str:
    """Raises:
    OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
