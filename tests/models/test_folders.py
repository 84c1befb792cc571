"""Folders as Hugging Face's Trainer leaves them: what is served is what transformers answers, and what is not
understood is refused by name. `folders.py` does all of it, in one container of the exporter's image."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import media
from tests.integration.conftest import BASE, wait_until
from tests.models.conftest import MODELS, REPOSITORY, make, run, served

KINDS = ("videomae", "timesformer", "vivit", "vjepa2", "videoprism_vision_model")
THRESHOLDS = [0.1, 0.9, 0.3, 0.7, 0.5]
LABELS = ["fall", "jump", "run", "sit", "walk"]


@pytest.fixture(scope="module")
def found(work: Path) -> Any:
    done = run("-W", "ignore", REPOSITORY / "tests" / "models" / "folders.py", work / "folders")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_served_of_a_folder_answers_as_transformers_do(found: Any, kind: str) -> None:
    about = found["compared"][kind]
    assert max(about["openvino"], about["transformers"], about["kept"]) <= 1e-4
    assert about["spread"] > 1e-3  # the clips have different answers: else anything would agree
    assert about["labels"] == LABELS
    assert about["clip"] == [4, 2]
    # VideoPrism's processor makes squares of frames, the others keep their shape.
    is_square = kind == "videoprism_vision_model"
    assert (about["side"], about["fit"]) == (([32, 32], "square") if is_square else ([36, 32], "short_side"))


def test_a_multi_label_folder_answers_with_a_sigmoid_of_calibrated_logits(found: Any) -> None:
    about = found["multi-label"]
    assert max(about["openvino"], about["transformers"], about["kept"]) <= 1e-4
    assert about["sum"] > 1.1
    assert about["multi-label"]
    assert about["thresholds"] == THRESHOLDS
    assert not found["compared"]["videomae"]["multi-label"]


def test_shards_and_pickles_hold_what_one_file_holds(found: Any) -> None:
    assert found["shards"] == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another task", "model_type is 'vit'; it is one of videomae, "),
        ("pretraining", "architectures is VideoMAEForPreTraining, not VideoMAEForVideoClassification"),
        ("remote code", "config.json: auto_map asks for code of its own, and none is run here"),
        ("remote processor", "preprocessor_config.json: auto_map asks for code of its own"),
        ("regression", "it is a regression"),
        ("one channel", "num_channels is 1; videos are decoded to 3"),
        ("150 frames", "num_frames is 150; a clip has at most 128 frames here"),
        ("another side", "the processor cuts 32 × 32, and config.json says image_size 64: they contradict each other"),
        ("seven labels", "config.json has 7 labels, and the weights have 5 classes"),
        ("labels from 1", "id2label does not count its 5 labels from 0"),
        ("layers", "left over: videomae.encoder.layer.1."),
        ("no network", "cannot be built from it: The hidden size 33"),
        ("config cut off", "config.json: it cannot be read as JSON"),
        ("no config", "it has no config.json"),
        ("no processor", "it has neither video_preprocessor_config.json nor preprocessor_config.json"),
        ("unknown processor", "preprocessor_config.json: ViTImageProcessor; it is one of VideoMAEImageProcessor, "),
        ("oblong", "it scales frames to {'height': 32, 'width': 64}; here it is by their short side"),
        ("no crop", "it cuts no square from the centre"),
        ("large crop", "a crop of 32 does not fit a short side of 16"),
        ("two processors", "contradict each other: leave the one that was trained with"),
        ("no weights", "it has no weights: model.safetensors or pytorch_model.bin"),
        ("cut weights", "model.safetensors: it is cut off, or not a safetensors file"),
        ("missing key", "1 missing: classifier.bias"),
        ("surplus key", "1 left over: extra"),
        ("pickle", "pytorch_model.bin: it holds more than tensors"),
        ("adapter", "it holds an adapter alone"),
        ("calibration", "calibration.json: temperature is a number from 0.01 to 100, not 0"),
        ("needless thresholds", "thresholds.txt: of a softmax one label is answered, and needs no threshold"),
        ("four thresholds", "thresholds.txt: 4 thresholds for 5 labels"),
        ("threshold of 2", "thresholds.txt: it has a number from 0 to 1 a line, and no other"),
        ("threshold in words", "thresholds.txt: it has a number from 0 to 1 a line"),
        ("lost shard", "model-00002-of-00003.safetensors is missing, which model.safetensors.index.json names"),
        (
            "no sampling",
            "as in its training; usual with VideoMAEForVideoClassification is stride=4,frame_rate=30 for Kinetics",
        ),
        ("another clip", "SAMPLING: clip_length is the folder's, 4"),
        ("three labels", "LABELS=three.txt: 3 labels for 5 classes"),
        ("no name", "it needs AS=, the model's name here"),
        ("two sources", "FROM has its network and its weights"),
        ("nothing", "it needs NAME=, a network's, CHECKPOINT=, its weights, or FROM="),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(found: Any, case: str, words: str) -> None:
    assert found["refused"][case]["code"] == 1
    assert words in found["refused"][case]["said"]
    assert len(found["refused"][case]["said"].splitlines()) == 1


def test_every_folder_that_was_offered_is_in_the_table(found: Any) -> None:
    (marks,) = (mark for mark in test_what_is_wrong_with_a_folder_is_named.pytestmark if mark.name == "parametrize")
    assert {case for case, _ in marks.args[1]} == set(found["refused"])


def test_refused_folders_run_nothing_and_leave_nothing(found: Any) -> None:
    assert not found["harm"]
    assert [path for path in found["left"] if not path.endswith("staged/weights.safetensors")] == []


def told_in_the_docs() -> dict[str, str]:
    """The variables of the first command of docs/trainer.md."""
    lines = (REPOSITORY / "docs" / "trainer.md").read_text().splitlines()
    command = next(line for line in lines if line.startswith("    make model "))
    return dict(word.split("=", 1) for word in shlex.split(command)[2:])


@pytest.mark.usefixtures("found")
def test_the_command_of_the_docs_makes_a_server_of_a_folder(work: Path, name: str) -> None:
    folder = work / "folders" / "videomae 1"  # of several labels
    told = told_in_the_docs()
    assert set(told) == {"FROM", "AS", "SAMPLING"}
    done = make("model", **(told | {"FROM": folder, "AS": name}))
    assert done.returncode == 0, done.stderr
    about = json.loads((MODELS / name / "export.json").read_text())
    assert (about["network"], about["source"]) == ("videomae", "videomae 1")
    assert max(about["parity"]["max_difference"].values()) <= 1e-4
    wait_until(lambda: name in served(), seconds=90, what="Triton has loaded it")
    video = media.encode(media.moving_camera("pan_right", frames=60, width=200, height=200), options={"crf": "28"})

    def ask(**query: float) -> Any:
        response = httpx.post(f"{BASE}/v1/classify", params={"model": name, **query}, content=video, timeout=60)
        assert response.status_code == 200, response.text
        return response.json()

    found = ask(min_score=0)
    assert len(found["views"]) == 1
    scores = {one["label"]: one["score"] for one in found["predictions"]}
    assert sorted(scores) == LABELS

    def reaching(least: dict[str, float]) -> list[str]:
        return sorted(label for label, score in scores.items() if score >= least[label])

    model = next(one for one in httpx.get(f"{BASE}/v1/models").json()["models"] if one["name"] == name)
    assert model["multi_label"]
    assert model["thresholds"] == dict(zip(LABELS, THRESHOLDS, strict=True))
    assert sorted(one["label"] for one in ask()["predictions"]) == reaching(model["thresholds"])
    middle = sorted(scores.values())[2]
    assert sorted(one["label"] for one in ask(min_score=middle)["predictions"]) == reaching(
        dict.fromkeys(LABELS, middle)
    )
    assert ask(min_score=1)["predictions"] == []
    assert len(ask(min_score=0, top=2)["predictions"]) == 2
