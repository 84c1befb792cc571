"""Our sampling beside the libraries' own, which runs in the exporter's image: docs/sampling.md states these bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.models.conftest import REPOSITORY, run


@pytest.fixture(scope="module")
def differences() -> Any:
    done = run(
        "-W",
        "ignore",
        REPOSITORY / "tests" / "models" / "reference_sampling.py",
        options=["-e", f"PYTHONPATH=/exporter:{REPOSITORY}"],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("network", ["x3d_xs", "x3d_s", "x3d_m", "x3d_l"])
def test_x3d_frames_are_pytorchvideos_within_two_strides(differences: Any, network: str) -> None:
    found = differences["x3d"][network]
    assert found["start"] <= found["stride"]
    assert found["to_the_end"] < 2 * found["stride"]


@pytest.mark.parametrize("clips", ["4", "12"])
def test_video_swin_frames_are_torchvisions(differences: Any, clips: str) -> None:
    assert differences["swin"][clips] == 0


def test_the_scaled_size_is_pytorchvideos(differences: Any) -> None:
    assert differences["scaled"] == 0


def test_the_three_crops_are_pytorchvideos_and_the_centre_torchvisions_within_a_pixel(differences: Any) -> None:
    assert differences["crops"]["uniform_crop"] == 0
    assert differences["crops"]["center_crop"] <= 1
