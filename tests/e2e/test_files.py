"""The corpus through the stack: each file raw and by form, one answer, and a player's."""

from __future__ import annotations

import httpx
import pytest

from tests.corpus.files import FILES, File


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_has_one_answer_raw_and_by_form(http: httpx.Client, file: File) -> None:
    data = file.make()
    raw = http.post("/v1/classify", content=data)
    assert raw.status_code == 200, raw.text
    form = http.post("/v1/classify", files={"video": (file.name, data)})
    result = raw.json()
    assert tuple(view["predictions"][0]["label"] for view in result["views"]) == file.labels
    assert {warning["type"] for warning in result["warnings"]} == set(file.warnings)
    assert (result["video"]["width"], result["video"]["height"]) == file.size
    same = ("predictions", "views", "video", "warnings")
    assert {name: form.json()[name] for name in same} == {name: result[name] for name in same}
