"""What a job has cost until now, and whether too much of the file is lost. Pure."""

from __future__ import annotations

from cliplane.decoder import wire
from cliplane.decoder.video import Reader
from cliplane.errors import UndecodableVideo


def effort(video: Reader, needed: int) -> wire.Effort:
    """Of a job that needs so many frames."""
    return wire.Effort(video.decoded, round(len(video.lost) / needed, 3))


def check_damage(video: Reader, needed: int, max_part: float) -> None:
    """Whether no more than this part of the needed frames is lost.

    Raises:
        UndecodableVideo: more is.
    """
    if len(video.lost) > max_part * needed:
        detail = f"at least {len(video.lost)} of the {needed} frames that views need are damaged"
        raise UndecodableVideo(f"{detail}; CLIPLANE_MAX_DAMAGE={max_part:g}")
