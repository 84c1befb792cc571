"""What a model's parameters say: read, or refused by name."""

from __future__ import annotations

import pytest
from cliplane.triton.model_spec import (
    Measured,
    read_is_multi_label,
    read_label_descriptions,
    read_measured,
    read_sampling,
    read_thresholds,
)
from exporter.engines.serving import with_figures
from exporter.pbtxt import parameter

PARAMETERS = {"temporal_stride": "5", "short_side": "128", "clips": "4", "crops": "1"}
DIMS = (16, 112, 112, 3)


def test_parameters_that_are_not_there_have_their_defaults() -> None:
    sampling = read_sampling(PARAMETERS, DIMS)
    assert (sampling.frame_rate, sampling.fit, sampling.mode, sampling.pixels) == (
        0.0,
        "short_side",
        "stride",
        "square",
    )
    assert (sampling.views, sampling.view_bytes) == (4, 16 * 112 * 112 * 3)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_that_must_be_there_is_missed_by_name(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        read_sampling({key: text for key, text in PARAMETERS.items() if key != name}, DIMS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("frame_rate", "-1"),
        ("frame_rate", "nan"),
        ("frame_rate", "1001"),
        ("mode", "all"),
        ("fit", ""),
        ("pixels", "x"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_sampling(PARAMETERS | {name: text}, DIMS)


def test_an_input_that_is_no_clip_of_rgb_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="T, H, W, 3"):
        read_sampling(PARAMETERS, (16, 112, 112, 1))
    with pytest.raises(ValueError, match="unpack"):
        read_sampling(PARAMETERS, (16, 112, 112))


def test_labels_may_say_what_they_mean() -> None:
    assert read_label_descriptions(PARAMETERS | {"description": "a model", "description.pan_left": "to the left"}) == {
        "pan_left": "to the left"
    }


def test_a_model_of_several_labels_says_so_and_from_which_score_on_it_answers_each() -> None:
    said = PARAMETERS | {"activation": "sigmoid", "thresholds": "0.5 0.25 1"}
    assert read_is_multi_label(said)
    assert not read_is_multi_label(PARAMETERS)
    assert read_thresholds(said, 3) == (0.5, 0.25, 1.0)
    assert read_thresholds(PARAMETERS, 3) is None
    with pytest.raises(ValueError, match="activation"):
        read_is_multi_label(PARAMETERS | {"activation": "any"})
    with pytest.raises(ValueError, match="`answer` is called `activation`"):
        read_is_multi_label(PARAMETERS | {"answer": "sigmoid"})
    for classes, text in ((2, "0.5 0.25 1"), (2, "0.5 1.5"), (2, "0.5 nan"), (1, ""), (1, "half")):
        with pytest.raises(ValueError, match=r"thresholds|could not convert"):
            read_thresholds({"thresholds": text}, classes)


def test_what_was_measured_is_read_as_make_engines_writes_it() -> None:
    chosen = {"engine": "openvino_bf16", "latency_ms": 24.05, "agreement": 0.9921}
    results = {
        "engines": [{"engine": "pytorch"}, chosen],
        "choice": {"engine": "openvino_bf16"},
        "clips": {"measured": 32},
    }
    config = 'parameters [\n  { key: "crops" value { string_value: "1" } }\n]\n'
    written = with_figures(with_figures(config, results), results)
    keys = ("measured_engine", "measured_view_ms", "measured_agreement", "measured_clips")
    said = {key: parameter(written, key) or "" for key in keys}
    assert read_measured(said) == Measured("openvino_bf16", 24.05, 0.9921, 32)
    assert written.count("measured_engine") == 1
    assert with_figures(config, {**results, "choice": {"engine": None}}) == config
    assert read_measured(PARAMETERS) is None
    with pytest.raises(KeyError):
        read_measured({"measured_engine": "openvino_f32"})
