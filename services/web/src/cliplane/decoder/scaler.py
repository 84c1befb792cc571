"""From a decoded picture to RGB in the size that is wanted, as it is displayed."""

from __future__ import annotations

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from cliplane.decoder.container import LIBRARY_ERRORS
from cliplane.decoder.orientation import Orientation, of_matrix, of_sei, squared_size
from cliplane.decoder.packets import first_keyframe
from cliplane.decoder.video import Frame
from cliplane.errors import UndecodableVideo


class Scaler:
    """For the pictures of one stream. `width` and `height` are as displayed, its pixels square unless they are left as
    `are_stored`."""

    def __init__(self, stream: VideoStream, orientation: Orientation, *, are_stored: bool) -> None:
        self._reformatter = VideoReformatter()
        self._orientation = orientation
        aspect = 1.0 if are_stored else float(stream.sample_aspect_ratio or 1)
        self.width, self.height = orientation.size(*squared_size(stream.width, stream.height, aspect))

    def scaled(self, frame: VideoFrame, width: int, height: int) -> Frame:
        """(height, width, 3) RGB, valid until the next one is asked for.

        Raises:
            UndecodableVideo: it cannot be converted.
        """
        width, height = self._orientation.size(width, height)
        try:
            # One thread: as many as the host has CPUs otherwise, and with one it is no slower.
            small = self._reformatter.reformat(
                frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
            )
        except LIBRARY_ERRORS as exc:
            raise UndecodableVideo("a frame cannot be converted") from exc
        plane = small.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        return self._orientation.displayed(rows[:, : width * 3].reshape(height, width, 3))


def orientation(container: InputContainer, stream: VideoStream) -> Orientation:
    """What the container says, else the stream's first keyframe. Leaves the container anywhere."""
    codec = stream.codec_context
    matrix = codec.coded_side_data.get("display_matrix")
    if matrix is not None:
        return of_matrix(bytes(matrix))
    if codec.codec.canonical_name not in ("h264", "hevc"):
        return Orientation()
    extradata = codec.extradata or b""
    # avcC and hvcC say how long the lengths of NAL units are (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
    place = 4 if codec.codec.canonical_name == "h264" else 21
    lengths = (extradata[place] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > place else 0
    return of_sei(first_keyframe(container, stream), codec.codec.canonical_name, lengths) or Orientation()
