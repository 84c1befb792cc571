"""The write-up's first stack: Flask's own server, frames decoded at their full size and resized afterwards, each view
cut for itself, float32 to Triton in the body of an HTTP request."""

from __future__ import annotations

import os
import re
import tempfile

import decord
import numpy as np
import tritonclient.http as triton_http
from cliplane.policy.sampling import crop_offset, scaled_size
from flask import Flask, request
from PIL import Image

from bench.peers.pipeline import MODEL, plan, read_sampling

app = Flask(__name__)
config = (MODEL / "config.pbtxt").read_text()
sampling = read_sampling(config)
most = int(re.findall(r"max_batch_size: (\d+)", config)[0])
labels = (MODEL / "labels.txt").read_text().splitlines()


@app.post("/classify")
def classify() -> dict[str, object]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        request.files["video"].save(file.name)
        video = decord.VideoReader(file.name)
        views = np.stack([cut(video, view) for view in plan(video, sampling)])
    with triton_http.InferenceServerClient(os.environ["TRITON"], network_timeout=120) as client:
        parts = [infer(client, views[first : first + most]) for first in range(0, len(views), most)]
    scores = np.concatenate(parts).mean(axis=0)
    best = scores.argsort()[::-1][:5]
    return {"predictions": [{"label": labels[i], "score": float(scores[i])} for i in best]}


def infer(client: triton_http.InferenceServerClient, views: np.ndarray) -> np.ndarray:
    """(views, classes)"""
    frames = triton_http.InferInput("frames", views.shape, "FP32")
    frames.set_data_from_numpy(views)
    return client.infer(f"{MODEL.name}_float32", [frames]).as_numpy("probabilities")


def cut(video: decord.VideoReader, view: object) -> np.ndarray:
    """One view, (T, H, W, C) float32."""
    frames = []
    for frame in video.get_batch(view.frames).asnumpy():  # type: ignore[attr-defined]
        width, height = scaled_size(frame.shape[1], frame.shape[0], sampling)
        small = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
        x, y = crop_offset(width, height, view, sampling)  # type: ignore[arg-type]
        frames.append(small[y : y + sampling.crop_height, x : x + sampling.crop_width].astype(np.float32))
    return np.stack(frames)


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000)
