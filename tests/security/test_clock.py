"""nginx, while its time of day leaps: libfaketime sets it, and leaves the clock alone that no kernel sets."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.security.conftest import Front, answer_of, wait_until
from tests.security.test_uploads import drip, sized, under_way

FrontWith = Callable[..., Front]
HOUR_S = 3600


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    """How far nginx's time of day is from the host's, in seconds."""
    found = tmp_path / "offset"
    found.write_text("+0")
    return found


@pytest.fixture
def environment(offset: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": "/clock/libfaketime.so.1",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


def hour_of(front: Front) -> int:
    """As nginx has it: in the header `Date`."""
    date = httpx.get(f"{front.base}/livez").headers["date"]
    return int(time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) // HOUR_S)


def leap(front: Front, offset: Path, seconds: int) -> None:
    before = hour_of(front)
    offset.write_text(f"{seconds:+d}")
    wait_until(lambda: hour_of(front) != before, what="another time of day")


def test_a_clock_set_forth_ends_no_upload(front_with: FrontWith, environment: dict[str, str], offset: Path) -> None:
    front = front_with(environment=environment, upload_stall_s=1, upload_timeout_s=60)
    with under_way(front, sized(20_000)) as (connection,):
        leap(front, offset, HOUR_S)
        for _ in range(20):  # 2 s: nginx looks twice
            connection.sendall(bytes(1000))
            time.sleep(0.1)
        assert json.loads(answer_of(connection).body)["size"] == 20_000


def test_a_clock_set_back_keeps_no_upload(front_with: FrontWith, environment: dict[str, str], offset: Path) -> None:
    front = front_with(environment=environment, upload_stall_s=3, upload_timeout_s=4)
    is_over = threading.Event()
    with under_way(front, sized(10**6)) as (connection,):
        dripping = threading.Thread(target=drip, args=(connection, 1000, is_over))  # fast enough
        dripping.start()
        leap(front, offset, -HOUR_S)
        response = answer_of(connection)
        is_over.set()
        dripping.join()
    assert response.problem() == "upload-too-slow"


def test_a_clock_set_back_keeps_no_key(front_with: FrontWith, environment: dict[str, str], offset: Path) -> None:
    front = front_with(environment=environment, require_key=True)
    keys, bearer = front.folder / "keys", {"Authorization": "Bearer cliplane_x"}

    def status() -> int:
        return httpx.post(f"{front.base}/v1/classify", content=b"v", headers=bearer).status_code

    keys.write_text(f"camera {hashlib.sha256(b'cliplane_x').hexdigest()} 4 10 interactive\n")
    wait_until(lambda: status() == 200, what="the key")
    leap(front, offset, -HOUR_S)
    keys.write_text("")
    wait_until(lambda: status() == 401, what="the key's end")
