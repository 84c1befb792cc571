"""The lane's side of the decoder child: starts it, gives it one job at a time, ends it.

Speaks only to the pipes. A decoder that has not reported the end of its job is never used again.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from cliplane.decoder.wire import STOP
from cliplane.errors import CliplaneError, DecoderCrashed, DecodeTimeout, by_type
from cliplane.region import Region

log = structlog.get_logger()

Report = dict[str, Any]

SPOOL = Path("/spool")
"""Where nginx puts the uploads: `client_body_temp_path` in nginx.conf."""

COMMAND = [sys.executable, "-I", "-m", "cliplane.decoder"]


class Decoder:
    """One child process; `fileno()` is readable when `reports()` has something to say."""

    def __init__(self, region: Region, memory_bytes: int) -> None:
        arguments = [str(region.fd), str(region.byte_size), str(memory_bytes), str(SPOOL)]
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries write there quotes the file
            pass_fds=[region.fd],
            # Each arena of the C library reserves 64 MiB of address space, and by default each thread may have its own.
            env={"PATH": os.environ.get("PATH", ""), "MALLOC_ARENA_MAX": "2"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._unread = b""
        self.jobs = 0
        self.busy = False
        self._stopping = False

    def fileno(self) -> int:
        return self._stdout.fileno()

    def start(self, job: dict[str, Any]) -> None:
        """Give it a job.

        Raises:
            DecoderCrashed: it is dead.
        """
        self.jobs += 1
        self.busy = True
        self._write(json.dumps(job))

    def stop(self) -> None:
        """End the job under way after the frame in hand, without waiting; then `settle`.

        Raises:
            DecoderCrashed: it is dead.
        """
        self._write(STOP)
        self.busy, self._stopping = False, True

    def settle(self, timeout_s: float) -> bool:
        """Wait until a stopped job has ended; False if it does not, or has killed the decoder."""
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self], [], [], left)[0]:
                return False
            try:
                self.reports()
            except DecoderCrashed:
                return False
            except CliplaneError:
                pass  # a fault in a file that nobody asks for any more
        return self.is_alive()

    def reports(self) -> list[Report]:
        """What it has reported since; does not wait.

        Raises:
            DecoderCrashed: it died in the middle of the job.
            DecodeTimeout: it used up its CPU time.
            CliplaneError: what it found wrong with the file.
        """
        data = os.read(self._stdout.fileno(), 65536)
        if not data:
            code = self._process.wait()
            if -code == signal.SIGXCPU:
                raise DecodeTimeout("CPU time; CLIPLANE_REQUEST_TIMEOUT_S")
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
            raise DecoderCrashed(how)
        *lines, self._unread = (self._unread + data).split(b"\n")
        reports: list[Report] = []
        for line in lines:
            report = json.loads(line)
            if report["event"] in ("end", "error"):
                self.busy = self._stopping = False
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

    def _write(self, line: str) -> None:
        try:
            self._stdin.write(line.encode() + b"\n")
        except OSError as exc:
            raise DecoderCrashed("it was not there") from exc


def _error(report: Report) -> CliplaneError:
    if "where" in report:
        log.error("decoder_failed", where=report["where"])
    return by_type(report["type"])(report["detail"])
