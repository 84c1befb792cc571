"""X3D-S and Video Swin-T, from a checkpoint to answers of the running stack; and what must not be installed.

The weights are random but seeded: there is no model hub here. `make test-models` runs this, with the exporter's image.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from cliplane.decoder.reader import load_reader
from cliplane.policy.sampling import Sampling, crop_offset, plan_views, scaled_size
from cliplane.settings import Settings

from tests import media
from tests.integration.conftest import BASE, wait_until
from tests.models.conftest import MODELS, make, run, seed, served

LIMITS = Settings().decoder_limits()

PYTORCH = """
import sys, numpy, torch
from exporter.checkpoint import fit, read_weights
from exporter.networks import NETWORKS, served
name, checkpoint, views, out = sys.argv[1:]
about = NETWORKS[name]
weights = read_weights(__import__("pathlib").Path(checkpoint))
network = about.build(len(weights[about.head_weight]), about.sampling)
fit(network, weights)
with torch.no_grad():
    answers = [served(network, about)(torch.from_numpy(view[None]))[0] for view in numpy.load(views)]
numpy.save(out, torch.stack(answers).numpy())
"""


def views_of(path: Path, sampling: Sampling) -> np.ndarray:
    """The views as the decoder cuts them, (views, T, H, W, C)."""
    with path.open("rb") as file:
        reader = load_reader("pyav")(file.fileno(), None, LIMITS, 1)
        views = plan_views(reader.info.frame_count, sampling)
        width, height = scaled_size(reader.info.width, reader.info.height, sampling)
        numbers = sorted({number for view in views for number in view.frames})
        frames = {number: frame.copy() for number, frame in reader.frames(numbers, width, height)}
        reader.close()
    cut = []
    for view in views:
        x, y = crop_offset(width, height, view, sampling)
        cut.append([frames[n][y : y + sampling.crop_height, x : x + sampling.crop_width] for n in view.frames])
    return np.array(cut)


@pytest.mark.parametrize(("network", "classes"), [("x3d_s", 400), ("swin3d_t", 7)])
def test_a_checkpoint_is_exported_served_and_answers_as_pytorch(
    work: Path, name: str, network: str, classes: int
) -> None:
    checkpoint, labels = work / f"{network}.pth", work / f"{network}.txt"
    seed(network, classes, checkpoint)
    labels.write_text("".join(f"class {k}\n" for k in range(classes)))
    videos = work / f"{network} videos"
    videos.mkdir()
    video = videos / "video.mp4"
    video.write_bytes(media.encode(media.moving_camera("pan_right", frames=110), options={"crf": "20"}))
    done = make("model", NAME=network, AS=name, CHECKPOINT=checkpoint, LABELS=labels, VIDEOS=videos)
    assert done.returncode == 0, done.stderr
    parity = json.loads((MODELS / name / "export.json").read_text())["parity"]
    assert parity["clips"] == parity["real_clips"] == 3
    assert set(parity["max_difference"]) == {"openvino", "triton"}
    assert max(parity["max_difference"].values()) <= 1e-4

    wait_until(lambda: name in served(), seconds=90, what="Triton has loaded it, without a restart")
    query: dict[str, str | int] = {"model": name, "views": 2, "top": classes}
    response = httpx.post(f"{BASE}/v1/classify", params=query, content=video.read_bytes(), timeout=120)
    assert response.status_code == 200, response.text

    model = next(m for m in httpx.get(f"{BASE}/v1/models").json()["models"] if m["name"] == name)
    cut = model["sampling"]
    sampling = Sampling(
        cut["clip_length"], cut["temporal_stride"], cut["short_side"], cut["crop"][0], cut["crop"][1], 2, 1
    )
    np.save(work / "views.npy", views_of(video, sampling))
    assert run("-c", PYTORCH, network, checkpoint, work / "views.npy", work / "expected.npy").returncode == 0
    expected = np.load(work / "expected.npy")
    for view, probabilities in zip(response.json()["views"], expected, strict=True):
        scores = {p["label"]: p["score"] for p in view["predictions"]}
        found = np.array([scores[f"class {k}"] for k in range(classes)])
        assert np.abs(found - probabilities).max() < 1e-4
        assert found.argmax() == probabilities.argmax()
