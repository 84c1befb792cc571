"""Windows in the region's ring, by a real decoder behind its walls: their pixels are those of the same clip as a view,
and no frame is decoded twice."""

from __future__ import annotations

import dataclasses
import signal
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cliplane.decoder import wire
from cliplane.decoder.client import Decoder
from cliplane.errors import DecoderCrashed, OverLimit
from cliplane.policy.sampling import Sampling, plan_views
from cliplane.settings import Settings
from cliplane.triton.region import Region, create_private_region

from tests import media

SAMPLING = Sampling(8, 5, 64, 64, 64, 1, 1, frame_rate=25)
SLOTS = 12
STRIDE_S = 0.4
FRAMES = 400


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("windows") / "video.mp4"
    path.write_bytes(media.clip("roll_cw", frames=FRAMES, width=160, height=96, speed=0.002))
    return path


@pytest.fixture
def region() -> Iterator[Region]:
    region = create_private_region(100 * SAMPLING.view_bytes)
    yield region
    region.close()


@pytest.fixture
def decoder(region: Region) -> Iterator[Decoder]:
    decoder = Decoder("pyav", region, Settings().decoder_memory_bytes)
    yield decoder
    decoder.kill()


def job(sampling: Sampling = SAMPLING, sliding: wire.Sliding | None = None) -> wire.Job:
    return wire.Job(None, sampling, Settings().decoder_limits(), 2, coarse_to_fine=False, cpu_s=60, sliding=sliding)


def pixels(region: Region, slot: int) -> bytes:
    return bytes(region.view(slot * SAMPLING.view_bytes, SAMPLING.view_bytes))


def slide(decoder: Decoder, region: Region, path: Path, sliding: wire.Sliding) -> tuple[list[bytes], wire.Effort]:
    """Every window's pixels; each slot is given back, overwritten with rubbish, as soon as its window is read."""
    decoder.start(job(sliding=sliding), path.open("rb"))
    windows: list[bytes] = []
    while True:
        report = decoder.report()
        if isinstance(report, wire.View):
            assert report.view == len(windows)
            windows.append(pixels(region, report.view % sliding.slots))
            place = (report.view % sliding.slots) * SAMPLING.view_bytes
            region.view(place, SAMPLING.view_bytes)[:] = b"\xaa" * SAMPLING.view_bytes
            decoder.give_credit(len(windows) + sliding.slots)
        if isinstance(report, wire.End):
            return windows, report.effort


def test_a_window_has_the_pixels_of_the_same_clip_as_a_view(decoder: Decoder, region: Region, video: Path) -> None:
    sliding = wire.Sliding(STRIDE_S, None, SLOTS, 1000, SLOTS // 2)
    windows, effort = slide(decoder, region, video, sliding)
    step = round(STRIDE_S * 25)
    starts = range(0, FRAMES - 36 + 1, step)
    assert len(windows) == len(starts)
    needed = {start + 5 * t for start in starts for t in range(8)}
    assert len(needed) <= effort.frames_decoded <= FRAMES
    # As many views as lie on the same starts: plan_views spreads them from the first frame to the last.
    clips = len(starts)
    sampling = dataclasses.replace(SAMPLING, clips=clips)
    views = plan_views(FRAMES, sampling)
    decoder.start(job(sampling), video.open("rb"))
    told = []
    while not isinstance(report := decoder.report(), wire.End):
        told.append(report)
    shown = {view.frames: pixels(region, slot) for slot, view in enumerate(views)}
    both = [(k, tuple(start + 5 * t for t in range(8))) for k, start in enumerate(starts)]
    compared = [windows[k] == shown[frames] for k, frames in both if frames in shown]
    assert len(compared) >= 3
    assert all(compared)


def test_a_ring_of_two_slots_gives_the_same_pixels_as_a_region_that_holds_all(
    decoder: Decoder, region: Region, video: Path
) -> None:
    long = slide(decoder, region, video, wire.Sliding(1.7, None, 100, 1000, 50))
    short = slide(decoder, region, video, wire.Sliding(1.7, None, 2, 1000, 1))
    assert long == short


def test_the_decoder_waits_for_credit_and_is_stopped_while_it_waits(
    decoder: Decoder, region: Region, video: Path
) -> None:
    decoder.start(job(sliding=wire.Sliding(1.7, None, 2, 1000, 1)), video.open("rb"))
    reports = [decoder.report() for _ in range(3)]
    assert [type(report) for report in reports] == [wire.Video, wire.View, wire.View]
    before = pixels(region, 0), pixels(region, 1)
    decoder.stop()
    assert decoder.settle(10)
    assert (pixels(region, 0), pixels(region, 1)) == before, "it wrote without credit"
    windows, _ = slide(decoder, region, video, wire.Sliding(1.7, None, 2, 1000, 1))
    assert len(windows) == 9


def test_too_many_windows_are_over_a_limit(decoder: Decoder, video: Path) -> None:
    decoder.start(job(sliding=wire.Sliding(0.4, None, SLOTS, 5, 6)), video.open("rb"))
    with pytest.raises(OverLimit, match="37 windows; at most 5"):
        decoder.report()


def test_windows_that_overlap_more_than_the_ring_holds_are_over_a_limit(decoder: Decoder, video: Path) -> None:
    decoder.start(job(sliding=wire.Sliding(0.1, None, SLOTS, 1000, 6)), video.open("rb"))
    with pytest.raises(OverLimit, match="windows overlap"):
        decoder.report()


def test_a_decoder_that_does_not_read_its_orders_is_no_danger(decoder: Decoder, video: Path) -> None:
    """A socket that is full must not hold the lane."""
    decoder.start(job(sliding=wire.Sliding(1.7, None, 2, 1000, 1)), video.open("rb"))
    decoder._process.send_signal(signal.SIGSTOP)
    with pytest.raises(DecoderCrashed):
        deque(map(decoder.give_credit, range(100_000)), maxlen=0)
    decoder._process.send_signal(signal.SIGCONT)


def test_damage_leaves_windows_out_and_is_one_doubt(decoder: Decoder, region: Region, tmp_path: Path) -> None:
    moving = media.moving_camera("roll_cw", frames=FRAMES, width=160, height=96)
    body = bytearray(media.encode(moving, options={"g": "25"}))
    places = range(len(body) // 3, len(body) // 2)
    body[places.start : places.stop] = bytes(np.random.default_rng(1).integers(0, 256, len(places), np.uint8))
    path = tmp_path / "broken.mp4"
    path.write_bytes(body)
    decoder.start(job(sliding=wire.Sliding(0.4, None, SLOTS, 1000, 6)), path.open("rb"))
    told: list[wire.Report] = []
    while not told or not isinstance(told[-1], wire.End):
        told.append(decoder.report())
        if isinstance(told[-1], wire.View | wire.LeftOut):
            decoder.give_credit(told[-1].view + 1 + SLOTS)
    windows = [report.view for report in told if isinstance(report, wire.View | wire.LeftOut)]
    assert windows == list(range(37))
    assert "damaged" in [report.kind for report in told if isinstance(report, wire.Doubt)]
