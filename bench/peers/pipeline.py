"""What every peer does with a video: decord, OpenVINO, the mean over the views. One object a worker process.

The frames and the model are those that Cliplane uses, and each frame is decoded once, so that what is compared is
everything around them. Settings come from the environment, since each framework starts its workers in its own way:
MODEL (a folder of the model repository), VIEWS, WORKERS, THREADS (of one worker, for decoding and for inference);
COUNT_ONLY where only the upload is measured.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import decord
import numpy as np
from cliplane.policy.sampling import Sampling, View, crop_offset, plan_views, scaled_size
from exporter.engines.openvino_engine import Engine

MODEL = Path(os.environ.get("MODEL", ""))
VIEWS = int(os.environ.get("VIEWS", "10"))
WORKERS = int(os.environ.get("WORKERS", "1"))
THREADS = int(os.environ.get("THREADS", "1"))


def read_sampling(config: str) -> Sampling:
    """A model's sampling from its config.pbtxt, with VIEWS clips."""
    dims = re.search(r"TYPE_UINT8 dims: \[ (\d+), (\d+), (\d+), 3 \]", config)
    parameters = dict(re.findall(r'key: "(\w+)" value { string_value: "([^"]*)" }', config))
    assert dims
    length, height, width = map(int, dims.groups())
    stride, side = int(parameters["temporal_stride"]), int(parameters["short_side"])
    frame_rate = float(parameters.get("frame_rate", 0))
    return Sampling(length, stride, side, height, width, clips=VIEWS, crops=1, frame_rate=frame_rate)


def plan(video: decord.VideoReader, sampling: Sampling) -> list[View]:
    """The views in the file's own frame numbers: what is shown at the model's frames."""
    fps, count = video.get_avg_fps(), len(video)
    rate = sampling.frame_rate or fps
    views = plan_views(max(1, round(count * rate / fps)), sampling)
    return [
        view._replace(frames=tuple(min(int(n * fps / rate + 0.5), count - 1) for n in view.frames)) for view in views
    ]


def read_precision(config: str) -> str:
    """The precision of a model's config.pbtxt, by OpenVINO's names."""
    (precision,) = re.findall(r'"INFERENCE_PRECISION_HINT" value { string_value: "(\w+)" }', config)
    return str(precision)


def load_engine(folder: Path, threads: int) -> Engine:
    """A model folder in the engine that Triton has here, in the precision that its config says."""
    config = (folder / "config.pbtxt").read_text()
    sampling = read_sampling(config)
    shape = (1, sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
    properties = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": read_precision(config)}
    return Engine(folder / "1" / "model.onnx", shape, properties)


class Classifier:
    """The model, loaded; `THREADS` threads."""

    def __init__(self) -> None:
        self.sampling = read_sampling((MODEL / "config.pbtxt").read_text())
        self._labels = (MODEL / "labels.txt").read_text().splitlines()
        self._engine = load_engine(MODEL, THREADS)

    def classify(self, path: str) -> dict[str, object]:
        """The five best labels of a file."""
        return self.predictions(self.infer(self.views(path)).mean(axis=0))

    def views(self, path: str) -> np.ndarray:
        """(views, T, H, W, C) uint8."""
        width, height = scaled_size(*self._size(path), self.sampling)
        video = decord.VideoReader(path, width=width, height=height, num_threads=THREADS)
        views = plan(video, self.sampling)
        numbers = sorted({number for view in views for number in view.frames})
        frames = dict(zip(numbers, video.get_batch(numbers).asnumpy(), strict=True))
        x, y = crop_offset(width, height, views[0], self.sampling)
        crops = {n: f[y : y + self.sampling.crop_height, x : x + self.sampling.crop_width] for n, f in frames.items()}
        return np.stack([np.stack([crops[number] for number in view.frames]) for view in views])

    def infer(self, views: np.ndarray) -> np.ndarray:
        """(views, classes) probabilities."""
        return np.concatenate(self._engine.infer([view[None] for view in views]))

    def predictions(self, scores: np.ndarray) -> dict[str, object]:
        best = scores.argsort()[::-1][:5]
        return {"predictions": [{"label": self._labels[i], "score": float(scores[i])} for i in best]}

    @staticmethod
    def _size(path: str) -> tuple[int, int]:
        """(width, height), which decord tells only of a file it has opened; one thread, no picture decoded."""
        height, width, _ = decord.VideoReader(path, num_threads=1)[0].shape
        return width, height


class ByteCounter:
    """In the classifier's place where only the upload is measured."""

    def classify(self, path: str) -> dict[str, object]:
        return {"bytes": os.path.getsize(path)}


def make_classifier() -> Classifier | ByteCounter:
    return ByteCounter() if os.environ.get("COUNT_ONLY") else Classifier()
