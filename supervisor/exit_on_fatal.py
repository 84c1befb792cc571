"""Supervisor's event listener: logs every change of a process's state, and ends the container when one is FATAL.

A supervisor whose dead child leaves the container "healthy" hides the failure; Docker's restart policy mends it.
Protocol: http://supervisord.org/events.html#event-listener-notification-protocol
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import sys


def fields(line: str) -> dict[str, str]:
    """`a:1 b:2` as a mapping."""
    return dict(pair.split(":", 1) for pair in line.split())


def main() -> None:
    while True:
        print("READY", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        header = fields(line)
        event = fields(sys.stdin.read(int(header["len"])))
        state = header["eventname"].removeprefix("PROCESS_STATE_")
        record = {
            "event": "process_state",
            "process": "supervisor",
            "level": "critical" if state == "FATAL" else "info",
            "name": event["processname"],
            "state": state,
            "expected": event.get("expected"),
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
        }
        print(json.dumps(record), file=sys.stderr, flush=True)
        if state == "FATAL":
            os.kill(os.getppid(), signal.SIGTERM)
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
