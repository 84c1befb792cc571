"""Which engine is chosen, and what that changes in a model's configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter import pbtxt
from exporter.engines.choice import MIN_AGREEMENT, Measured, choose
from hypothesis import given
from hypothesis import strategies as st

REPOSITORY = Path(__file__).parents[3]

SERVED = ("openvino_f32", "openvino_bf16")
PYTORCH = Measured("pytorch", 100.0, 90.0, 1.0)


def test_the_fastest_that_agrees_and_can_be_served_is_chosen() -> None:
    ran = [
        PYTORCH,
        Measured("onnxruntime", 10.0, 9.0, 1.0),
        Measured("openvino_f32", 30.0, 30.0, 1.0),
        Measured("openvino_bf16", 20.0, 20.0, 0.995),
    ]
    choice = choose(ran, SERVED)
    assert choice.engine == "openvino_bf16"
    assert choice.faster == ("onnxruntime",)
    assert "5.0 times" in choice.sentence


def test_one_that_answers_otherwise_is_not_chosen_however_fast() -> None:
    ran = [PYTORCH, Measured("openvino_f32", 30.0, 30.0, 1.0), Measured("openvino_bf16", 1.0, 1.0, 0.9899)]
    assert choose(ran, SERVED).engine == "openvino_f32"


@pytest.mark.parametrize(("alone", "in_batch"), [(100.1, 50.0), (50.0, 90.1)])
def test_never_one_slower_than_pytorch_alone_or_in_a_batch(alone: float, in_batch: float) -> None:
    choice = choose([PYTORCH, Measured("openvino_f32", alone, in_batch, 1.0)], SERVED)
    assert choice.engine is None
    assert "as fast" in choice.sentence


def test_without_pytorch_nothing_is_chosen() -> None:
    assert choose([Measured("openvino_f32", 1.0, 1.0, 1.0)], SERVED).engine is None


times = st.floats(0.1, 1000)
engines = st.builds(Measured, st.sampled_from(["onnxruntime", *SERVED]), times, times, st.floats(0, 1))


@given(
    st.lists(engines, unique_by=lambda one: one.engine),
    st.builds(Measured, st.just("pytorch"), times, times, st.just(1.0)),
)
def test_whatever_is_measured_the_rule_holds(others: list[Measured], pytorch: Measured) -> None:
    choice = choose([pytorch, *others], SERVED)
    good = [
        one
        for one in others
        if one.engine in SERVED
        and one.agreement >= MIN_AGREEMENT
        and one.latency_ms <= pytorch.latency_ms
        and one.batch_ms_per_view <= pytorch.batch_ms_per_view
    ]
    assert (choice.engine is None) == (not good)
    if good:
        chosen = next(one for one in good if one.engine == choice.engine)
        assert chosen.latency_ms == min(one.latency_ms for one in good)


BUNDLED = (REPOSITORY / "services" / "triton" / "models" / "camera_motion" / "config.pbtxt").read_text()


def test_a_config_is_read_and_changed_in_one_place_only() -> None:
    cut = pbtxt.sampling(BUNDLED)
    assert (cut.clip_length, cut.crop_height, cut.temporal_stride, cut.crops, cut.frame_rate) == (8, 64, 5, 1, 25)
    assert pbtxt.classes(BUNDLED) == 9
    changed = pbtxt.with_parameter(BUNDLED, "INFERENCE_PRECISION_HINT", "bf16")
    assert changed.replace('"bf16"', '"f32"') == BUNDLED
    added = pbtxt.with_parameter(BUNDLED, "NUM_STREAMS", "2")
    assert pbtxt.parameter(added, "NUM_STREAMS") == "2"
    assert pbtxt.sampling(added) == cut


def test_the_file_and_the_accelerator_can_be_named_and_unnamed() -> None:
    named = pbtxt.with_model_file(BUNDLED, "model_int8.xml")
    assert 'default_model_filename: "model_int8.xml"' in named
    assert pbtxt.with_model_file(named, "model_int8.xml") == named
    assert pbtxt.with_model_file(named, None) == BUNDLED
    fast = pbtxt.with_tensorrt(BUNDLED, is_wanted=True)
    assert "tensorrt" in fast
    assert pbtxt.with_tensorrt(fast, is_wanted=False) == BUNDLED


def test_a_config_of_another_form_is_refused() -> None:
    with pytest.raises(pbtxt.NotOurs):
        pbtxt.sampling('name: "x"')
