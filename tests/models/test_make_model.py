"""X3D-S and Video Swin-T, from a checkpoint to answers of the running stack; and checkpoints that must be refused.

The weights are random but seeded: there is no model hub here. `make test-models` runs this, with the exporter's image.
"""

from __future__ import annotations

import json
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
from tests.models.conftest import MODELS, export, run, seed, served

LIMITS = Limits(**Settings().decoder_limits())

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
    seed(network, classes, checkpoint)
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
    seed("x3d_xs", 5, checkpoint)
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
    other = work / "other.txt"
    other.write_text("v\nw\nx\ny\nz\n")
    assert export("x3d_xs", "--as", name, "--checkpoint", checkpoint, "--labels", other).returncode == 0
    labels.write_text("a\nb\nc\nd\ne\n")
    relabelled = export("x3d_xs", "--as", name, "--checkpoint", checkpoint, "--labels", labels)
    assert f"with other labels (5): AS=another name, or make model-rm NAME={name} first" in relabelled.stderr
    recut = export("x3d_xs", "--as", name, "--checkpoint", checkpoint, "--labels", other, "--sampling", "crop=160")
    assert "with another sampling" in recut.stderr
    assert sorted(path.name for path in (MODELS / name).iterdir() if path.is_dir()) == ["1", "configs"]
    assert not (work / "harm").exists()
    assert sorted(path.name for path in MODELS.iterdir()) == sorted([*before, name])


def test_a_full_disk_leaves_the_repository_as_it_was(work: Path) -> None:
    checkpoint, labels = work / "full.pth", work / "full.txt"
    seed("x3d_xs", 5, checkpoint)
    labels.write_text("a\nb\nc\nd\ne\n")
    make = f"python -W ignore -m exporter x3d_xs --models /small/models --checkpoint {checkpoint} --labels {labels}"
    script = f"""
        mkdir /small/models && {make} || exit 9
        dd if=/dev/zero of=/small/full bs=64k 2>/dev/null; truncate -s -1M /small/full
        find /small -type f -exec sha256sum {{}} + | sort > /tmp/before
        {make} && exit 8
        {make} --as another && exit 7
        find /small -type f -exec sha256sum {{}} + | sort | diff /tmp/before - && find /small -name '.*'
    """
    done = run("-c", script, entry="sh", options=["--tmpfs", "/small:size=64m"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("No space left on device") == 2
    assert ".models.new" not in done.stdout
