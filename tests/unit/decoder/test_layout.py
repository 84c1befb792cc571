"""How a file is put together, by its outermost parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliplane.decoder.pyav_reader import PyavReader
from cliplane.settings import Settings

from tests import media


@pytest.mark.parametrize(("times", "doubts"), [(1, []), (2, ["ends-early"])])
def test_an_mp4_behind_another_one_is_told(tmp_path: Path, times: int, doubts: list[str]) -> None:
    path = tmp_path / "clip"
    path.write_bytes(media.clip(frames=20, width=96, height=64) * times)
    with path.open("rb") as file:
        reader = PyavReader(file.fileno(), None, Settings().decoder_limits(), 1)
        assert [doubt.kind for doubt in reader.doubts] == doubts
        assert reader.info.picture_count == 20
        reader.close()
