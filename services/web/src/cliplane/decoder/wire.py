"""What a lane and its decoder say to each other: one message a packet, JSON, over a pair of sockets.

Both sides import this room, so it imports neither. A lane believes nothing of what it reads: a hostile video may have
taken over the decoder. `Transcript` holds the reports of a job to what they may be.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from cliplane.decoder.media import Limits, Span
from cliplane.errors import (
    CliplaneError,
    DecoderOutOfMemory,
    DecoderOutOfThreads,
    OverLimit,
    UndecodableVideo,
    UnsupportedCodec,
)
from cliplane.policy.sampling import Sampling

PACKET_BYTES = 65536
"""Most of one message; a longer one is cut off, and then no message at all."""

DETAIL_LENGTH = 300

_MAX_DOUBTS = 16
"""Beside one for each view."""

MAX_GAPS = 16
"""Doubts about windows without a sound frame, one for those that follow one another; later ones are not told."""

_CAN_SAY: tuple[type[CliplaneError], ...] = (
    UndecodableVideo,
    UnsupportedCodec,
    OverLimit,
    DecoderOutOfMemory,
    DecoderOutOfThreads,
    CliplaneError,
)
FAULTS = {error.type: error for error in _CAN_SAY}
"""What a decoder may say is wrong. It has no word in anything else: not in Triton's state, not in the query."""

Size = Annotated[int, Meta(ge=1, le=2**20)]
Count = Annotated[int, Meta(ge=1, le=2**53)]
Seconds = Annotated[float, Meta(ge=-1e9, le=1e9)]


class Sliding(Struct, frozen=True):
    """Windows over the whole video (`windows.py`) instead of views: window k into slot k mod `slots`, and only once
    there is credit for it."""

    stride_s: float
    window_s: float | None
    slots: int
    max_windows: int
    max_overlap: int


class Cut(Struct, frozen=True):
    """One more model's views of the same video: its sampling, and where in the region they begin, in bytes."""

    sampling: Sampling
    offset: int


class Job(Struct, frozen=True, tag="job"):
    """A lane's order: the views of the open file that comes with it. `threads` of the decoder may work at once, for
    `cpu_s` in all; where windows slide, from each credit to the next. `others`: of several models all but the first."""

    span: Span | None
    sampling: Sampling
    limits: Limits
    threads: int
    coarse_to_fine: bool
    cpu_s: float
    sliding: Sliding | None = None
    others: tuple[Cut, ...] = ()


class Credit(Struct, frozen=True, tag="credit"):
    """A lane's order in the middle of a job: the slots of all windows below this may be written. At first those of as
    many as there are slots."""

    windows: int


class Stop(Struct, frozen=True, tag="stop"):
    """A lane's order in the middle of a job: end it after the frame in hand."""


class Orientation(Struct, frozen=True):
    """How the stored pictures become the displayed ones: mirrored left to right, then turned by degrees clockwise."""

    rotate: Literal[0, 90, 180, 270]
    mirror: bool


class Facts(Struct, frozen=True):
    """What the file is; its fields are those of `video` in an answer."""

    codec: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}$")]  # FFmpeg's name
    width: Size
    height: Size
    orientation: Orientation
    fps: Annotated[float, Meta(ge=0, le=1e9)]
    rate_source: Literal["header", "packets", "assumed"]
    frames: Count
    duration_s: Annotated[float, Meta(ge=0, le=1e9)]


class Video(Struct, frozen=True, tag="video", omit_defaults=True):
    """The first report: the file is open, and so many views will come; `others`: of each of the job's others."""

    views: Count
    facts: Facts
    others: tuple[Count, ...] = ()


DoubtKind = Literal[
    "rate-contradicted",
    "rate-assumed",
    "duration-contradicted",
    "late-start",
    "clock-leapt",
    "pause",
    "ends-early",
    "damaged",
    "view-left-out",
]


class Doubt(Struct, frozen=True, tag="doubt"):
    """Something in the file was doubtful: a warning of the answer."""

    kind: DoubtKind
    detail: str


class Effort(Struct, frozen=True):
    """What was done until now; its fields are those of `video` in an answer, too. `damage`: the part of the frames that
    views need that was lost."""

    frames_decoded: Count
    damage: Annotated[float, Meta(ge=0, le=1)]


class View(Struct, frozen=True, tag="view", omit_defaults=True):
    """This view, by its place in time, is whole; it lies behind those reported before it. `model`: the first is 0."""

    view: Annotated[int, Meta(ge=0)]
    start_s: Seconds
    end_s: Seconds
    effort: Effort
    model: Annotated[int, Meta(ge=0)] = 0


class LeftOut(Struct, frozen=True, tag="left_out", omit_defaults=True):
    """No frame of this view could be decoded: there is one view fewer."""

    view: Annotated[int, Meta(ge=0)]
    model: Annotated[int, Meta(ge=0)] = 0


class End(Struct, frozen=True, tag="end"):
    """The last report of a job: all views are there, or the job was stopped."""

    effort: Effort


class Fault(Struct, frozen=True, tag="fault"):
    """The last report of a job that failed; `where` in our own code, where that is to blame."""

    error: str  # a type of FAULTS
    detail: str
    where: str = ""


Order = Job | Credit | Stop
Report = Video | Doubt | View | LeftOut | End | Fault


class Nonsense(Exception):
    """A decoder's packet that is none of its reports, or not one that may come now."""


def encode(message: Order | Report) -> bytes:
    """The packet of a message."""
    return msgspec.json.encode(message)


def read_order(packet: bytes) -> Order:
    """For the decoder, which believes its lane."""
    return _ORDERS.decode(packet)


class Transcript:
    """The reports of one job, as far as they have come."""

    def __init__(self, job: Job) -> None:
        self._codecs = job.limits.codecs.split(",")
        self._max_views = job.sampling.views if job.sliding is None else job.sliding.max_windows
        self._credit = None if job.sliding is None else job.sliding.slots
        self._others = [cut.sampling.views for cut in job.others]
        self._missing: set[tuple[int, int]] | None = None  # (model, view) to come; None before the video
        self._next = 0  # where windows slide, which comes in the order of time
        self._doubts = 0
        self._is_stopped = False
        self.is_over = False

    def stop(self) -> None:
        """From now on the end may come before all views have."""
        self._is_stopped = True

    def credit(self, windows: int) -> None:
        """From now on the windows below this may come."""
        self._credit = windows

    def read(self, packet: bytes) -> Report:
        """The report in a packet; the detail of a doubt or a fault is cleaned and cut.

        Raises:
            Nonsense: naming nothing of the packet.
        """
        if self.is_over:
            raise Nonsense("a report after the last")
        try:
            report = _REPORTS.decode(packet)
        except msgspec.MsgspecError as exc:
            raise Nonsense("no report") from exc
        match report:
            case Video():
                self._open(report)
            case View():
                if report.start_s > report.end_s:
                    raise Nonsense("a view out of turn")
                self._take(report.model, report.view)
            case LeftOut():
                self._take(report.model, report.view)
            case Doubt():
                self._doubts += 1
                views = self._max_views + sum(self._others) if self._credit is None else MAX_GAPS
                if self._missing is None or self._doubts > _MAX_DOUBTS + views:
                    raise Nonsense("a doubt out of turn")
                report = Doubt(report.kind, _clean(report.detail))
            case End():
                if self._missing is None or (self._missing and not self._is_stopped):
                    raise Nonsense("an end out of turn")
                self.is_over = True
            case Fault():
                if report.error not in FAULTS:
                    raise Nonsense("an unknown fault")
                self.is_over = True
                report = Fault(report.error, _clean(report.detail), _clean(report.where))
        return report

    def _open(self, video: Video) -> None:
        if self._missing is not None or video.views > self._max_views or video.facts.codec not in self._codecs:
            raise Nonsense("a video out of turn")
        if len(video.others) != len(self._others) or any(
            views > most for views, most in zip(video.others, self._others, strict=True)
        ):
            raise Nonsense("a video out of turn")
        counts = enumerate((video.views, *video.others))
        self._missing = {(model, view) for model, count in counts for view in range(count)}

    def _take(self, model: int, view: int) -> None:
        if self._missing is None or (model, view) not in self._missing:
            raise Nonsense("a view out of turn")
        if self._credit is not None and (view != self._next or view >= self._credit):
            raise Nonsense("a window out of turn")
        self._next += 1
        self._missing.remove((model, view))


def _clean(text: str) -> str:
    """Of one line, of printable ASCII, of bounded length."""
    return re.sub(r"[^ -~]", "?", text[:DETAIL_LENGTH])


_ORDERS: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_REPORTS: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)
