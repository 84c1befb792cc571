"""A video as the body of a request: read piece by piece, whatever its size."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ServerPath:
    """A video that the server has: a path beneath its MEDIA_ROOT. Nothing is uploaded."""

    path: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A video that a job has answered for: the SHA-256 of its bytes, in hexadecimal. Nothing is uploaded. Where the
    server knows no answer to just this question, the error is `UnknownDigest`."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A video that has been uploaded whole, by tus."""

    id: str


Named = ServerPath | Digest | Uploaded
"""What is sent as a few bytes of JSON."""


def digest(path: Path) -> Digest:
    """Raises:
    OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


Source = Path | str | bytes | Named


def headers(source: Source) -> dict[str, str]:
    """What the body is, and how long."""
    if isinstance(source, Named):
        return {"Content-Type": "application/json", "Content-Length": str(len(_named(source)))}
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    return {"Content-Type": "application/octet-stream", "Content-Length": str(size)}


def _named(source: Named) -> bytes:
    match source:
        case ServerPath(path):
            return json.dumps({"path": path}).encode()
        case Digest(sha256):
            return json.dumps({"sha256": sha256}).encode()
        case Uploaded(id_):
            return json.dumps({"upload": id_}).encode()


def opened(source: Source) -> BinaryIO:
    if isinstance(source, Named):
        return io.BytesIO(_named(source))
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def chunks(body: BinaryIO, sent: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """`sent` is told how many bytes are on their way so far."""
    while chunk := body.read(CHUNK_BYTES):
        yield chunk
        sent(body.tell())  # asked for the next one: this one is gone


@asynccontextmanager
async def async_opened(source: Source) -> AsyncIterator[AsyncIterator[bytes]]:
    with opened(source) as body:

        async def pieces() -> AsyncIterator[bytes]:
            for chunk in chunks(body):
                yield chunk

        yield pieces()
