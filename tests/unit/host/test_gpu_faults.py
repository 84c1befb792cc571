"""What the doctor makes of the words that GPU hosts are known to say. Each is a record, with where it is from."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.host.test_doctor import Host, host

__all__ = ["host"]  # a fixture

REPOSITORY = Path(__file__).parents[3]
GITHUB = "https://github.com/"

RECORDS = {
    GITHUB + "infiniflow/ragflow/issues/9573": (
        'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]',
        "nvidia-ctk runtime configure",
    ),
    GITHUB + "NVIDIA/nvidia-docker/issues/1352": (
        'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
        "nvidia-ctk runtime configure",
    ),
    GITHUB + "NVIDIA/nvidia-container-toolkit/issues/1227": (
        "Failed to initialize NVML: Unknown Error",
        "up -d --force-recreate",
    ),
    GITHUB + "tinygrad/open-gpu-kernel-modules/issues/47": (
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.124",
        "sudo reboot",
    ),
    GITHUB + "SeldonIO/seldon-core/issues/4887": (
        "W0605 06:26:38.147148 1 pinned_memory_manager.cc:236] Unable to allocate pinned system memory, pinned memory "
        "pool will not bble: CUDA driver version is insufficient for CUDA runtime version",
        "nvidia-smi",
    ),
    GITHUB + "triton-inference-server/server/issues/3912": (
        "failed to load 'densenet_onnx' version 1: Invalid argument: instance group densenet_onnx_0 of model "
        "densenet_onnx has kind KIND_GPU but no GPUs are available",
        "make up GPU=1",
    ),
    GITHUB + "triton-inference-server/server/issues/4593": (
        "E0706 09:06:20.160684 8 model_repository_manager.cc:1890] Poll failed for model directory 'test_model': "
        "unable to get number of CUDA devices: unknown error",
        "make up GPU=1",
    ),
    GITHUB + "triton-inference-server/server/issues/2584": (
        "E0303 12:30:23.159896 1577 model_repository_manager.cc:1682] instance group 124M2_1 of model 124M2 specifies "
        "invalid or unsupported gpu id 1. GPUs with at least  the minimum required CUDA compute compatibility of "
        "6.000000 are: 0",
        "grep -rn gpus:",
    ),
    GITHUB + "NVIDIA/nvidia-docker/issues/766": (
        "[h264_cuvid @ 0x1ec8780] Cannot load libnvcuvid.so.1\n[h264_cuvid @ 0x1ec8780] Failed loading nvcuvid.",
        "up -d --force-recreate",
    ),
    GITHUB + "triton-inference-server/server/issues/6872": (
        "failed to register CUDA shared memory region 'output_0': failed to open CUDA IPC handle: invalid argument",
        "GPU_DEVICE=",
    ),
    GITHUB + "triton-inference-server/server/issues/5798": (
        "[StatusCode.INVALID_ARGUMENT] failed to register CUDA shared memory region 'output0_data': failed to open "
        "CUDA IPC handle: invalid resource handle",
        "system shared memory needs none",
    ),
    "the same, as an issue of this project names it; no public record was found": (
        "failed to open CUDA IPC handle: invalid device context",
        "system shared memory needs none",
    ),
    GITHUB + "triton-inference-server/onnxruntime_backend/issues/249": (
        "/workspace/onnxruntime/onnxruntime/core/framework/bfc_arena.cc:368 void* onnxruntime::BFCArena::"
        "AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, onnxruntime::WaitNotificationFn) Failed to "
        "allocate memory for requested buffer of size 15728896",
        "nvidia-smi --query-compute-apps",
    ),
    "services/triton/backends/cuda.h, a driver that is too old": (
        "ONNX Runtime cannot load model.onnx: the GPU's driver is too old: it is of CUDA 12.4, and driver 580",
        "nvidia-smi",
    ),
    GITHUB + "microsoft/onnxruntime/issues/3117": (
        "CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device",
        "compute_cap",
    ),
    GITHUB + "NVIDIA/nvidia-container-toolkit/issues/260": (
        "Error response from daemon: failed to create shim: OCI runtime create failed: container_linux.go:380: starting"
        " container process caused: process_linux.go:545: container init caused: Running hook #0:: error running hook: "
        "exit status 1, stdout: , stderr: nvidia-container-cli: initialization error: nvml error: driver not loaded",
        "sudo modprobe nvidia",
    ),
    GITHUB + "ameli/manylinux-cuda/issues/5": (
        "error running hook: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\nnvidia-container-cli: "
        "initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file",
        "sudo modprobe nvidia",
    ),
    GITHUB + "NVIDIA/nvidia-docker/issues/988": (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
        "NVIDIA driver is installed and running.",
        "sudo modprobe nvidia",
    ),
}

WELL = """2026-11-28T17:16:52Z I 1 model_lifecycle.cc:839] "successfully loaded 'camera_motion'"
GPU 0: NVIDIA A10 (UUID: GPU-f15ae561-21b1-6003-c768-861fc285203b)
"""


def faults(text: str) -> list[list[str]]:
    done = subprocess.run([REPOSITORY / "host/gpu_faults"], input=text, capture_output=True, text=True, check=True)
    return [line.split("\x1f") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("source", RECORDS)
def test_a_fault_is_known_by_its_words_and_has_a_remedy(source: str) -> None:
    text, remedy = RECORDS[source]
    ((verdict, found, needed, command),) = faults(f"{WELL}{text}\n{WELL}")
    assert verdict in ("FAIL", "warn")
    assert found
    assert needed
    assert remedy in command


def test_a_log_without_a_fault_has_none() -> None:
    assert faults(WELL) == []
    assert faults("") == []


def test_several_faults_are_each_named_once() -> None:
    everything = "\n".join(text for text, _ in RECORDS.values())
    found = [row[1] for row in faults(everything + everything)]
    assert len(found) == len(set(found)) == 12


@pytest.mark.parametrize(
    "words", ["Failed to initialize NVML: Driver/library version mismatch", "No devices were found"]
)
def test_the_doctor_says_what_nvidia_smi_says(host: Host, words: str) -> None:
    stand_in = host.bin / "nvidia-smi"
    stand_in.write_text(f"#!/bin/sh\necho '{words}'; exit 18\n")
    stand_in.chmod(0o755)
    code, found = host.examined({"GPU": "1"})
    assert (code, found["GPU driver"]["verdict"]) == (2, "FAIL")
    assert (found["GPU driver"]["command"] == "sudo reboot") == ("mismatch" in words)


@pytest.mark.parametrize(
    ("card", "check", "verdict"),
    [
        ("550.90.07, 9.0, 80000", "GPU driver", "FAIL"),
        ("580.95.05, 7.0, 16000", "GPU", "FAIL"),
        ("580.95.05, 7.5, 2047", "GPU memory", "warn"),
    ],
)
def test_a_card_or_driver_that_will_not_do_is_found(host: Host, card: str, check: str, verdict: str) -> None:
    stand_in = host.bin / "nvidia-smi"
    stand_in.write_text(f"#!/bin/sh\necho {card}\n")
    stand_in.chmod(0o755)
    _, found = host.examined({"GPU": "1"})
    assert {name for name in ("GPU driver", "GPU", "GPU memory") if found[name]["verdict"] != "ok"} == {check}
    assert found[check]["verdict"] == verdict
    assert found[check]["command"]


DOCKER = """#!/bin/bash
case "$*" in
  "info --format {{.ServerVersion}}"*) echo "27.0.1|2|/nowhere|4|8589934592|$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)" ;;
  "info"*) echo '{"nvidia":{}}' ;;
  "compose version"*) echo 2.30.0 ;;
  *"logs"*) cat "%(log)s" ;;
  *"exec -T triton nvidia-smi -L") echo "%(card)s" ;;
  *"ps -q"*) echo web ;;
  *"exec -T web"*) : ;;
  "image inspect"*) : ;;
  *) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("log", "card", "verdict"),
    [
        ("", "GPU 0: NVIDIA A10 (UUID: GPU-f15ae561)", "ok"),
        ("... KIND_GPU but no GPUs are available", "GPU 0: NVIDIA A10 (UUID: GPU-f15ae561)", "FAIL"),
        ("", "Failed to initialize NVML: Unknown Error", "FAIL"),
    ],
)
def test_the_doctor_reads_the_logs_of_a_stack_on_a_gpu(host: Host, log: str, card: str, verdict: str) -> None:
    (host.bin / "log").write_text(log)
    for name, text in {
        "docker": DOCKER % {"log": host.bin / "log", "card": card},
        "nvidia-smi": "#!/bin/sh\necho 580.95.05, 9.0, 80000\n",
    }.items():
        (host.bin / name).write_text(text)
        (host.bin / name).chmod(0o755)
    environment = {"PATH": f"{host.bin}:{os.environ['PATH']}", "GPU": "1", "HTTP_PORT": "0"}
    command = [str(host.checkout / "host/doctor"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert found["GPU driver"]["verdict"] == "ok"
    assert found["GPU in use"]["verdict"] == verdict
