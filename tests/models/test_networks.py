"""Networks that can be named, of torchvision and pytorchvideo: found by their tensors, and served as PyTorch answers.

Those that cost little, one of each family whose graph is its own; `networks.py` has them all, for whoever has the time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import REPOSITORY, run

NAMES = ("r3d_18", "slowfast_r50", "mvit_base_16x4")


@pytest.fixture(scope="module")
def found(work: Path) -> Any:
    done = run("-W", "ignore", REPOSITORY / "tests" / "models" / "networks.py", work / "networks", *NAMES)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_known_by_its_tensors_and_answers_as_pytorch(found: Any, name: str) -> None:
    assert found[name]["network"] == name
    assert found[name]["difference"] <= 1e-4
    assert found[name]["spread"] > 0.1
    assert found[name]["sum"] == pytest.approx([1, 1])
