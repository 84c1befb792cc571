"""The shoot-out on a small network: every engine is in the table or says why not, and the config has the choice."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.conftest import wait_until
from tests.models.conftest import MODELS, make, seed, served

ENGINES = [
    "pytorch",
    "torch_compile",
    "onnxruntime",
    "openvino_f32",
    "openvino_bf16",
    "openvino_int8",
    "pytorch_cuda",
    "onnxruntime_cuda",
    "onnxruntime_tensorrt",
    "tensorrt_fp16",
]
FIGURES = ["latency_ms", "batch_ms_per_view", "views_per_s", "load_s", "memory_mib"]


def test_every_engine_runs_or_says_why_and_the_choice_is_served(work: Path, name: str) -> None:
    checkpoint, labels = work / "engines.pth", work / "engines.txt"
    seed("x3d_xs", 5, checkpoint)
    labels.write_text("a\nb\nc\nd\ne\n")
    # In bfloat16 at first, so that the choice has something to change or to keep on purpose.
    made = make("model", NAME="x3d_xs", AS=name, CHECKPOINT=checkpoint, LABELS=labels, PRECISION="bf16")
    assert made.returncode == 0, made.stderr
    assert '"INFERENCE_PRECISION_HINT" value { string_value: "bf16" }' in (MODELS / name / "config.pbtxt").read_text()
    done = make("engines", NAME=name, CHECKPOINT=checkpoint, ROUNDS=1)
    assert done.returncode == 0, done.stderr
    results = json.loads((MODELS / name / "engines.json").read_text())
    assert (MODELS / name / "engines.svg").read_text().startswith("<svg")
    rows = {one["engine"]: one for one in results["engines"]}
    assert list(rows) == ENGINES
    for engine in ("pytorch", "torch_compile", "onnxruntime", "openvino_f32"):
        assert not rows[engine]["reason"], rows[engine]
    for one in rows.values():
        if one["reason"]:
            assert len(one["reason"]) > 10
            assert not set(FIGURES) & set(one)
            assert one["reason"] in done.stdout
        else:
            assert all(one[figure] > 0 for figure in FIGURES), one
    assert results["clips"]["tops"] > 1  # else any engine would agree
    assert rows["pytorch"]["agreement"] == 1
    assert rows["openvino_f32"]["max_difference"] < 1e-3
    assert rows["openvino_f32"]["agreement"] >= 0.99

    chosen = rows[results["choice"]["engine"]]
    assert chosen["engine"].startswith("openvino")
    assert chosen["agreement"] >= 0.99
    assert chosen["latency_ms"] <= rows["pytorch"]["latency_ms"]
    assert chosen["batch_ms_per_view"] <= rows["pytorch"]["batch_ms_per_view"]
    config = (MODELS / name / "config.pbtxt").read_text()
    if chosen["engine"] == "openvino_int8":
        assert 'default_model_filename: "model_int8.xml"' in config
    else:
        precision = chosen["engine"].removeprefix("openvino_")
        assert f'key: "INFERENCE_PRECISION_HINT" value {{ string_value: "{precision}" }}' in config
    wait_until(lambda: name in served(), seconds=60, what="it is served with the choice")
    assert f'key: "measured_engine" value {{ string_value: "{chosen["engine"]}" }}' in config


def test_without_the_weights_it_says_what_it_needs(work: Path, name: str) -> None:
    checkpoint, labels = work / "lost.pth", work / "lost.txt"
    seed("x3d_xs", 5, checkpoint)
    labels.write_text("a\nb\nc\nd\ne\n")
    assert make("model", NAME="x3d_xs", AS=name, CHECKPOINT=checkpoint, LABELS=labels).returncode == 0
    before = (MODELS / name / "config.pbtxt").read_text()
    lost = make("engines", NAME=name, WEIGHTS=work / "none")
    assert lost.returncode == 1
    assert "give CHECKPOINT=lost.pth" in lost.stderr
    other = work / "other.pth"
    seed("x3d_xs", 6, other)
    wrong = make("engines", NAME=name, CHECKPOINT=other)
    assert "is not what" in wrong.stderr
    missing = make("engines", NAME=f"{name}_not_there")
    assert "there is no model" in missing.stderr
    assert (MODELS / name / "config.pbtxt").read_text() == before
