"""The shoot-out as a table for the terminal, and as a plot. No plotting library: bars are rectangles."""

from __future__ import annotations

from html import escape
from typing import Any

TITLES = {
    "pytorch": "PyTorch eager",
    "torch_compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino_f32": "OpenVINO f32",
    "openvino_bf16": "OpenVINO bf16",
    "openvino_int8": "OpenVINO INT8 (NNCF)",
    "pytorch_cuda": "PyTorch CUDA",
    "onnxruntime_cuda": "ONNX Runtime CUDA",
    "onnxruntime_tensorrt": "ONNX Runtime TensorRT",
    "tensorrt_fp16": "TensorRT fp16",
}
_HEAD = ("engine", "batch 1 ms", "batch 8 ms/view", "views/s", "load s", "MiB", "top-1 as PyTorch", "max |Δp|")
_BAR_PX, _ROW_PX, _LEFT_PX = 420, 44, 180
_COLOURS = ("#2f6f9f", "#9cc3dd")


def table(results: dict[str, Any]) -> str:
    """One row an engine; those that could not run say why below."""
    chosen = results["choice"]["engine"]
    rows = [_HEAD]
    for one in results["engines"]:
        if one["reason"]:
            continue
        mark = " *" if one["engine"] == chosen else ""
        rows.append(
            (
                TITLES[one["engine"]] + mark,
                f"{one['latency_ms']:.1f}",
                f"{one['batch_ms_per_view']:.1f}",
                f"{one['views_per_s']:.1f}",
                f"{one['load_s']:.1f}",
                f"{one['memory_mib']:.0f}",
                f"{one['agreement']:.3f}",
                f"{one['max_difference']:.1e}",
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines += [f"{TITLES[one['engine']]}: {one['reason']}" for one in results["engines"] if one["reason"]]
    lines += [f"{TITLES[one['engine']]}: {one['note']}" for one in results["engines"] if one.get("note")]
    return "\n".join(lines)


def plot(results: dict[str, Any]) -> str:
    """SVG: milliseconds a view, alone and in a batch."""
    ran = [one for one in results["engines"] if not one["reason"]]
    max_ms = max(max(one["latency_ms"], one["batch_ms_per_view"]) for one in ran)
    height = 56 + _ROW_PX * len(ran)
    title = f"{results['model']}: ms a view on {results['machine']['cpus']} CPUs"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT_PX + _BAR_PX + 90}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for x, colour, label in ((8, _COLOURS[0], "one view"), (108, _COLOURS[1], f"in a batch of {results['batch']}")):
        parts.append(
            f'<rect x="{x}" y="30" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="41">{label}</text>'
        )
    for row, one in enumerate(ran):
        y = 56 + row * _ROW_PX
        weight = "bold" if one["engine"] == results["choice"]["engine"] else "normal"
        parts.append(f'<text x="8" y="{y + 21}" font-weight="{weight}">{TITLES[one["engine"]]}</text>')
        for k, value in enumerate((one["latency_ms"], one["batch_ms_per_view"])):
            width = max(value / max_ms * _BAR_PX, 1)
            parts.append(
                f'<rect x="{_LEFT_PX}" y="{y + 2 + 17 * k}" width="{width:.1f}" height="15" fill="{_COLOURS[k]}"/>'
                f'<text x="{_LEFT_PX + width + 6:.1f}" y="{y + 14 + 17 * k}">{value:.1f}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
