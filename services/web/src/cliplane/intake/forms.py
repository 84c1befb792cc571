"""Where the parts of a multipart/form-data body lie (RFC 7578, RFC 2046 5.1.1), so that the file is read in place.

Hostile bodies cost no more than honest ones. A boundary is found by `find`, which is linear, and whatever it finds *is*
a boundary (RFC 2046: it must not appear within a part). The number of parts, the bytes of a part's headers and of a
field's value have limits, and nothing else in a body is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from mmap import mmap
from typing import NamedTuple

from werkzeug.http import parse_options_header

from cliplane.decoder.media import Span
from cliplane.errors import BadBody

FILE_FIELD = "video"
MAX_PARTS = 16
MAX_HEADER_BYTES = 4096
"""Of one part."""
MAX_VALUE_BYTES = 256
"""Of a field that is no file."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, 5.1.1
_AFTER_BOUNDARY = re.compile(rb"(--)|[ \t]{0,64}\r\n")
_PLAIN_ENCODINGS = ("", "binary", "8bit", "7bit")


class Form(NamedTuple):
    """Where the file is, and the values of the fields that were asked for and are there."""

    file: Span
    fields: dict[str, str]


def read_form(body: mmap | bytes, content_type: str, names: Collection[str]) -> Form:
    """The parts of a form with one file field `video`, and of the fields of these names, each at most once; others are
    passed over.

    Raises:
        BadBody: it is not well-formed, over a limit, or has not exactly one such field.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadBody("multipart/form-data without a boundary")
    delimiter = b"--" + boundary.encode("ascii")
    file: Span | None = None
    fields: dict[str, str] = {}
    for name, span in _parts(body, delimiter):
        if name in fields or (name == FILE_FIELD and file is not None):
            raise BadBody(f"more than one field {name!r}")
        if name == FILE_FIELD:
            file = span
        elif name not in names:
            continue
        elif span.end - span.start > MAX_VALUE_BYTES:
            raise BadBody(f"the field {name!r} is longer than {MAX_VALUE_BYTES} bytes")
        else:
            fields[name] = body[span.start : span.end].decode("utf-8", "replace")
    if file is None:
        raise BadBody(f"the form has no file field {FILE_FIELD!r}")
    if file.start == file.end:
        raise BadBody("the file in the form is empty")
    return Form(file, fields)


def _parts(body: mmap | bytes, delimiter: bytes) -> list[tuple[str, Span]]:
    """The name of each part and where its content lies."""
    # Before the first boundary there may be a preamble, which ends with a line's end.
    start = 0 if body[: len(delimiter)] == delimiter else body.find(b"\r\n" + delimiter) + 2
    if start == 1:
        raise BadBody("the body has not the boundary that its Content-Type names")
    parts: list[tuple[str, Span]] = []
    position = start + len(delimiter)
    while not (after := _after_boundary(body, position)).group(1):
        if len(parts) == MAX_PARTS:
            raise BadBody(f"the form has more than {MAX_PARTS} parts")
        # From the boundary's own line end on, so that a part without headers has an end of them too.
        first_header = position + after.end()
        head_end = body.find(b"\r\n\r\n", first_header - 2, first_header + MAX_HEADER_BYTES)
        if head_end < 0:
            raise BadBody(f"a part's headers are cut off or longer than {MAX_HEADER_BYTES} bytes")
        # From the headers' own line end on, so that an empty part has an end too.
        end = body.find(b"\r\n" + delimiter, head_end + 2)
        if end < 0:
            raise BadBody("the multipart body is cut off")
        name = _name(body[first_header : max(head_end, first_header)])
        parts.append((name, Span(head_end + 4, max(end, head_end + 4))))
        position = end + 2 + len(delimiter)
    return parts


def _after_boundary(body: mmap | bytes, position: int) -> re.Match[bytes]:
    found = _AFTER_BOUNDARY.match(body[position : position + 66])
    if found is None:
        raise BadBody("the multipart body is cut off, or a part has its boundary within")
    return found


def _name(head: bytes) -> str:
    """The field's name from a part's headers, which are at most `MAX_HEADER_BYTES` long; "" where it has none."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        headers.setdefault(key.strip().lower(), value.strip())
    name = parse_options_header(headers.get("content-disposition", ""))[1].get("name", "")
    if name == FILE_FIELD and headers.get("content-transfer-encoding", "").lower() not in _PLAIN_ENCODINGS:
        raise BadBody("the file has a Content-Transfer-Encoding; send its bytes as they are (RFC 7578, 4.7)")
    return name
