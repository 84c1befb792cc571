"""The reader by itself, in a process of its own: what it must never do is hang."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cliplane.decoder.container import silence
from cliplane.decoder.reader import load_reader
from cliplane.errors import UndecodableVideo
from cliplane.settings import Settings

from tests import media

LIMITS = Settings().decoder_limits()

CLOSE_EARLY = """
import os, sys
from cliplane.decoder.container import silence
from cliplane.decoder.reader import load_reader
from cliplane.settings import Settings
limits = Settings().decoder_limits()
silence()
file = os.open(sys.argv[1], os.O_RDONLY)
for turn in range(40):
    video = load_reader("pyav")(file, None, limits, 3)
    for _ in zip(range(1 + turn % 5), video.frames(list(range(0, 60, 3)), 64, 64)):
        pass
    video.close()
print("closed")
"""


def test_a_half_read_file_is_closed_without_waiting_for_its_threads(tmp_path: Path) -> None:
    """They once logged through Python, and waited for the interpreter that waited for them."""
    path = tmp_path / "video.mp4"
    frames = media.moving_camera("pan_left", width=640, height=480)
    path.write_bytes(media.encode(frames, codec="libx265", options={"x265-params": "log-level=none"}))
    done = subprocess.run(
        [sys.executable, "-c", CLOSE_EARLY, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "closed", done.stderr


def read(path: Path, numbers: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    with path.open("rb") as file:
        video = load_reader("pyav")(file.fileno(), None, LIMITS, 2)
        frames = [(number, frame.copy()) for number, frame in video.frames(numbers, 64, 48)]
        video.close()
    return frames


@pytest.mark.parametrize("gop", [12, 250])
def test_whatever_the_order_each_frame_comes_once_and_is_the_same(tmp_path: Path, gop: int) -> None:
    silence()
    path = tmp_path / "video.mp4"
    frames = media.moving_camera("pan_left", frames=100)
    path.write_bytes(media.encode(frames, options={"g": str(gop), "bf": "2", "preset": "veryfast"}))
    numbers = list(range(0, 100, 3))
    in_order = dict(read(path, numbers))
    middle_first = read(path, [*numbers[20:], *numbers[:20]])
    assert sorted(number for number, _ in middle_first) == numbers
    assert all(np.array_equal(frame, in_order[number]) for number, frame in middle_first)


def test_a_frame_that_is_passed_on_the_way_to_another_is_not_decoded_again(tmp_path: Path) -> None:
    """Or views that are taken out of order would cost a decode from the keyframe each."""
    silence()
    path = tmp_path / "video.mp4"
    path.write_bytes(media.encode(media.moving_camera("pan_left", frames=100), options={"g": "250", "bf": "0"}))
    assert [number for number, _ in read(path, [90, 30, 60])] == [30, 60, 90]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_seek_goes_no_further_back_than_to_the_keyframe(tmp_path: Path, container: str) -> None:
    """FFmpeg's index of an MP4 has times of decoding, and its seek takes times of showing: with one for the other it
    went to the keyframe before, and all of that was decoded in vain."""
    silence()
    path = tmp_path / "video"
    options = {"g": "30", "bf": "2", "x264-params": "scenecut=0"}
    path.write_bytes(media.encode(media.moving_camera("pan_left", frames=100), container=container, options=options))
    with path.open("rb") as file:
        video = load_reader("pyav")(file.fileno(), None, LIMITS, 2)
        assert [number for number, _ in video.frames([0, 95], 64, 48)] == [0, 95]
        assert video.decoded <= 10
    video.close()


def test_a_packet_that_claims_absurd_bytes_is_the_file_s_fault_and_no_shortage(tmp_path: Path) -> None:
    """FFmpeg says ENOMEM of it, as of a decoder that has no memory, which is told as a 503."""
    silence()
    path = tmp_path / "video"
    whole = media.encode(media.moving_camera("static", frames=3, width=64, height=64), container="ivf", codec="libvpx")
    path.write_bytes(whole[:32] + b"\xf0\xff\xff\xff" + whole[36:])
    with pytest.raises(UndecodableVideo) as caught:
        read(path, [0])
    cause: BaseException | None = caught.value
    while cause is not None:
        assert not isinstance(cause, MemoryError)
        cause = cause.__cause__ or cause.__context__
