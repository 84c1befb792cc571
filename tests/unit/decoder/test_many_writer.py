"""Several models' views out of one pass: they are those that each has alone, and a lane believes what is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cliplane.decoder import wire
from cliplane.decoder.__main__ import decode
from cliplane.decoder.reader import load_reader
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings

from tests import media

LIMITS = Settings().decoder_limits()
CUTS = [
    Sampling(8, 5, 64, 64, 64, clips=3, crops=1, frame_rate=25.0),
    Sampling(4, 3, 48, 40, 40, clips=2, crops=3),
    Sampling(6, 1, 32, 32, 32, clips=1, crops=1, mode="uniform", fit="square"),
    Sampling(5, 2, 64, 56, 56, clips=2, crops=1, frame_rate=30.0, pixels="stored"),
]


def decoded(path: Path, cuts: list[Sampling]) -> tuple[list[wire.Report], list[np.ndarray]]:
    """The reports, and each model's part of the region."""
    sizes = [cut.views * cut.view_bytes for cut in cuts]
    memory = np.zeros(sum(sizes), np.uint8)
    starts = [sum(sizes[:k]) for k in range(len(cuts))]
    others = tuple(wire.Cut(cut, start) for cut, start in zip(cuts[1:], starts[1:], strict=True))
    job = wire.Job(None, cuts[0], LIMITS, 1, False, 10.0, others=others)
    with path.open("rb") as file:
        reports = list(decode(load_reader("pyav"), job, file.fileno(), memory, is_stopped=lambda: False))
    return reports, [memory[start : start + size] for start, size in zip(starts, sizes, strict=True)]


@pytest.mark.parametrize("fps", [10, 25, 30])
def test_each_model_s_views_are_those_it_has_alone_and_pictures_are_decoded_once(tmp_path: Path, fps: int) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(media.encode(media.moving_camera("pan_left", frames=120, width=120, height=90), fps=fps))
    reports, parts = decoded(path, CUTS)
    end = reports[-1]
    assert isinstance(end, wire.End)
    assert end.effort.frames_decoded <= 120
    video = next(report for report in reports if isinstance(report, wire.Video))
    for model, (cut, part) in enumerate(zip(CUTS, parts, strict=True)):
        alone, (own,) = decoded(path, [cut])
        assert np.array_equal(part, own)
        (first,) = (report for report in alone if isinstance(report, wire.Video))
        assert (video.views, *video.others)[model] == first.views
        views = [report for report in alone if isinstance(report, wire.View)]
        together = [report for report in reports if isinstance(report, wire.View) and report.model == model]
        assert [(one.view, one.start_s, one.end_s) for one in together] == [
            (one.view, one.start_s, one.end_s) for one in views
        ]


def test_the_reports_are_those_a_lane_believes(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(media.clip(frames=60, width=120, height=90))
    others = tuple(wire.Cut(cut, 0) for cut in CUTS[1:])
    transcript = wire.Transcript(wire.Job(None, CUTS[0], LIMITS, 1, False, 10.0, others=others))
    for report in decoded(path, CUTS)[0]:
        transcript.read(wire.encode(report))
    assert transcript.is_over
    doubled = wire.Transcript(wire.Job(None, CUTS[0], LIMITS, 1, False, 10.0, others=others))
    video = decoded(path, CUTS)[0][0]
    assert isinstance(video, wire.Video)
    for counts in ((), (*video.others, 1), (7, *video.others[1:])):
        with pytest.raises(wire.Nonsense):
            doubled.read(wire.encode(wire.Video(video.views, video.facts, counts)))
    doubled.read(wire.encode(video))
    with pytest.raises(wire.Nonsense):
        doubled.read(wire.encode(wire.View(0, 0, 1, wire.Effort(1, 0), model=4)))
