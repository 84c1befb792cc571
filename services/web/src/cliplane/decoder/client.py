"""The lane's side of the decoder child: starts it, gives it one job at a time, ends it.

Speaks only to the pipes. A decoder that has not reported the end of its job is never used again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import structlog

from cliplane.errors import CliplaneError, DecoderCrashed, by_type
from cliplane.region import Region

log = structlog.get_logger()

Report = dict[str, Any]


class Decoder:
    """One child process; `fileno()` is readable when `reports()` has something to say."""

    def __init__(self, region: Region, memory_bytes: int) -> None:
        arguments = [str(region.fd), str(region.byte_size), str(memory_bytes)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "cliplane.decoder", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries write there quotes the file
            pass_fds=[region.fd],
            env={"PATH": os.environ.get("PATH", "")},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._unread = b""
        self.jobs = 0
        self.busy = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._stdout.fileno()

    def start(self, job: dict[str, Any]) -> None:
        """Give it a job.

        Raises:
            DecoderCrashed: it is dead.
        """
        self.jobs += 1
        self.busy = True
        try:
            self._stdin.write(json.dumps(job).encode() + b"\n")
            self._stdin.flush()
        except OSError as exc:
            raise DecoderCrashed("it was not there") from exc

    def reports(self) -> list[Report]:
        """What it has reported since; does not wait.

        Raises:
            DecoderCrashed: it died in the middle of the job.
            CliplaneError: what it found wrong with the file.
        """
        data = os.read(self._stdout.fileno(), 65536)
        if not data:
            raise DecoderCrashed(self._cause_of_death())
        *lines, self._unread = (self._unread + data).split(b"\n")
        reports: list[Report] = []
        for line in lines:
            report = json.loads(line)
            if report["event"] in ("end", "error"):
                self.busy = False
            if report["event"] == "error":
                raise _error(report)
            reports.append(report)
        return reports

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it now and wait for its end: after this nothing writes to the region."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()
        self.busy = False

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"


def _error(report: Report) -> CliplaneError:
    if "where" in report:
        log.error("decoder_failed", where=report["where"])
    return by_type(report["type"])(report["detail"])
