"""Each file of the corpus by the decoder's code and camera_motion's graph, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.classifying import seen
from tests.corpus.files import FILES, File


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_seen_as_a_player_shows_it(file: File, tmp_path: Path) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.make())
    found = seen(path)
    assert found.labels == file.labels
    assert set(found.warnings) == set(file.warnings)
    if file.frames is not None:
        assert found.facts.frames == pytest.approx(file.frames, abs=2)
    assert found.facts.duration_s == pytest.approx(file.seconds, abs=0.1)
    assert (found.facts.width, found.facts.height) == file.size
