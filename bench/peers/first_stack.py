"""The write-up's first stack: Flask's own server, frames decoded at their full size and resized afterwards, each view
cut for itself, float32 to Triton in the body of an HTTP request."""

from __future__ import annotations

import os
import tempfile

import decord
import numpy as np
import tritonclient.http as triton_http
from cliplane.sampling import crop_offset, plan_views, scaled_size
from flask import Flask, request
from PIL import Image

from bench.peers.pipeline import MODEL, read_sampling

app = Flask(__name__)
sampling = read_sampling((MODEL / "config.pbtxt").read_text())
labels = (MODEL / "labels.txt").read_text().splitlines()


@app.post("/classify")
def classify() -> dict[str, object]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        request.files["video"].save(file.name)
        video = decord.VideoReader(file.name)
        views = np.stack([cut(video, view) for view in plan_views(len(video), sampling)])
    frames = triton_http.InferInput("frames", views.shape, "FP32")
    frames.set_data_from_numpy(views)
    with triton_http.InferenceServerClient(os.environ["TRITON"], network_timeout=120) as client:
        answer = client.infer(f"{MODEL.name}_float32", [frames])
    scores = answer.as_numpy("probabilities").mean(axis=0)
    best = scores.argsort()[::-1][:5]
    return {"predictions": [{"label": labels[i], "score": float(scores[i])} for i in best]}


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
