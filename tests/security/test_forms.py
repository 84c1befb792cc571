"""Hostile forms: what they cost grows with their length, and no faster."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import time

import pytest
from cliplane.errors import BadBody
from cliplane.intake.forms import read_form
from hypothesis import example, given, settings
from hypothesis import strategies as st

DASHES = "-" * 68
SMALL, LARGE = 1_000_000, 8_000_000
SLACK = 4
MAX_S = 2
"""For the large one. It takes some milliseconds; it took 17 s."""
MIN_S = 0.02
"""What is shorter than this says nothing about its growth."""

fragments = st.sampled_from(
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"--",
        b"-",
        b"\r\n--" + DASHES.encode(),
        b"\r\n--" + DASHES.encode() + b"x",
        b"\r\n--" + DASHES.encode() + b"x\r\n",
        b"\r\n--" + DASHES.encode() + b"x\t",
        b"--" + DASHES.encode() + b"x\r\n",
        b'Content-Disposition: form-data; name="',
        b'Content-Disposition: form-data; name="video"',
        b"Content-Disposition: form-data; name=a\r\n\r\n",
        b'";;;;',
        b";",
        b'"',
        b'\\"',
        b"\\\\",
        b"%22",
        b"a=b;",
        b"a*0*=utf-8''%41;",
        b"a*1=",
        b":",
        b" ",
        b"\0",
        b"\xff",
    ]
)
patterns = st.lists(st.tuples(fragments, st.sampled_from([1, 2, 50, 4000])), min_size=1, max_size=6)


def seconds(pattern: list[tuple[bytes, int]], prefix: bytes, size: int) -> float:
    """The quickest of three: what disturbs a measurement makes it longer."""
    unit = b"".join(fragment * times for fragment, times in pattern)
    with tempfile.TemporaryFile() as file:
        file.write((prefix + unit * (size // len(unit) + 1))[:size])
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as body:
            took = []
            for _ in range(3):
                began = time.thread_time()
                with contextlib.suppress(BadBody):
                    read_form(body, f"multipart/form-data; boundary={DASHES}x", ("model",))
                took.append(time.thread_time() - began)
    return min(took)


START = b"--" + DASHES.encode() + b"x\r\n"
PART = START + b"Content-Disposition: form-data; name=a\r\n\r\n1\r\n"


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(pattern=patterns, prefix=st.sampled_from([b"", START, PART, PART * 10, START + b"A: "]))
@example(  # 65 s for 40 MB, once: each part's header went through a parser that is quadratic
    pattern=[
        (START + b'Content-Disposition: form-data; name="', 1),
        (b'";;;;', 1600),
        (b"\r\n\r\n1\r\n", 1),
    ],
    prefix=b"",
)
def test_a_hostile_form_costs_time_in_proportion_to_its_length(pattern: list[tuple[bytes, int]], prefix: bytes) -> None:
    small, large = (seconds(pattern, prefix, size) for size in (SMALL, LARGE))
    assert large <= max(small, MIN_S) * SLACK * LARGE / SMALL
    assert large < MAX_S


@pytest.mark.parametrize("header", ['";;;;' * 800, "a=b;" * 1000, "a*0*=x;" * 500, '\\"' * 1900, ";" * 4000])
def test_the_costliest_headers_are_soon_read(header: str) -> None:
    part = f"--x\r\nContent-Disposition: form-data; name=a; b={header}\r\n\r\n1\r\n".encode()
    began = time.thread_time()
    with contextlib.suppress(BadBody):
        read_form(part * 2000 + b"--x--", "multipart/form-data; boundary=x", ("model",))
    assert time.thread_time() - began < 2
