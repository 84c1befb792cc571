"""X3D-S and Video Swin-T, from a checkpoint to answers of the running stack; and checkpoints that must be refused.

The weights are random but seeded: there is no model hub here. `make test-models` runs this, with the exporter's image.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from cliplane.decoder.container import Limits
from cliplane.decoder.reader import open_reader
from cliplane.sampling import Sampling, crop_offset, plan_views, scaled_size
from cliplane.settings import Settings

from tests import media
from tests.integration.conftest import BASE, wait_until

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "services" / "triton" / "models"
LIMITS = Limits(**Settings().decoder_limits())

CHECKPOINT = """
import sys, torch
from exporter.networks import NETWORKS
name, classes, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
network = NETWORKS[name].build(classes, NETWORKS[name].sampling)
# Random weights answer nearly the same to everything: a larger head makes the classes differ.
weights = network.state_dict()
weights[NETWORKS[name].head_weight] *= 30
torch.save({"state_dict": {"module." + key: value for key, value in weights.items()}}, out)
"""

PYTORCH = """
import sys, numpy, torch
from exporter.checkpoint import fit, read_weights
from exporter.networks import NETWORKS, Served
name, checkpoint, views, out = sys.argv[1:]
about = NETWORKS[name]
weights = read_weights(__import__("pathlib").Path(checkpoint))
network = about.build(len(weights[about.head_weight]), about.sampling)
fit(network, weights)
with torch.no_grad():
    answers = [Served(network, about).eval()(torch.from_numpy(view[None]))[0] for view in numpy.load(views)]
numpy.save(out, torch.stack(answers).numpy())
"""


def run(*arguments: object, entry: str = "python") -> subprocess.CompletedProcess[str]:
    mounts = ["-v", f"{REPOSITORY}:{REPOSITORY}"]
    command = ["docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", entry, os.environ["EXPORTER"]]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)


def export(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("-W", "ignore", "-m", "exporter", *arguments, "--models", MODELS)


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder that the exporter's container sees under the same path."""
    folder = REPOSITORY / "artifacts" / f"models-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def name() -> Iterator[str]:
    """A name that is taken away again, whatever became of it."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["rm", "-rf", str(MODELS / name)], check=True)
    wait_until(lambda: name not in served(), seconds=30, what="the model is gone")


def served() -> set[str]:
    return {model["name"] for model in httpx.get(f"{BASE}/v1/models", timeout=60).json()["models"]}


def views_of(path: Path, sampling: Sampling) -> np.ndarray:
    """The views as the decoder cuts them, (views, T, H, W, C)."""
    reader = open_reader("pyav", str(path), None, LIMITS, 1)
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
    assert run("-c", CHECKPOINT, network, classes, checkpoint).returncode == 0
    labels.write_text("".join(f"class {k}\n" for k in range(classes)))
    done = export(network, "--as", name, "--checkpoint", checkpoint, "--labels", labels)
    assert done.returncode == 0, done.stderr
    about = json.loads((MODELS / name / "export.json").read_text())
    assert about["parity"]["max_difference"] <= 1e-4

    wait_until(lambda: name in served(), seconds=90, what="Triton has loaded it, without a restart")
    video = work / "video.mp4"
    video.write_bytes(media.encode(media.moving_camera("pan_right", frames=110), options={"crf": "20"}))
    query = {"model": name, "views": 2, "top": classes}
    answer = httpx.post(f"{BASE}/v1/classify", params=query, content=video.read_bytes(), timeout=120)
    assert answer.status_code == 200, answer.text

    model = next(m for m in httpx.get(f"{BASE}/v1/models").json()["models"] if m["name"] == name)
    cut = model["sampling"]
    sampling = Sampling(cut["clip_length"], cut["temporal_stride"], cut["short_side"], *cut["crop"], clips=2, crops=1)
    np.save(work / "views.npy", views_of(video, sampling))
    assert run("-c", PYTORCH, network, checkpoint, work / "views.npy", work / "expected.npy").returncode == 0
    expected = np.load(work / "expected.npy")
    for view, probabilities in zip(answer.json()["views"], expected, strict=True):
        scores = {p["label"]: p["score"] for p in view["predictions"]}
        found = np.array([scores[f"class {k}"] for k in range(classes)])
        assert np.abs(found - probabilities).max() < 1e-4
        assert found.argmax() == probabilities.argmax()


def test_bad_input_is_named_and_installs_nothing(work: Path, name: str) -> None:
    checkpoint, labels = work / "good.pth", work / "labels.txt"
    assert run("-c", CHECKPOINT, "x3d_xs", 5, checkpoint).returncode == 0
    labels.write_text("a\nb\nc\n")
    evil = work / "evil.pth"
    code = "import os, sys, torch\nclass E:\n    def __reduce__(self): return (os.system, ('touch ' + sys.argv[2],))\n"
    assert run("-c", f"{code}torch.save(E(), sys.argv[1])", evil, work / "harm").returncode == 0
    (work / "cut.pth").write_bytes(checkpoint.read_bytes()[:100_000])
    (work / "text.pth").write_text("no checkpoint")
    before = sorted(path.name for path in MODELS.iterdir())
    for arguments, words in (
        (["--checkpoint", checkpoint, "--labels", labels], "3 labels for 5 classes"),
        (["--checkpoint", checkpoint], "the checkpoint has 5 classes"),
        (["--checkpoint", work / "missing.pth"], "there is no such file"),
        (["--checkpoint", work / "cut.pth"], "cut off"),
        (["--checkpoint", work / "text.pth"], "not a checkpoint"),
        (["--checkpoint", evil], "more than tensors"),
        (["--sampling", "clip_length=x"], "SAMPLING"),
        (["--cache", work / "cache"], "fetch https://"),
    ):
        done = export("x3d_xs", "--as", name, *arguments)
        assert done.returncode == 1, arguments
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    wrong = export("swin3d_t", "--as", name, "--checkpoint", checkpoint)
    assert "it has no head.weight" in wrong.stderr
    taken = export("x3d_xs", "--as", "camera_motion", "--checkpoint", checkpoint)
    assert "already" in taken.stderr
    assert not (work / "harm").exists()
    assert sorted(path.name for path in MODELS.iterdir()) == before
