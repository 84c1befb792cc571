"""Text of a server or a file name, fit for a terminal: nothing in it is a command to that terminal."""

from __future__ import annotations

import unicodedata

MAX_CHARACTERS = 500

# Control characters (ESC and C1 among them), invisible ones (those that turn the writing direction), halves of
# surrogate pairs, and what separates lines; see Unicode Standard Annex 44, General_Category.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# What a spreadsheet takes for a formula's beginning, in East Asian width too: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = tuple("=+-@＝＋－＠")


def clean(text: str) -> str:
    """The text with what could move a cursor or turn a line written out as `\\x1b`, and cut off where it is endless."""
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS] + " …"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(character) for character in text)


def cell(text: str) -> str:
    """The text, clean, for a CSV file that a spreadsheet may open: behind an apostrophe where it would be a formula."""
    text = clean(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _written_out(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")
