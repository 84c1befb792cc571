"""SAMPLING, and CHECK: are the frames that are served those that the trainer's own sampler takes?"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from cliplane.policy.sampling import Sampling
from exporter.brought import CannotBring
from exporter.check import check, planned
from exporter.sampling import BadSampling, changed

OWN = Sampling(clip_length=16, temporal_stride=1, short_side=256, crop_height=224, crop_width=224, clips=1, crops=1)

LINSPACE = "import numpy as np\ndef sample(frames, fps):\n    return np.linspace(0, frames - 1, 16).astype(int)\n"
# VideoMAE's for Something-Something: SSVideoClsDataset in its ssv2.py, of two test clips.
VIDEOMAE = """
def sample(frames, fps):
    tick = frames / float(16)
    return [[int(tick * x) for x in range(16)], [int(tick / 2.0 + tick * x) for x in range(16)]]
"""
CENTRED = """
def sample(frames, fps):
    start = (frames - 61) // 2
    return range(start, start + 61, 4)
"""


@pytest.mark.parametrize(
    ("sampler", "sampling"),
    [
        (LINSPACE, "mode=uniform"),
        (VIDEOMAE, "mode=segments,clips=2"),
        (CENTRED, "stride=4"),
        (CENTRED, "stride=4,frame_rate=30"),
        (CENTRED.replace("range(start, start + 61, 4)", "[list(range(start, start + 61, 4))]"), "stride=4"),
    ],
)
def test_a_trainers_sampler_takes_the_frames_that_are_served(tmp_path: Path, sampler: str, sampling: str) -> None:
    file = tmp_path / "train_sampler.py"
    file.write_text(sampler)
    found = check(file, changed(OWN, sampling))
    assert found["differ"] == 0
    assert found["videos"] > 20


@pytest.mark.parametrize(
    ("sampler", "sampling", "words"),
    [
        (LINSPACE, "mode=segments", "the trainer takes frame 1 where this sampling takes 2 (clip 0, its 1)"),
        (CENTRED.replace("61)", "64)"), "stride=4", "nothing is installed"),
        (VIDEOMAE, "mode=segments", "the trainer takes 2 clips, this sampling 1"),
        (LINSPACE.replace("16)", "8)"), "mode=uniform", "the trainer's clip 0 has 8 frames, this sampling's 16"),
        ("def sample(frames, fps):\n    return 1 / 0\n", "stride=4", "fails: ZeroDivisionError"),
        ("def frames(n):\n    return []\n", "stride=4", "its sample(frames, fps) fails: KeyError"),
        ("def sample(frames, fps):\n    return [0.5]\n", "stride=4", "these are no frame numbers"),
    ],
)
def test_one_other_frame_is_enough_to_refuse(tmp_path: Path, sampler: str, sampling: str, words: str) -> None:
    file = tmp_path / "train_sampler.py"
    file.write_text(sampler)
    with pytest.raises(CannotBring) as refused:
        check(file, changed(OWN, sampling))
    assert words in str(refused.value)
    assert str(refused.value).startswith("CHECK=train_sampler.py: ")


def test_the_sampler_of_the_docs_is_a_sampler(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "trainer.md").read_text()
    block = page[page.index("    import numpy as np") :]
    file = tmp_path / "train_sampler.py"
    file.write_text(textwrap.dedent(block[: block.index("\n\nIt is run")]))
    assert check(file, changed(OWN, "mode=uniform"))["differ"] == 0


def test_recorded_frames_are_compared_in_the_numbers_of_their_file(tmp_path: Path) -> None:
    file = tmp_path / "frames.json"
    # A file of 60 frames a second, cut at 30: every eighth of its frames.
    start = 2 * ((150 - 61) // 2)
    video = {"frames": 300, "fps": 60, "clips": [list(range(start, start + 121, 8))]}
    file.write_text(json.dumps([video]))
    assert check(file, changed(OWN, "stride=4,frame_rate=30")) == {
        "file": "frames.json",
        "videos": 1,
        "clips": 1,
        "differ": 0,
    }
    with pytest.raises(CannotBring):
        check(file, changed(OWN, "stride=4"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '[{"frames": 3}]', '[{"frames": 3, "fps": 1, "clips": []}]'])
def test_what_is_no_record_of_frames_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "frames.json"
    file.write_text(text)
    with pytest.raises(CannotBring, match=r"CHECK=frames\.json: "):
        check(file, OWN)


def test_a_clip_that_is_spread_has_the_whole_video() -> None:
    assert planned(16, 30, changed(OWN, "mode=uniform")) == [list(range(16))]
    assert planned(160, 30, changed(OWN, "mode=segments")) == [list(range(5, 160, 10))]
    assert planned(1, 30, changed(OWN, "mode=uniform")) == [[0] * 16]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode=random", "mode is one of stride, uniform, segments, not 'random'"),
        ("mode=uniform,clips=2", "mode=uniform has one clip"),
        ("stride=0", "SAMPLING: 'stride=0'"),
        ("frames=8", "SAMPLING: 'frames=8'"),
        ("crop=300", "a crop of 300 does not fit a short side of 256"),
        ("crops=2", "crops is 1 or 3"),
    ],
)
def test_a_sampling_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadSampling) as refused:
        changed(OWN, text)
    assert words in str(refused.value)
