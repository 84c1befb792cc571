"""Classifies a file in this process: the decoder's code, camera_motion's graph in ONNX Runtime, no stack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from cliplane.decoder import wire
from cliplane.decoder.__main__ import decode
from cliplane.decoder.container import silence
from cliplane.decoder.media import HEAD_BYTES, sniff
from cliplane.decoder.reader import load_reader
from cliplane.policy.sampling import Sampling
from cliplane.settings import Settings

MODEL = Path(__file__).parents[2] / "services/triton/models/camera_motion"
SAMPLING = Sampling(8, 5, 64, 64, 64, clips=4, crops=1, frame_rate=25)


@dataclass(frozen=True)
class Seen:
    """`labels` and `scores` of the views, in order of time."""

    container: str
    facts: wire.Facts
    effort: wire.Effort
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    warnings: tuple[str, ...]


@cache
def _network() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL / "1/model.onnx", options, providers=["CPUExecutionProvider"])


@cache
def _labels() -> tuple[str, ...]:
    return tuple((MODEL / "labels.txt").read_text().split())


def seen(path: Path) -> Seen:
    """What camera_motion sees in a file.

    Raises:
        CliplaneError: the file is refused.
    """
    silence()
    container = sniff(path.read_bytes()[:HEAD_BYTES])
    memory = np.zeros(SAMPLING.views * SAMPLING.view_bytes, np.uint8)
    job = wire.Job(None, SAMPLING, Settings().decoder_limits(), 1, coarse_to_fine=False, cpu_s=60)
    transcript = wire.Transcript(job)
    with path.open("rb") as file:
        told = decode(load_reader("pyav"), job, file.fileno(), memory, lambda: False)
        reports: list[Any] = [transcript.read(wire.encode(report)) for report in told]
    assert transcript.is_over
    views = [report for report in reports if isinstance(report, wire.View)]
    shape = (len(views), SAMPLING.clip_length, SAMPLING.crop_height, SAMPLING.crop_width, 3)
    frames = memory[: len(views) * SAMPLING.view_bytes].reshape(shape)
    probabilities = np.asarray(_network().run(None, {"frames": frames})[0])
    return Seen(
        container,
        reports[0].facts,
        reports[-1].effort,
        tuple(_labels()[k] for k in probabilities.argmax(1)),
        tuple(float(p) for p in probabilities.max(1)),
        tuple(report.kind for report in reports if isinstance(report, wire.Doubt)),
    )
