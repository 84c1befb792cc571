"""What the GPU says of itself, for /metrics. Where this container has none, nothing is imported and nothing is said.

NVML by NVIDIA's own binding, which looks the driver's libnvidia-ml.so.1 up by name (docs.nvidia.com/deploy/nvml-api).
Never run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

DEVICE = Path("/dev/nvidiactl")
"""In a container only where NVIDIA's toolkit gave it a GPU."""


class GpuStatistics(Collector):
    """Asked for each exposition. A driver that does not answer, as when the container has lost its GPU, is
    `cliplane_gpu_up` 0; what a card cannot tell of itself, as an instance of MIG its use, is left out."""

    def __init__(self, device: Path = DEVICE) -> None:
        self._is_here = device.exists()

    def collect(self) -> Iterator[Metric]:
        if not self._is_here:
            return
        import pynvml

        up = GaugeMetricFamily("cliplane_gpu_up", "1 if the driver answers")
        labels = ("gpu", "name")
        of_card: list[tuple[GaugeMetricFamily, Callable[[object], float]]] = [
            (
                GaugeMetricFamily(
                    "cliplane_gpu_busy_ratio", "Part of the time in which the GPU computed", labels=labels
                ),
                lambda card: pynvml.nvmlDeviceGetUtilizationRates(card).gpu / 100,
            ),
            (
                GaugeMetricFamily("cliplane_gpu_decoder_busy_ratio", "The same of its video decoder", labels=labels),
                lambda card: pynvml.nvmlDeviceGetDecoderUtilization(card)[0] / 100,
            ),
            (
                GaugeMetricFamily("cliplane_gpu_memory_used_bytes", "Its memory in use, by anybody", labels=labels),
                lambda card: pynvml.nvmlDeviceGetMemoryInfo(card).used,
            ),
            (
                GaugeMetricFamily("cliplane_gpu_memory_bytes", "Its memory", labels=labels),
                lambda card: pynvml.nvmlDeviceGetMemoryInfo(card).total,
            ),
            (
                GaugeMetricFamily("cliplane_gpu_temperature_celsius", "Its temperature", labels=labels),
                lambda card: pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU),
            ),
        ]
        try:
            pynvml.nvmlInit()
            try:
                for number in range(pynvml.nvmlDeviceGetCount()):
                    card = pynvml.nvmlDeviceGetHandleByIndex(number)
                    which = (str(pynvml.nvmlDeviceGetUUID(card)), str(pynvml.nvmlDeviceGetName(card)))
                    for family, ask in of_card:
                        try:
                            family.add_metric(which, ask(card))
                        except pynvml.NVMLError_NotSupported:
                            continue
            finally:
                pynvml.nvmlShutdown()
            up.add_metric((), 1)
        except pynvml.NVMLError:
            up.add_metric((), 0)
        yield up
        for family, _ in of_card:
            yield family
