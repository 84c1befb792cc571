"""How prose of Markdown is set at 100 columns, and that the pages written by scripts are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.prose import WIDTH, fold, too_long

REPOSITORY = Path(__file__).parents[3]


def test_prose_is_folded_and_everything_else_is_left() -> None:
    words = "word " * 40
    prose = f"{words.strip()}\n\n- {words}`a {words}`\n  {words}\n"
    text = f"# {words}\n\n{prose}\n| {words} |\n\n    {words}\n\n```\n{words}\n```\n"
    lines = fold(text).split("\n")
    assert lines[0] == f"# {words}"
    assert f"| {words} |" in lines
    assert f"    {words}" in lines
    assert f"- {words}" not in lines
    assert not too_long(fold(text))
    assert "".join(fold(text).split()) == "".join(text.split())
    assert fold(fold(text)) == fold(text)


def test_code_and_links_stay_whole() -> None:
    text = "x " * 46 + "`make model NAME=x3d_s` " + "y " * 40 + "[the decision](adr/0001.md) end"
    folded = fold(text)
    assert "`make model NAME=x3d_s`" in folded
    assert "[the decision](adr/0001.md)" in folded
    assert max(map(len, folded.split("\n"))) <= WIDTH


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(str(p.relative_to(REPOSITORY)) for p in REPOSITORY.glob("docs/**/*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_pages_keep_to_the_width(page: str) -> None:
    assert not too_long((REPOSITORY / page).read_text())
