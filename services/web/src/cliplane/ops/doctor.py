"""What can only be seen from inside the web container: the part of `make doctor` that `host/doctor` asks here.

Prints a line a check, five fields apart by the ASCII unit separator.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cliplane.kernel import landlock
from cliplane.kernel.cpus import available_cpus, available_memory
from cliplane.ops import sizing, tls
from cliplane.paths import SPOOL
from cliplane.settings import MIB, Settings, read_settings
from cliplane.triton.region import SHM, TRITON_MARKER

GROUP = 10000
WEB = ("127.0.0.1", 8081)

Finding = tuple[str, str, str, str, str]


def findings(
    settings: Settings, shm: Path = SHM, marker: Path = TRITON_MARKER, spool: Path = SPOOL
) -> Iterator[Finding]:
    """(verdict, check, found, needed, command) of each check that needs no answer from a neighbour."""
    size = os.statvfs(shm)
    total, free = size.f_blocks * size.f_frsize // MIB, size.f_bavail * size.f_frsize // MIB
    lanes = sizing.sizes(settings, available_cpus(), available_memory(), size.f_blocks * size.f_frsize).lanes
    needed = sizing.shm_needed(lanes, settings.region_bytes) // MIB
    verdict = "ok" if total >= needed else "FAIL"
    yield (
        verdict,
        "/dev/shm",
        f"{total} MiB, {free} free",
        f"{needed} MiB for {lanes} lanes",
        f"make up SHM_SIZE={needed}m",
    )
    memory, min_memory = available_memory() // MIB, sizing.memory_needed(lanes, settings.region_bytes) // MIB
    yield (
        "ok" if memory >= min_memory else "warn",
        "memory of web",
        f"{memory} MiB",
        f"{min_memory} MiB for {lanes} lanes",
        f"make up CLIPLANE_LANES={max(1, lanes // 2)}",
    )
    mine = f"uid {os.getuid()}, gid {os.getgid()}"
    yield (
        "ok" if os.getgid() == GROUP else "FAIL",
        "user of web",
        mine,
        f"gid {GROUP}",
        "take `user` of web out of compose.yaml",
    )
    try:
        found = marker.lstat()
    except FileNotFoundError:
        command = "give web and triton the same /dev/shm in compose.yaml, then: make up"
        yield (
            "FAIL",
            "one /dev/shm",
            "Triton's marker is not in /dev/shm",
            "web and triton share /dev/shm",
            command,
        )
    else:
        age = f"Triton's marker is {time.time() - found.st_mtime:.0f} s old"
        yield "ok", "one /dev/shm", age, "", ""
        theirs = f"uid {found.st_uid}, gid {found.st_gid}"
        verdict = "ok" if found.st_gid == GROUP else "FAIL"
        yield verdict, "user of triton", theirs, f"gid {GROUP}", "take `user` of triton out of compose.yaml"
    known = landlock.version()
    found_walls = f"Landlock {known}" if known else "this kernel has no Landlock: decoders have one wall less"
    command = "a kernel of 5.13 or newer, with landlock in /sys/kernel/security/lsm"
    yield "ok" if known else "warn", "walls around decoders", found_walls, "Landlock", command
    disk = os.statvfs(spool)
    room, upload = disk.f_bavail * disk.f_frsize // MIB, settings.max_upload_bytes * (lanes + settings.queue) // MIB
    verdict = "ok" if room >= upload else "warn"
    command = "docker system prune, or make up CLIPLANE_MAX_UPLOAD_BYTES=…"
    yield verdict, "spool", f"{room} MiB are free", f"{upload} MiB if every upload is the largest", command


def certificate(pair: tls.Pair | None) -> Iterator[Finding]:
    """How long the certificate holds, where there is one."""
    if not pair:
        return
    left = int((pair.ends_at() - time.time()) // (24 * 3600))
    verdict = "ok" if left >= 14 else "warn" if left >= 0 else "FAIL"
    command = "renew it, then: make certificate"
    yield verdict, "certificate", f"{left} days are left", "14 days", command


def models() -> Iterator[Finding]:
    """Each model that is served. Which of them are missing the host knows, which has their folders."""
    try:
        served = ask("/version")[1]["models"]
    except OSError:
        return  # the round trip says so
    for name, version in served.items():
        yield "ok", f"model {name}", f"version {version} is ready", "", ""


def round_trip() -> Iterator[Finding]:
    """The answer of /readyz: one view by a shared region and by a gRPC message, equal to the bit."""
    try:
        status, response = ask("/readyz")
    except OSError as exc:
        yield "FAIL", "round trip", str(exc), "web answers", "make logs"
        return
    if status == 200:
        by = "shared memory and gRPC, equal to the bit" if response["handoff"] != "grpc" else "gRPC"
        yield "ok", "round trip", f"a view through {response['model']} by {by}", "", ""
    else:
        yield "FAIL", "round trip", f"{response['title']}: {response['detail']}", "/readyz is 200", "docs/problems.md"


def ask(path: str, body: bytes | None = None, timeout_s: float = 10) -> tuple[int, Any]:
    """The answer of this container's nginx, status and JSON; with a body, to a POST.

    Raises:
        OSError: there is none.
    """
    # Not urllib: it obeys the http_proxy that a Docker client's settings put into every container.
    connection = http.client.HTTPConnection(*WEB, timeout=timeout_s)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    except (http.client.HTTPException, ValueError) as exc:
        raise OSError(f"no HTTP and JSON: {exc!r}") from exc
    finally:
        connection.close()


def main() -> None:
    settings = read_settings()
    for part in (findings(settings), certificate(tls.pair()), models(), round_trip()):
        for row in part:
            print("\x1f".join(" ".join(field.split()) for field in row))


if __name__ == "__main__":
    main()
