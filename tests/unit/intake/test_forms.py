"""The parts of a form."""

from __future__ import annotations

import pytest
from cliplane.errors import BadBody
from cliplane.intake.forms import MAX_PARTS, read_form
from hypothesis import given
from hypothesis import strategies as st

BOUNDARY = "b0undary-that-is-nowhere-in-the-data"
FIELDS = ("model", "views", "top")
TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'


def part(name: str, value: bytes, *headers: str) -> bytes:
    lines = [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{"; filename=a;b" * (name == "video")}']
    return "\r\n".join([*lines, *headers, "", ""]).encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@given(
    data=st.binary(min_size=1, max_size=300),
    preamble=st.sampled_from([b"", b"\r\n", b"This is a form.\r\n", b"\r\n\r\n--\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"and more"]),
    before=st.booleans(),
    after=st.booleans(),
)
def test_a_file_in_a_form_is_found_to_the_byte(
    data: bytes, preamble: bytes, epilogue: bytes, before: bool, after: bool
) -> None:
    body = preamble + part("top", b"3") * before + part("video", data, "A: b") + part("views", b"auto") * after + END
    form = read_form(body + epilogue, TYPE, FIELDS)
    assert body[form.file.start : form.file.end] == data
    assert form.fields == dict([("top", "3")] * before + [("views", "auto")] * after)


def test_fields_of_other_names_are_passed_over() -> None:
    form = read_form(part("note", b"n" * 1000) * 2 + part("", b"") + part("video", b"data") + END, TYPE, FIELDS)
    assert form.fields == {}


def test_white_space_after_a_boundary_belongs_to_it() -> None:
    body = part("video", b"data").replace(BOUNDARY.encode(), BOUNDARY.encode() + b" \t") + END
    form = read_form(body, TYPE, FIELDS)
    assert body[form.file.start : form.file.end] == b"data"


@given(st.binary(max_size=300))
def test_any_other_body_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBody):
        read_form(body, "multipart/form-data; boundary=zzzzzz", FIELDS)


VIDEO = part("video", b"data")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (VIDEO + VIDEO + END, "more than one field 'video'"),
        (VIDEO + part("top", b"1") * 2 + END, "more than one field 'top'"),
        (part("video", b"") + END, "empty"),
        (part("top", b"1") + END, "no file field 'video'"),
        (VIDEO, "cut off"),
        (VIDEO[:-2], "cut off"),
        (VIDEO + part("top", b"1" * 300) + END, "longer than 256 bytes"),
        (part("video", b"data", "A: " + "b" * 5000) + END, "longer than 4096 bytes"),
        (part("video", b"ZGF0YQ==", "Content-Transfer-Encoding: base64") + END, "Content-Transfer-Encoding"),
        (VIDEO.replace(b"name=", b"nome=") + END, "no file field"),
        (f"--{BOUNDARY}\r\n\r\ndata\r\n".encode() + END, "no file field"),
        (b"".join(part(f"n{k}", b"") for k in range(MAX_PARTS)) + VIDEO + END, "more than 16 parts"),
        (VIDEO.replace(b"data", f"da\r\n--{BOUNDARY}ta".encode()) + END, "boundary within"),
        (b"nonsense", "not the boundary"),
    ],
)
def test_what_is_wrong_with_a_form_is_named(body: bytes, detail: str) -> None:
    with pytest.raises(BadBody) as caught:
        read_form(body, TYPE, FIELDS)
    assert detail in caught.value.detail


@pytest.mark.parametrize("boundary", ["", "; boundary=", f'; boundary="{"x" * 71}"', '; boundary="é"'])
def test_a_form_without_a_good_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(BadBody, match="without a boundary"):
        read_form(VIDEO + END, f"multipart/form-data{boundary}", FIELDS)
