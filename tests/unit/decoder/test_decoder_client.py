"""A lane's side of a decoder that has been taken over: a real process, which says what it wants."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest
from cliplane.decoder import client, wire
from cliplane.decoder.client import Decoder
from cliplane.errors import CliplaneError, DecoderCrashed
from cliplane.intake.spool import open_upload
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings
from cliplane.triton.region import create_private_region

JOB = wire.Job(None, Sampling(8, 1, 64, 64, 64, 3, 1), Settings().decoder_limits(), 1, False, 1.0)

Start = Callable[[str], Decoder]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a decoder that runs this code when its job is there."""
    region = create_private_region(4096)
    started: list[Decoder] = []

    def start(code: str) -> Decoder:
        program = f"import os, select, signal, time\nselect.select([0], [], [])\n{code}"
        monkeypatch.setattr(client, "COMMAND", [sys.executable, "-I", "-S", "-c", program])
        started.append(Decoder("pyav", region, 2**30))
        started[-1].start(JOB, open_upload(os.devnull))
        return started[-1]

    yield start
    for decoder in started:
        decoder.kill()
    region.close()


@pytest.mark.parametrize(
    "code",
    [
        "os.write(0, b'nonsense'); time.sleep(60)",
        "os.write(0, b'x' * 100_000); time.sleep(60)",
        'os.write(0, b\'{"type":"end"}\'); time.sleep(60)',
        'os.write(0, b\'{"type":"fault","error":"triton-unavailable","detail":""}\'); time.sleep(60)',
        "import socket; socket.socket(fileno=0).send(b''); time.sleep(60)",
        "os.close(0); time.sleep(60)",
        "os._exit(3)",
        "os.read(0, 65536); os._exit(3)",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_a_decoder_that_lies_or_dies_costs_its_request_and_is_not_used_again(start: Start, code: str) -> None:
    decoder = start(code)
    with pytest.raises(DecoderCrashed):
        decoder.report()
    assert not decoder.is_alive()


def test_what_is_wrong_with_a_file_is_said_in_clean_words(start: Start) -> None:
    decoder = start(
        'os.read(0, 65536); os.write(0, b\'{"type":"fault","error":"over-limit","detail":"8K\\\\u001b[2J\\\\n"}\')'
    )
    with pytest.raises(CliplaneError) as caught:
        decoder.report()
    assert (caught.value.type, caught.value.detail) == ("over-limit", "8K?[2J?")
    assert not decoder.busy
