"""`make gpu-check` where it needs no card: how steps end, what is advised, and what docs/gpu.md may say of a GPU."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gpu import advice, decoding, engines, page, probe, server
from bench.gpu.steps import NO_GPU, Skipped, Step, run

CARD = "NVIDIA H100 80GB HBM3, GPU-1, 580.95.05, 9.0, 81559, 1200, Disabled"
OPTIONS = {engine.name: dict(engine.parameters) for engine in engines.ENGINES}


def skip() -> None:
    raise Skipped("this machine has 2 CPUs")


def fail() -> None:
    raise ValueError("a\nb")


def test_a_step_that_fails_or_is_skipped_stops_no_other() -> None:
    said: list[str] = []
    steps = [Step("a", fail), Step("b", skip), Step("c", lambda: {"x": 1}, ("GPU",)), Step("d", lambda: {"x": 2})]
    results = run(steps, {"GPU": NO_GPU}, said.append)
    assert [(one.verdict, one.reason) for one in results.values()] == [
        ("failed", "ValueError: a b"),
        ("skipped", "this machine has 2 CPUs"),
        ("skipped", NO_GPU),
        ("measured", ""),
    ]
    assert results["d"].found == {"x": 2}
    assert len(said) == 4


@pytest.mark.parametrize("text", ["", "NVIDIA-SMI has failed because", "No devices were found", "a, b"])
def test_what_is_no_table_of_nvidia_smi_s_is_no_card(text: str) -> None:
    assert probe.cards(text) == []


def test_a_card_is_read_and_its_absence_has_a_reason() -> None:
    (card,) = probe.cards(CARD)
    assert (card["uuid"], card["driver_version"], card["mig.mode.current"]) == ("GPU-1", "580.95.05", "Disabled")
    libraries = dict.fromkeys(probe.LIBRARIES, "")
    assert probe.missing({"cards": [card], "libraries": libraries}) == {}
    assert set(probe.missing({"cards": [], "libraries": libraries})) == {"GPU", "NVDEC"}
    without = libraries | {"libnvcuvid.so.1": "cannot open shared object file"}
    assert "video" in probe.missing({"cards": [card], "libraries": without})["NVDEC"]


def test_a_configuration_asks_for_the_engine() -> None:
    model = server.Model("m", page.REPOSITORY, "frames", "probabilities", (8, 64, 64, 3), 9)
    text = server.config(model, "KIND_GPU", {"use_tf32": "1"})
    assert 'instance_group [ { kind: KIND_GPU count: 1 } ]\nparameters { key: "use_tf32" value' in text
    assert engines.views(model, 2).shape == (2, 8, 64, 64, 3)


def test_equal_pictures_have_the_highest_psnr() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert decoding.psnr_db(picture, picture) == 99
    assert 40 < decoding.psnr_db(picture + np.uint8(2), picture) < 45


def row(rate: float, difference: float = 0.0) -> dict[str, float]:
    return {"max_abs": difference, "top1": 1.0, "views_per_s_32": rate, "gpu_memory_mib_of_all": 2000}


def steps_of(**rates: dict[str, float]) -> advice.Steps:
    return {
        f"engine: {name}": {"verdict": "measured", "reason": "", "found": {"m": one}} for name, one in rates.items()
    }


@given(st.dictionaries(st.sampled_from([*OPTIONS]), st.tuples(st.floats(1, 1e4), st.floats(0, 1e-2)), min_size=1))
def test_an_engine_that_is_advised_agrees_and_none_is_much_faster(rates: dict[str, tuple[float, float]]) -> None:
    steps = steps_of(**{name: row(*pair) for name, pair in rates.items()})
    best = advice.best_engine(steps, "m")
    good = {
        name: rate
        for name, (rate, difference) in rates.items()
        if name.startswith("CUDA") and difference <= advice.MAX_DIFFERENCE
    }
    assert (best in good) if good else best == ""
    assert all(rate <= advice.WORTH * good[best] for rate in good.values())


def test_what_to_set_follows_from_what_was_measured() -> None:
    host = {"cards": probe.cards(CARD), "libraries": {"libcuda.so.1": ""}, "nvidia_smi": ""}
    steps = steps_of(**{"CUDA": row(100), "CUDA, TF32": row(300, 5e-4), "CUDA graphs": row(900, 0.1)})
    steps["decode: 16 processes by CPU cores"] = {"verdict": "measured", "found": {"frames_per_s": 1000.0}}
    steps["decode: 7 processes by NVDEC"] = {"verdict": "measured", "found": {"frames_per_s": 2500.0}}
    said = "\n".join(advice.advice(host, steps, ["m"], OPTIONS))
    assert "`make up GPU=1 GPU_DEVICE=GPU-1`" in said
    assert "`use_tf32=1` in models/m/configs/gpu.pbtxt" in said
    assert "2.5 ×" in said
    old = copy.deepcopy(host)
    old["cards"][0]["driver_version"] = "535.1"  # type: ignore[index]
    assert advice.advice(old, steps, [], OPTIONS)[0] == "Install driver 580 or newer: it is 535.1."
    wrong = steps_of(**{"CUDA": row(100, 0.5)})
    assert "do not serve it by this card" in "\n".join(advice.advice(host, wrong, ["m"], OPTIONS))


def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.RESULTS.read_text())
    return found


def test_the_page_is_what_the_script_writes() -> None:
    assert page.page(results()) == page.PAGE.read_text(), "python -m bench.gpu.page writes it anew"


def test_exactly_the_lines_that_no_gpu_has_run_say_so() -> None:
    lines = [line for line in page.PAGE.read_text().splitlines() if f"| **{page.NEVER}** |" in line]
    steps = results()["steps"]
    skipped = [name for name, step in steps.items() if step["reason"] == NO_GPU]
    assert sorted(re.split(r" *\| *", line)[1] for line in lines) == sorted(name.split(": ", 1)[1] for name in skipped)
    assert all(step["verdict"] != "failed" for step in steps.values())
