"""How many frames a second are decoded, scaled and in host memory: by CPU cores, and by the card's NVDEC."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.steps import Skipped, Step

SMALL = (324, 182)
"""What X3D-M's crops are cut from, of 16:9."""
PSNR_FRAME = 20
PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Job:
    path: str
    way: str
    """"cpu", "nvdec" (FFmpeg's hwaccel; scaled on the CPU) or "cuvid" (its decoder, which scales)."""


def make_clip(path: Path, width: int, height: int, frames: int) -> None:
    """H.264 as a camera makes it, a keyframe in 250: a picture that moves, with a bar across it."""
    import av

    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8).repeat(17, 0).repeat(17, 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "g": "250", "crf": "20"}
        for number in range(frames):
            picture = np.roll(base, (3 * number, 5 * number), (0, 1))[:height, :width].copy()
            picture[number % (height - 8) : number % (height - 8) + 8] ^= 0x3F
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        out.mux(stream.encode(None))


def decode(job: Job) -> tuple[int, np.ndarray]:
    """The whole clip in this process: frames, and one of them, small."""
    import av
    from av.codec.hwaccel import HWAccel

    acceleration = HWAccel("cuda", allow_software_fallback=False) if job.way == "nvdec" else None
    with av.open(job.path, "r", hwaccel=acceleration) as container:
        stream = container.streams.video[0]
        frames = container.decode(stream)
        if job.way == "cuvid":
            decoder: Any = av.CodecContext.create("h264_cuvid", "r")
            decoder.extradata = stream.codec_context.extradata
            decoder.width, decoder.height = stream.codec_context.width, stream.codec_context.height
            decoder.options = {"resize": f"{SMALL[0]}x{SMALL[1]}"}
            frames = (f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None))
        else:
            stream.thread_count = 1
        count, kept = 0, None
        for frame in frames:
            small = frame.to_ndarray(format="rgb24", width=SMALL[0], height=SMALL[1])
            count += 1
            if count == PSNR_FRAME:
                kept = small
    if kept is None:
        raise RuntimeError(f"{job.way}: {count} frames")
    return count, kept


def psnr_db(picture: np.ndarray, expected: np.ndarray) -> float:
    """99 for equal pictures."""
    error = np.mean((picture.astype(np.float64) - expected) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def measure(path: Path, way: str, processes: int, expected: np.ndarray) -> dict[str, Any]:
    """So many processes decode the clip at once, each by itself; the first round makes what is made once."""
    jobs = [Job(str(path), way)] * processes
    # An executor, no multiprocessing.Pool: that replaces a process that dies for ever, and a driver may well kill one.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(decode, jobs, timeout=PATIENCE_S))
        began = time.perf_counter()
        results = list(pool.map(decode, jobs, timeout=PATIENCE_S))
        seconds = time.perf_counter() - began
    return {
        "frames_per_s": round(sum(count for count, _ in results) / seconds, 1),
        "psnr_db": round(psnr_db(results[0][1], expected), 1),
    }


def steps(work: Path, quick: bool) -> list[Step]:
    clip = work / "clip.mp4"
    width, height, frames = (640, 360, 60) if quick else (1920, 1080, 300)

    def of(way: str, processes: int) -> dict[str, Any]:
        cpus = os.process_cpu_count() or 1
        if way == "cpu" and processes > cpus:
            raise Skipped(f"this machine has {cpus} CPUs")
        if not clip.exists():
            clip.parent.mkdir(parents=True, exist_ok=True)
            make_clip(clip, width, height, frames)
        return measure(clip, way, processes, decode(Job(str(clip), "cpu"))[1])

    made = []
    for way, label, counts in (
        ("cpu", "CPU cores", (1, 4, 16)),
        ("nvdec", "NVDEC", (1, 7, 14)),
        ("cuvid", "cuvid", (1, 7, 14)),
    ):
        for count in counts:

            def work_of(way: str = way, count: int = count) -> dict[str, Any]:
                return of(way, count)

            name = f"decode: {count} {'process' if count == 1 else 'processes'} by {label}"
            made.append(Step(name, work_of, () if way == "cpu" else ("NVDEC",)))
    return made
