"""Would this release do? What `host/upgrade` asks in the new web container, before it takes over.

It is waited for. Then: everything that `make doctor` looks at from inside, so a view by each way of handing over, and
one video from its upload to its labels. Prints what is wrong, a line each, and ends with 1 if something is.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cliplane.ops import doctor, tls, wait
from cliplane.paths import RUN, SPOOL
from cliplane.settings import Settings, read_settings

EXAMPLE = Path("/srv/static/example.mp4")
PATH = "/v1/classify?views=1"


class _ToLanes(http.client.HTTPConnection):
    """As nginx speaks to them."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(RUN / "lanes.sock"))


def classification(settings: Settings) -> Iterator[doctor.Finding]:
    """The example, through nginx; where that wants a key, which nobody has here, a lane gets it by hand."""
    status, answer = doctor.ask(PATH, EXAMPLE.read_bytes(), settings.request_timeout_s)
    if status == 401 and settings.require_key:
        status, answer = _by_hand(settings)
    wanted = "system_shm" if settings.shared_memory else "grpc"
    if status != 200:
        yield "FAIL", "classification", f"{status}: {answer.get('title')}: {answer.get('detail')}", "200", "make logs"
    elif not answer["predictions"] or answer["handoff"] != wanted:
        found = f"{len(answer['predictions'])} labels by {answer['handoff']}"
        yield "FAIL", "classification", found, f"labels by {wanted}", "make logs"


def _by_hand(settings: Settings) -> tuple[int, Any]:
    copy = SPOOL / "trial"
    copy.write_bytes(EXAMPLE.read_bytes())
    connection = _ToLanes("127.0.0.1", timeout=settings.request_timeout_s)
    try:
        connection.request("POST", PATH, headers={"X-Spool-Path": str(copy), "X-Request-ID": "trial"})
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()
        copy.unlink()


def main() -> None:
    try:
        wait.ready()
    except TimeoutError as exc:
        sys.exit(str(exc))
    settings = read_settings()
    wrong = False
    for part in (
        doctor.findings(settings),
        doctor.certificate(tls.pair()),
        doctor.round_trip(),
        classification(settings),
    ):
        for verdict, check, found, needed, _ in part:
            if verdict == "FAIL":
                wrong = True
                print(f"{check}: {found}; needed: {needed}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
