"""One engine in a process of its own, so that none takes another's memory, threads or allocator.

Speaks JSON lines: a command on its standard input, an answer on what was its standard output; libraries that print
go to standard error. `load`, then `run` of the clips [first, last), then `end`, which saves the answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import runtimes, runtimes_gpu
from .reference import module

LOADERS = {
    "pytorch": runtimes.pytorch,
    "torch_compile": runtimes.torch_compile,
    "onnxruntime": runtimes.onnxruntime_on("CPUExecutionProvider"),
    "openvino_f32": runtimes.openvino_in("f32"),
    "openvino_bf16": runtimes.openvino_in("bf16"),
    "openvino_int8": runtimes.openvino_int8,
    "pytorch_cuda": runtimes_gpu.pytorch_cuda,
    "onnxruntime_cuda": runtimes_gpu.onnxruntime_cuda,
    "onnxruntime_tensorrt": runtimes_gpu.onnxruntime_tensorrt,
    "tensorrt_fp16": runtimes_gpu.tensorrt_fp16,
}


def memory_mib(field: str) -> float:
    """VmRSS or VmHWM (its peak) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> int:
    engine, spec = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    clips = np.load(spec["clips"], mmap_mode="r")
    folder, weights = Path(spec["folder"]), Path(spec["weights"])
    task = runtimes.Task(
        Path(spec["graph"]), Path(spec["int8_graph"]), lambda: module(folder, weights), spec["threads"]
    )
    bare = memory_mib("VmRSS")
    found: dict[int, np.ndarray] = {}
    infer: runtimes.Infer | None = None
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any]
        if command["do"] == "end":
            np.save(command["out"], np.concatenate([found[first] for first in sorted(found)]))
            answer = {"memory_mib": memory_mib("VmHWM") - bare}
        else:
            first, last = command["clips"]
            frames = np.ascontiguousarray(clips[first:last])
            started = time.perf_counter()
            try:
                if command["do"] == "load":
                    infer = LOADERS[engine](task)
                assert infer is not None
                result = infer(frames)
                answer = {"ms": (time.perf_counter() - started) * 1000}
            except runtimes.Unavailable as exc:
                answer = {"unavailable": str(exc)}
            except Exception as exc:  # whatever a library raises is why this engine cannot run
                text = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
                answer = {"unavailable": f"{type(exc).__name__}: {text}"}
            else:
                if last - first > 1:
                    found[first] = result
        print(json.dumps(answer), file=answers)
        if command["do"] == "end" or "unavailable" in answer:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
