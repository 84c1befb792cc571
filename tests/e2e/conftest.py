"""Against a running stack, over HTTP alone: its address is BASE. Imports nothing of Cliplane."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A client of a stack that is ready, or will be in `READY_WITHIN_S`: by default it must be there at once."""
    with httpx.Client(base_url=os.environ.get("BASE", "http://127.0.0.1:8080"), timeout=60) as client:
        deadline = time.monotonic() + float(os.environ.get("READY_WITHIN_S", "0"))
        while True:
            last: object
            try:
                response = client.get("/readyz")
            except httpx.TransportError as exc:
                last = exc
            else:
                if response.status_code == 200:
                    break
                last = response.text
            if time.monotonic() > deadline:
                pytest.exit(f"{client.base_url} is not ready: {last}", returncode=1)
            time.sleep(0.2)
        yield client


def real_videos() -> list[Path]:
    """Clips from a camera, where there are any beside the checkout."""
    folder = Path(os.environ.get("VIDEOS_DIR", "/videos"))
    return sorted(p for p in folder.glob("*") if p.suffix in (".mp4", ".mkv", ".mov"))
