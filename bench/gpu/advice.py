"""What to set on a host, from what was measured on it. Pure: no file, no clock, no card."""

from __future__ import annotations

from typing import Any

MIN_DRIVER = 580
MAX_DIFFERENCE = 1e-3
MIN_TOP1 = 0.999
WORTH = 1.1
"""A way that is not a tenth better is not worth another setting."""

Steps = dict[str, dict[str, Any]]


def measured(steps: Steps, prefix: str) -> dict[str, Any]:
    """What the measured steps of this kind found, by the rest of their names."""
    return {
        name.removeprefix(prefix): step["found"]
        for name, step in steps.items()
        if name.startswith(prefix) and step["verdict"] == "measured"
    }


def agrees(row: dict[str, Any]) -> bool:
    """Whether these answers may stand for the CPU's."""
    return bool(row["max_abs"] <= MAX_DIFFERENCE and row["top1"] >= MIN_TOP1)


def best_engine(steps: Steps, model: str) -> str:
    """The engine of the card with the most views a second of this model that agrees; "" where none does. The plain one
    stays unless another is worth it."""
    rates = {
        engine: max(value for key, value in rows[model].items() if key.startswith("views_per_s"))
        for engine, rows in measured(steps, "engine: ").items()
        if engine.startswith("CUDA") and model in rows and agrees(rows[model])
    }
    if not rates:
        return ""
    best = max(rates, key=lambda engine: rates[engine])
    return "CUDA" if "CUDA" in rates and rates[best] < WORTH * rates["CUDA"] else best


def advice(host: dict[str, Any], steps: Steps, models: list[str], options: dict[str, dict[str, str]]) -> list[str]:
    """Lines of Markdown. `options`: each engine's parameters."""
    if not host["cards"]:
        return [f"Nothing, for there is no GPU here: {host['nvidia_smi'] or 'nvidia-smi names none'}."]
    card = host["cards"][0]
    lines = []
    if int(card["driver_version"].split(".")[0]) < MIN_DRIVER:
        lines.append(f"Install driver {MIN_DRIVER} or newer: it is {card['driver_version']}.")
    if why := host["libraries"]["libcuda.so.1"]:
        lines.append(f"Let containers have the card, by NVIDIA's container toolkit: {why}.")
    if card["mig.mode.current"] == "Enabled":
        lines.append(
            "MIG is on: `GPU_DEVICE` names an instance, `MIG-…` of `nvidia-smi -L`, and its memory is what is there."
        )
    lines.append(f"`make up GPU=1 GPU_DEVICE={card['uuid']}`")
    for model in models:
        engine = best_engine(steps, model)
        rows = measured(steps, "engine: ")
        if engine and options[engine]:
            chosen = ", ".join(f"`{name}={value}`" for name, value in options[engine].items())
            lines.append(f"{chosen} in models/{model}/configs/gpu.pbtxt ({engine}).")
        elif engine:
            lines.append(f"{model}: as it is.")
        elif any(name.startswith("CUDA") for name in rows):
            lines.append(f"**{model}: do not serve it by this card**: its answers are not the CPU's.")
    lines += _memory(card, steps) + _reader(steps) + _handoff(steps)
    return lines


def _memory(card: dict[str, str], steps: Steps) -> list[str]:
    used = [
        row["gpu_memory_mib_of_all"]
        for rows in measured(steps, "engine: ").values()
        for row in rows.values()
        if "gpu_memory_mib_of_all" in row
    ]
    if not used or max(used) < 0.5 * int(card["memory.total"]):
        return []
    return [
        f"`gpu_mem_limit` in each configs/gpu.pbtxt: {max(used)} of {card['memory.total']} MiB are taken, and kept."
    ]


def _reader(steps: Steps) -> list[str]:
    rates = {name: row["frames_per_s"] for name, row in measured(steps, "decode: ").items()}
    by_card = {name: rate for name, rate in rates.items() if name.endswith(("NVDEC", "cuvid"))}
    by_cpu = {name: rate for name, rate in rates.items() if name.endswith("CPU cores")}
    if not by_card or not by_cpu:
        return []
    best, cpu = max(by_card, key=lambda name: by_card[name]), max(by_cpu, key=lambda name: by_cpu[name])
    factor = by_card[best] / by_cpu[cpu]
    return [f"Decoding: {best} gives {factor:.1f} × the frames of {cpu}. Cliplane decodes on the CPU."]


def _handoff(steps: Steps) -> list[str]:
    found = measured(steps, "hand-off: ").get("what CUDA shared memory could save")
    if not found:
        return []
    return [
        f"CUDA shared memory could save {found['30']['memory to pinned']:g} ms of a call of 30 views of X3D-M, at most."
    ]


def goals(steps: Steps) -> list[tuple[str, str, str]]:
    """(goal, what was measured, "met" or "missed") of each that can be told."""
    told = []
    rows = measured(steps, "engine: ")
    gpu = [row["x3d_m"] for name, row in rows.items() if name.startswith("CUDA") and "x3d_m" in row]
    if gpu and "x3d_m" in rows.get("2 CPU cores", {}):
        cpu = rows["2 CPU cores"]["x3d_m"]["views_per_s_32"]
        factor = max(row["views_per_s_32"] for row in gpu) / cpu
        told.append(("X3D-M: 20 × the views of two cores", f"{factor:.1f} ×", "met" if factor >= 20 else "missed"))
    outside = measured(steps, "hand-off: ").get("outside the engine")
    if outside:
        told.append(("hand-off of 30 views: 3 ms", f"{outside['30']:g} ms", "met" if outside["30"] <= 3 else "missed"))
    for name, by_model in rows.items():
        if name.startswith("CUDA"):
            worst = max(by_model.values(), key=lambda row: row["max_abs"])
            verdict = "met" if all(map(agrees, by_model.values())) else "missed"
            told.append((f"{name} answers as the CPU: 0.001", f"{worst['max_abs']:.1e}", verdict))
    return told
