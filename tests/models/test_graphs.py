"""ONNX=file: a graph from elsewhere is served as it answers by itself, or refused by name. `graphs.py` does all of it,
in one container of the exporter's image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import MODELS, REPOSITORY, make, run


@pytest.fixture(scope="module")
def found(work: Path) -> Any:
    done = run("-W", "ignore", REPOSITORY / "tests" / "models" / "graphs.py", work / "graphs")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("graph", ["NCTHW", "NTCHW", "NTHWC", "sigmoid", "its own softmax", "one view"])
def test_what_is_served_of_a_graph_answers_as_onnx_runtime(found: Any, graph: str) -> None:
    about = found["compared"][graph]
    assert about["difference"] <= 1e-4
    assert about["spread"] > 0.01
    assert about["sum"] > 1.1 if graph == "sigmoid" else about["sum"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("free frames", "its input is n × 3 × ? × 32 × 32; all but the first are fixed"),
        ("two colours", "one of its dimensions, and only one, is 3"),
        ("three frames", "one of its dimensions, and only one, is 3"),
        ("two views", "its input is 2 × 3 × 4 × 32 × 32"),
        ("no square", "its frames are 40 × 32; here they are squares"),
        ("cut", "cut.onnx: it is cut off, or not an ONNX graph"),
        ("text", "text.onnx: it is cut off, or not an ONNX graph"),
        ("outside", "its weights are in another file: save it whole"),
        ("no normalisation", "a graph does not say how its pixels are normalised: NORMALISE=mean="),
        ("two means", "NORMALISE: mean has three numbers, red/green/blue, not '0.5/0.5'"),
        ("no deviation", "NORMALISE: a std is more than 0"),
        ("no activation", "it ends in Mul, which says nothing of its output: ACTIVATION=softmax|sigmoid|none"),
        ("no sampling", "SAMPLING=stride=N (or mode=uniform, mode=segments),short_side=PIXELS"),
        ("another clip", "SAMPLING: clip_length is the graph's, 4"),
        ("no labels", "NCTHW.onnx has 5 classes: LABELS=file"),
        ("three labels", "LABELS=three.txt: 3 labels for 5 classes"),
        ("no probabilities", "its output is no probabilities"),
    ],
)
def test_what_is_wrong_with_a_graph_is_named(found: Any, case: str, words: str) -> None:
    assert words in found["refused"][case]


@pytest.mark.parametrize("file", ["script.pt", "trace.pt", "one.pt2", "any.pt2"])
def test_what_is_served_of_a_program_answers_as_the_network_it_was_made_of(found: Any, file: str) -> None:
    assert found["programs"][file]["difference"] <= 1e-4
    assert found["programs"][file]["spread"] > 0.01


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("pickle.pt", "it is a pickle (torch.save), which may hold any code, and is not read: torch.export.save, or"),
        ("cut.pt2", "cut.pt2: it is cut off, or no archive of PyTorch's"),
        ("text.onnx", "text.onnx: it is cut off, or no archive of PyTorch's"),
        ("evil.pt2", "it is no ExportedProgram that can be read: its pickles hold more than tensors"),
        ("two.pt2", "its input is 2 × 3 × 4 × 32 × 32; all but the first of five are fixed, and that is free or 1"),
        ("script.pt", "TorchScript says no shapes: SAMPLING=clip_length=FRAMES,crop=PIXELS"),
        ("script.pt clip_length=4,crop=1", "it takes no clips of 4 frames of 1 pixels in any order: RuntimeError: "),
        ("ambiguous.pt clip_length=4,crop=32", "it takes 1 × 3 × 4 × 32 × 32 and 1 × 4 × 3 × 32 × 32 and "),
    ],
)
def test_what_is_wrong_with_a_program_is_named(found: Any, case: str, words: str) -> None:
    assert words in found["refused programs"][case]
    assert not found["harm"]


@pytest.mark.usefixtures("found")
def test_a_program_is_installed_as_a_graph_when_triton_answers_as_onnx_runtime(work: Path, name: str) -> None:
    folder = work / "graphs"
    given = {"TORCH": folder / "one.pt2", "AS": name, "LABELS": folder / "labels.txt", "ACTIVATION": "softmax"}
    told = {"SAMPLING": "mode=uniform,short_side=36", "NORMALISE": "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"}
    done = make("model", **given, **told)
    assert done.returncode == 0, done.stderr
    assert "from ONNX Runtime's: " in done.stdout
    about = json.loads((MODELS / name / "export.json").read_text())
    assert about["source"] == "one.pt2.onnx"
    assert max(about["parity"]["max_difference"].values()) <= 1e-4
    engines = make("engines", NAME=name)
    assert engines.returncode == 1
    assert "came as a graph: PyTorch has no network of it to compare with" in engines.stderr
