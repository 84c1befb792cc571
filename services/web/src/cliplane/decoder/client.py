"""The lane's side of the decoder child: starts it, gives it one job at a time, ends it.

Speaks only to its socket (`wire.py`). A decoder that has not reported the end of its job is never used again, and one
that reported nonsense is ended.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import BinaryIO

import structlog

from cliplane.decoder import sandbox, wire
from cliplane.errors import CliplaneError, DecoderCrashed, DecoderOutOfMemory, DecodeTimeout, NotReady
from cliplane.kernel import memory
from cliplane.triton.region import Region

log = structlog.get_logger()

COMMAND = [sys.executable, "-I", "-m", "cliplane.decoder"]

_DEATH_S = 1.0
"""How long a decoder that has closed its socket may take to die of what closed it."""


class Decoder:
    """One child process; `fileno()` is readable when `report()` has something to say."""

    def __init__(self, reader: str, region: Region, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*COMMAND, reader, str(region.fd), str(region.byte_size), str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=[region.fd],
                env={"PATH": os.environ.get("PATH", ""), **sandbox.ENVIRONMENT},
            )
        self._transcript: wire.Transcript | None = None
        self.jobs = 0
        self.busy = False
        self._stopping = False
        self._oom_kills = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def start(self, job: wire.Job, file: BinaryIO) -> None:
        """Give it a job, and this file to read, and no other; the file is closed here.

        Raises:
            DecoderCrashed: it is dead.
        """
        with file:
            self.jobs += 1
            self.busy = True
            self._oom_kills = memory.oom_kills()
            self._transcript = wire.Transcript(job)
            try:
                socket.send_fds(self._socket, [wire.encode(job)], [file.fileno()])
            except OSError as exc:
                raise DecoderCrashed("it was not there") from exc

    def give_credit(self, windows: int) -> None:
        """The slots of all windows below this may be written.

        Raises:
            DecoderCrashed: it has not read what it was told long ago.
        """
        try:
            self._socket.send(wire.encode(wire.Credit(windows)), socket.MSG_DONTWAIT)
        except BlockingIOError as exc:  # one that waits for credit has read all that it had
            self.kill()
            raise DecoderCrashed("it does not take its orders") from exc
        except OSError:
            return  # it is dead: of what, `report` says
        if self._transcript is not None:
            self._transcript.credit(windows)

    def stop(self) -> None:
        """End the job under way after the frame in hand, without waiting; then `settle`.

        Raises:
            DecoderCrashed: it is dead.
        """
        try:
            self._socket.send(wire.encode(wire.Stop()), socket.MSG_DONTWAIT)
        except OSError as exc:
            raise DecoderCrashed("it was not there, or does not take its orders") from exc
        if self._transcript is not None:
            self._transcript.stop()
        self.busy, self._stopping = False, True

    def settle(self, timeout_s: float) -> bool:
        """Wait until a stopped job has ended; False if it does not, or has killed the decoder."""
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self], [], [], left)[0]:
                return False
            try:
                self.report()
            except DecoderCrashed:
                return False
            except CliplaneError:
                pass  # a fault in a file that nobody asks for any more
        return self.is_alive()

    def report(self) -> wire.Video | wire.Doubt | wire.View | wire.LeftOut | wire.End:
        """What it says next; waits until it does.

        Raises:
            DecoderCrashed: it died in the middle of the job, or what it said was no report.
            DecoderOutOfMemory: it ran out of memory, by itself or with the container.
            DecodeTimeout: it used up its CPU time.
            CliplaneError: what it found wrong with the file.
        """
        try:
            packet = self._socket.recv(wire.PACKET_BYTES)
        except ConnectionResetError:  # it died with a job unread
            packet = b""
        if not packet:
            raise self._cause_of_death()
        report = self._read(packet)
        if isinstance(report, wire.Fault):
            if report.where:
                log.error("decoder_failed", where=report.where)
            error = wire.FAULTS[report.error](report.detail)
            if isinstance(error, NotReady):
                self.kill()  # what it has left may be too little for the next video as well
            raise error
        return report

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def pause(self, *, is_paused: bool) -> None:
        """All its threads stand still, whatever they do, or go on."""
        self._process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def kill(self) -> None:
        """End it now and wait for its end: after this nothing writes to the region."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self.busy = False

    def _read(self, packet: bytes) -> wire.Report:
        try:
            if self._transcript is None:
                raise wire.Nonsense("a report without a job")
            report = self._transcript.read(packet)
        except wire.Nonsense as exc:
            log.error("decoder_talks_nonsense", detail=str(exc))
            self.kill()
            raise DecoderCrashed("what it reported makes no sense") from exc
        if self._transcript.is_over:
            self.busy = self._stopping = False
        return report

    def _cause_of_death(self) -> CliplaneError:
        """Of a decoder that has closed its socket, or has sent an empty packet, which looks the same."""
        try:
            code = self._process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return DecoderCrashed("it closed its socket")
        if -code == signal.SIGXCPU:
            return DecodeTimeout("CPU time; CLIPLANE_REQUEST_TIMEOUT_S")
        if -code == signal.SIGKILL and memory.oom_kills() > self._oom_kills:
            return DecoderOutOfMemory("the container's limit of memory")
        return DecoderCrashed(f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}")
