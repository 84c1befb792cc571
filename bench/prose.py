"""Prose of Markdown at 100 columns. Tables, code, headings, comments and addresses stay as they are."""

from __future__ import annotations

import re
import textwrap

WIDTH = 100

_ITEM = re.compile(r"(?P<indent> *)(?P<mark>[-*] |\d+\. )?")
_AS_IT_IS = re.compile(r"^(#|\||<|>|!\[|\[[^\]]+\]:|    )|^\s*$|^```")

# Code and the words of a link are not broken, unless they are long.
_WHOLE = re.compile(r"`[^`]{1,70}`|\[[^\]]{1,40}\]\([^)]*\)")
_GLUE = "\x00"


def too_long(text: str) -> list[str]:
    """Lines of prose that are longer than `WIDTH` and could be broken."""
    return [
        line for block in _blocks(text) for line in block[1] if block[0] and len(line) > WIDTH and " " in line.strip()
    ]


def fold(text: str) -> str:
    """The same text, each paragraph and list item that has too long a line set anew."""
    lines: list[str] = []
    for is_prose, block in _blocks(text):
        lines += _set(block) if is_prose and any(len(line) > WIDTH for line in block) else block
    return "\n".join(lines) + "\n"


def _blocks(text: str) -> list[tuple[bool, list[str]]]:
    """(whether it is prose, its lines) of each paragraph, list item, and line that stays as it is."""
    found: list[tuple[bool, list[str]]] = []
    is_code = is_item = False
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("```"):
            is_code = not is_code
        match = _ITEM.match(line)
        assert match is not None
        begins = bool(match["mark"])
        # Four spaces are code, but within a list item they continue it.
        continues_item = is_item and line.startswith("    ") and line.strip()
        if is_code or (_AS_IT_IS.match(line) and not continues_item):
            found.append((False, [line]))
            is_item = False
        elif begins or not found or not found[-1][0]:
            found.append((True, [line]))
            is_item = begins
        else:
            found[-1][1].append(line)
    return found


def _set(block: list[str]) -> list[str]:
    match = _ITEM.match(block[0])
    assert match is not None
    first = match[0]
    rest = " " * len(first)
    words = " ".join(line.strip() for line in block)[len(first.strip()) :].strip()
    words = _WHOLE.sub(lambda whole: whole[0].replace(" ", _GLUE), words)
    lines = textwrap.wrap(
        words, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(_GLUE, " ") for line in lines]
