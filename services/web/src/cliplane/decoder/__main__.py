"""The decoder child: `python -m cliplane.decoder READER FD REGION_BYTES MEMORY_BYTES`.

Jobs come in and reports go out by the socket that is its standard input, as `wire.py` has them; a job comes with its
file, open. Its views go into the region behind FD, the k-th of the plan's order at k × view_bytes. MEMORY_BYTES is all
the address space it may have. It talks to nobody but its parent, and knows neither Triton nor HTTP.
"""

from __future__ import annotations

import _thread
import gc
import mmap
import os
import select
import socket
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplane.decoder import sandbox, wire
from cliplane.decoder.container import SHORTAGES, silence
from cliplane.decoder.doubts import DAMAGED, left_out
from cliplane.decoder.effort import check_damage, effort
from cliplane.decoder.many_writer import plan as plan_parts
from cliplane.decoder.many_writer import write_parts
from cliplane.decoder.pyav_reader import PyavReader
from cliplane.decoder.reader import Opener, load_reader
from cliplane.decoder.video import Reader, VideoInfo
from cliplane.decoder.window_writer import plan, write_windows
from cliplane.errors import CliplaneError, DecoderOutOfMemory, DecoderOutOfThreads, UndecodableVideo
from cliplane.policy.sampling import View, coarse_to_fine, crop_offset, plan_views, scaled_size

_SOCKET, _ERRORS = 0, 2


def decode(
    open_reader: Opener,
    job: wire.Job,
    file: int,
    memory: npt.NDArray[np.uint8],
    is_stopped: Callable[[], bool],
    has_credit: Callable[[int], bool] = lambda window: True,
) -> Iterator[wire.Report]:
    """Write the views of one job into `memory` (the region's bytes); yields the reports.

    Each frame is decoded and resized once, and copied from the resizer's buffer once for every view that shows it.
    """
    video = open_reader(file, job.span, job.limits, job.threads, job.sampling.frame_rate, job.sampling.pixels)
    try:
        if job.sliding is not None:
            windows = plan(video, job, job.sliding)
            yield wire.Video(windows.count, _facts(video.info))
            yield from video.doubts
            yield from write_windows(video, windows, job, memory, slots=job.sliding.slots, has_credit=has_credit)
            return
        if job.others:
            assert isinstance(video, PyavReader)  # a lane whose reader is another does not ask
            first, *others = parts = plan_parts(video, job, memory)
            yield wire.Video(len(first.views), _facts(video.info), tuple(len(part.views) for part in others))
            yield from video.doubts
            yield from write_parts(video, parts, job, is_stopped)
            return
        views = plan_views(video.info.frame_count, job.sampling)
        yield wire.Video(len(views), _facts(video.info))
        yield from video.doubts
        order = coarse_to_fine(len(views)) if job.coarse_to_fine else list(range(len(views)))
        yield from _write_views(video, {k: views[k] for k in order}, job, memory, is_stopped)
    finally:
        video.close()


def _facts(info: VideoInfo) -> wire.Facts:
    rotate: Any = 90 * info.orientation.quarter_turns
    return wire.Facts(
        codec=info.codec,
        width=info.width,
        height=info.height,
        orientation=wire.Orientation(rotate, info.orientation.is_mirrored),
        fps=round(info.fps, 3),
        rate_source=info.rate_source,
        frames=info.picture_count,
        duration_s=round(info.duration_s, 3),
    )


def _write_views(
    video: Reader,
    named: dict[int, View],
    job: wire.Job,
    memory: npt.NDArray[np.uint8],
    is_stopped: Callable[[], bool],
) -> Iterator[wire.Report]:
    """Decode view after view into the region's slots, until stopped; reports each when it is complete, in order.

    One that has no sound frame is left out, and those behind it move up.
    """
    sampling, names, views = job.sampling, list(named), list(named.values())
    shape = (len(views), sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
    region = memory[: len(views) * sampling.view_bytes].reshape(shape)
    width, height = scaled_size(video.info.width, video.info.height, sampling)
    shown: dict[int, list[tuple[int, int]]] = defaultdict(list)  # frame → (view, place in its clip)
    for k, view in enumerate(views):
        for t, number in enumerate(view.frames):
            shown[number].append((k, t))
    missing = [sampling.clip_length] * len(views)
    complete = written = 0
    is_damaged = False
    # `shown` is in the order of its first use: view by view.
    for number, frame in video.frames(list(shown), width, height):
        for k, t in shown[number]:
            x, y = crop_offset(width, height, views[k], sampling)
            region[k, t] = frame[y : y + sampling.crop_height, x : x + sampling.crop_width]
            missing[k] -= 1
        check_damage(video, len(shown), job.limits.max_damage)
        while complete < len(views) and missing[complete] == 0:
            frames = views[complete].frames
            start_s, end_s = (round(n / video.info.frame_rate, 3) for n in (frames[0], frames[-1] + 1))
            if not is_damaged and (video.lost or video.broken_packets):
                is_damaged = True
                yield DAMAGED
            if video.lost.issuperset(frames):
                yield left_out(start_s, end_s)
                yield wire.LeftOut(names[complete])
            else:
                if written != complete:
                    region[written] = region[complete]
                written += 1
                yield wire.View(names[complete], start_s, end_s, effort(video, len(shown)))
            complete += 1
        if is_stopped():
            break
    if not is_damaged and video.broken_packets:
        yield DAMAGED
    if complete and not written:
        raise UndecodableVideo("no frame that a view needs can be decoded")
    yield wire.End(effort(video, len(shown)))


def _report(report: wire.Report) -> None:
    os.write(_SOCKET, wire.encode(report))


def _has_input() -> bool:
    return bool(select.select([_SOCKET], [], [], 0)[0])


class _Credit:
    """How far the region's ring may be written, as the lane says in the middle of a job."""

    def __init__(self, orders: socket.socket, sliding: wire.Sliding, cpu_s: float) -> None:
        self._orders, self._cpu_s = orders, cpu_s
        self._windows = sliding.slots
        self._is_stopped = False

    def reaches(self, window: int) -> bool:
        """Waits until this window's slot may be written; False: the job is stopped."""
        while not self._is_stopped and (window >= self._windows or _has_input()):
            packet = self._orders.recvmsg(wire.PACKET_BYTES)[0]  # the walls have no recvfrom
            order = wire.read_order(packet) if packet else wire.Stop()
            if isinstance(order, wire.Credit):
                self._windows = order.windows
                sandbox.limit_cpu(self._cpu_s)  # the job goes on, however long it is
            else:
                self._is_stopped = True
        return not self._is_stopped


def _run(open_reader: Opener, job: wire.Job, file: int, memory: npt.NDArray[np.uint8], orders: socket.socket) -> None:
    """One job and its reports."""
    sandbox.limit_cpu(job.cpu_s)
    more = {} if job.sliding is None else {"has_credit": _Credit(orders, job.sliding, job.cpu_s).reaches}
    try:
        for report in decode(open_reader, job, file, memory, is_stopped=_has_input, **more):
            _report(report)
    except Exception as exc:
        _report(_fault(exc, job.threads))


def _fault(exc: Exception, threads: int) -> wire.Fault:
    """What the decoder was short of is told before what it then found wrong with the file; a mistake of ours with its
    place."""
    if any(isinstance(cause, SHORTAGES) for cause in _causes(exc)):
        if _can_start(2 * threads):  # as many as FFmpeg's own decoders get: pyav_reader.py
            return wire.Fault(DecoderOutOfMemory.type, "CLIPLANE_DECODER_MEMORY_BYTES")
        return wire.Fault(DecoderOutOfThreads.type, "the container's limit of processes")
    if isinstance(exc, CliplaneError):
        return wire.Fault(exc.type, exc.detail)
    where = f"{type(exc).__name__} at {traceback.extract_tb(exc.__traceback__)[-1]}"
    return wire.Fault(CliplaneError.type, "", where)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _can_start(threads: int) -> bool:
    """A library says either when it could not, and has given back the threads that it got. One with hardly a stack
    needs no memory to speak of."""
    gate = _thread.allocate_lock()

    def wait() -> None:
        with gate:
            pass

    _thread.stack_size(2**16)
    with gate:  # so that they are there together
        try:
            for _ in range(threads):
                _thread.start_new_thread(wait, ())
        except RuntimeError:
            return False
    return True


def main() -> None:
    fd, byte_size, memory_bytes = (int(argument) for argument in sys.argv[2:5])
    memory = np.frombuffer(mmap.mmap(fd, byte_size), np.uint8)
    open_reader = load_reader(sys.argv[1])
    silence()
    orders, nowhere = socket.socket(fileno=_SOCKET), os.open(os.devnull, os.O_WRONLY)
    sandbox.enter(memory_bytes)
    os.dup2(nowhere, _ERRORS)  # what libraries write there quotes the file
    gc.freeze()
    while True:
        packet, files, _, _ = socket.recv_fds(orders, wire.PACKET_BYTES, 1)
        if not packet:
            return
        order = wire.read_order(packet)
        if isinstance(order, wire.Job):  # a stop ended the job before it, or came too late for it
            _run(open_reader, order, files[0], memory, orders)
            # PyAV's containers and streams hold one another: until the next collection, so would they FFmpeg's threads
            # and their frames.
            gc.collect()
            os.close(files[0])


if __name__ == "__main__":
    main()
