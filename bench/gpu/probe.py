"""What this host has: the card, its driver, the libraries, MIG, NVDEC. Asks, and changes nothing."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

QUERY = "name,uuid,driver_version,compute_cap,memory.total,memory.used,mig.mode.current"
LIBRARIES = ("libcuda.so.1", "libnvcuvid.so.1", "libnvidia-ml.so.1", "libcudart.so.13", "libcudnn.so.9")


def nvidia_smi(*arguments: str) -> str:
    """What nvidia-smi says, or why it says nothing."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        return "nvidia-smi is not here"
    except subprocess.TimeoutExpired:
        return "nvidia-smi hangs"
    return (done.stdout or done.stderr).strip()


def loads(library: str) -> str:
    """Empty if the library can be loaded, else why not."""
    try:
        ctypes.CDLL(library)
    except OSError as exc:
        return str(exc)
    return ""


def cards(text: str) -> list[dict[str, str]]:
    """The rows of nvidia-smi's answer to QUERY; none where it is not one."""
    names = QUERY.split(",")
    rows = [[word.strip() for word in line.split(",")] for line in text.splitlines()]
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]


def host() -> dict[str, Any]:
    """All that can be asked without a card as well."""
    said = nvidia_smi(f"--query-gpu={QUERY}", "--format=csv,noheader,nounits")
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cards": cards(said),
        "nvidia_smi": "" if cards(said) else said.splitlines()[0] if said else "it says nothing",
        "libraries": {library: loads(library) for library in LIBRARIES},
        "devices": sorted(path.name for path in Path("/dev").glob("nvidia*")),
        "cpus": os.process_cpu_count(),
        "cpu": next((line.split(":")[1].strip() for line in cpus if line.startswith("model name")), "unknown"),
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "shm_mib": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize // 2**20,
        "modules": {name: importlib.util.find_spec(name) is not None for name in ("av", "onnxruntime", "matplotlib")},
    }


def missing(found: dict[str, Any]) -> dict[str, str]:
    """What steps may need and this host does not have → why."""
    lacks = {}
    if not found["cards"] or found["libraries"]["libcuda.so.1"]:
        lacks["GPU"] = "no GPU"
    if lacks or found["libraries"]["libnvcuvid.so.1"]:
        lacks["NVDEC"] = lacks.get("GPU", "no libnvcuvid: the container lacks the capability `video`")
    return lacks


def memory_used_mib() -> int:
    """Of the first card, by everybody."""
    return int(nvidia_smi("--query-gpu=memory.used", "--format=csv,noheader,nounits").splitlines()[0])
