"""The GPU's own figures in /metrics, with NVIDIA's binding and a driver that is told what to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from cliplane.control.gpu import DEVICE, GpuStatistics


def collected() -> dict[str, list[float]]:
    return {metric.name: [sample.value for sample in metric.samples] for metric in GpuStatistics(Path("/")).collect()}


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetCount": 2,
        "nvmlDeviceGetUUID": "GPU-1",
        "nvmlDeviceGetName": "NVIDIA H100",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3, total=80),
        "nvmlDeviceGetTemperature": 51,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=40),
        "nvmlDeviceGetDecoderUtilization": [25, 1000],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)


@pytest.mark.usefixtures("two_cards")
def test_each_card_is_told_of() -> None:
    assert collected() == {
        "cliplane_gpu_up": [1],
        "cliplane_gpu_busy_ratio": [0.4, 0.4],
        "cliplane_gpu_decoder_busy_ratio": [0.25, 0.25],
        "cliplane_gpu_memory_used_bytes": [3, 3],
        "cliplane_gpu_memory_bytes": [80, 80],
        "cliplane_gpu_temperature_celsius": [51, 51],
    }


@pytest.mark.usefixtures("two_cards")
def test_what_a_card_cannot_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(card: int) -> SimpleNamespace:
        if card == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=40)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", unsupported)
    found = collected()
    assert (found["cliplane_gpu_up"], found["cliplane_gpu_busy_ratio"]) == ([1], [0.4])


@pytest.mark.usefixtures("two_cards")
def test_a_gpu_that_was_lost_is_not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    monkeypatch.setattr(pynvml, "nvmlInit", lost)
    found = collected()
    assert found.pop("cliplane_gpu_up") == [0]
    assert set(map(tuple, found.values())) == {()}


@pytest.mark.skipif(DEVICE.exists(), reason="this machine has a GPU")
def test_without_its_library_the_driver_does_not_answer() -> None:
    assert collected()["cliplane_gpu_up"] == [0]


def test_where_there_is_no_gpu_nothing_is_said_or_imported() -> None:
    program = (
        "import sys; from pathlib import Path; from cliplane.control.gpu import GpuStatistics\n"
        "assert list(GpuStatistics(Path('/nowhere')).collect()) == []\n"
        "assert 'pynvml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
