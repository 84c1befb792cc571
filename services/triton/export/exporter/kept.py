"""The weights that models were made from, kept in the cache: without them nothing could be compared any more."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from .folder import CannotInstall


def keep_weights(cache: Path, weights: Path) -> str:
    """Keep a copy, named by its digest, and give the digest. Official weights are in the cache already.

    Raises:
        CannotInstall: there is no room.
    """
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if weights.parent == cache or (cache / digest).exists():
        return digest
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            shutil.copyfile(weights, Path(folder) / digest).rename(cache / digest)
    except OSError as exc:
        raise CannotInstall(f"the weights cannot be kept in {cache}: {exc.strerror or exc}") from exc
    return digest


def kept_weights(cache: Path, digest: str, source: str) -> Path | None:
    """The file of this digest, if the cache has it."""
    for file in (cache / digest, cache / source.rpartition("/")[2]):
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            return file
    return None
