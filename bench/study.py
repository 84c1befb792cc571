"""Is it worth making a video small before it is uploaded? Over lines of several speeds.

    python -m bench.study [PART …]      clips, agreement, encode, send_5 … send_1000; all of them without a name

The line is slowed by the kernel: `tc` shapes what leaves this container (a token bucket on its interface), so it needs
NET_ADMIN. Results go to bench/results/study.json, each part's as soon as it is there; docs/shrinking.md is written
from them. For `make study`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import av
import numpy as np
from cliplane_client import Client
from cliplane_client.shrinking import CRF, MARGIN, choose, shrink
from rich.progress import Progress, track

from bench import repository, study_report
from bench.run import HERE, machine, source
from bench.stack import running
from bench.videos import SECONDS, repeated
from tests import media

MODEL = "camera_motion"
WORK = HERE.parent / "artifacts" / "study"
OUT = HERE / "results" / "study.json"

MOVES = ("static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw")
DRAWN = [(move, number) for move in MOVES for number in range(6)]
CLIP_FRAMES = 48
PHONE_SECONDS = 60
ENCODE_ROUNDS = 5
SEND_ROUNDS = 2

# (short side as a multiple of the model's, CRF): sizes at the usual quality, and qualities at the usual size.
VARIANTS = [(1.0, CRF), (MARGIN, CRF), (2.0, CRF), (4.0, CRF), (MARGIN, 28), (MARGIN, 33)]

# As a phone's encoder writes: no B-frames, a keyframe a second, 17 Mbit/s.
PHONE = {"preset": "veryfast", "bf": "0", "g": "30", "b": "17M", "maxrate": "17M", "bufsize": "17M", "profile": "high"}


def name_of(variant: tuple[float, int]) -> str:
    return f"{variant[0]} / {variant[1]}"


def film(frames: Iterator[np.ndarray], seed: int, path: Path) -> None:
    """Frames as 1920 x 1080 with noise, as a phone writes them: to draw them that large takes a second each."""
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0, 3, (1080, 1920)).astype(np.int8) for _ in range(8)]
    new = path.with_suffix(".new")
    with av.open(str(new), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=30, options=PHONE)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for t, frame in enumerate(frames):
            small = av.VideoFrame.from_ndarray(frame, format="rgb24")
            planes = small.reformat(1920, 1080, "yuv420p", interpolation="BICUBIC").to_ndarray()
            planes[:1080] = np.clip(planes[:1080] + noise[t % 8], 0, 255)  # luma; both chromas come after it
            output.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        output.mux(stream.encode())
    new.rename(path)


def made_clip(move: str, number: int) -> Path:
    """1.6 s of one move at 1080p, from slower than the model can see to fast."""
    path = WORK / f"{move}_{number}.mp4"
    if not path.exists():
        rng = random.Random(f"{move} {number}")
        speed = 0.0 if move == "static" else 0.0012 * 8 ** rng.random()
        seed = rng.randrange(10**6)
        film(media.moving_camera(move, seed=seed, frames=CLIP_FRAMES, width=480, height=270, speed=speed), number, path)
    return path


def phone_clip() -> Path:
    """60 s of 1080p: the real clip to and fro, larger and with noise, at a phone's bit rate."""
    short = WORK / "phone.mp4"
    if not short.exists():
        with av.open(str(source())) as container:
            frames = [
                frame.reformat(640, 360, "rgb24", interpolation="AREA").to_ndarray()
                for frame in itertools.islice(container.decode(video=0), 120)
            ]
        film(itertools.islice(itertools.cycle(frames + frames[-2:0:-1]), 300), 0, short)
    return repeated(short, WORK, PHONE_SECONDS)


def real_clips(short_side: int) -> list[Path]:
    """Clips from cameras that are larger than what would be sent of them."""
    found = []
    for path in sorted(source().parent.iterdir()):
        if path.suffix in (".mp4", ".mkv", ".mov") and path.name != "corrupted.mp4":
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                if min(stream.width, stream.height) > 4 * short_side:
                    found.append(path)
    return found


def clips(_: Client, short_side: int) -> dict[str, object]:
    with ProcessPoolExecutor() as pool:
        made = list(track(pool.map(made_clip, *zip(*DRAWN, strict=True)), "drawing", total=len(DRAWN)))
    phone = phone_clip()
    with av.open(str(phone)) as container:
        stream = container.streams.video[0]
        size = phone.stat().st_size
        about = {"width": stream.width, "height": stream.height, "frames": stream.frames, "codec": stream.name}
    return {
        "made": len(made),
        "real": [path.name for path in real_clips(short_side)],
        "phone": {**about, "megabytes": size / 1e6, "seconds": PHONE_SECONDS, "mbit_s": size * 8e-6 / PHONE_SECONDS},
    }


def scores(client: Client, path: Path) -> dict[str, float]:
    return {p.label: p.score for p in client.classify(path, top=100).predictions}


def agreement(client: Client, short_side: int) -> dict[str, object]:
    """Top-1 and scores of what is sent against those of the file as it is, for each variant."""
    paths = [made_clip(*drawn) for drawn in DRAWN] + real_clips(short_side)
    # Two at a time: one is shrunk while the other's answer is awaited.
    with ThreadPoolExecutor(2) as pool:
        found = list(track(pool.map(partial(compared, client, short_side), paths), "agreement", total=len(paths)))
    rows: dict[str, object] = {}
    for variant in VARIANTS:
        row = [of_clip[name_of(variant)] for of_clip in found]
        rows[name_of(variant)] = {
            "clips": len(row),
            "top1": statistics.mean(clip.is_same for clip in row),
            "drift_p50": statistics.median(clip.drift for clip in row),
            "drift_p95": float(np.quantile([clip.drift for clip in row], 0.95)),
            "part_of_bytes": statistics.median(clip.part_of_bytes for clip in row),
            "differing": [
                f"{path.stem}: raw leads by {clip.lead:.3f}"
                for path, clip in zip(paths, row, strict=True)
                if not clip.is_same
            ],
        }
    return rows


class Compared(NamedTuple):
    """One clip, shrunk, against itself as it is; `lead`: of the first label before the second, as it is."""

    is_same: bool
    drift: float
    part_of_bytes: float
    lead: float


def compared(client: Client, short_side: int, path: Path) -> dict[str, Compared]:
    """What each variant does to a clip's answer."""
    raw = scores(client, path)
    second, first = sorted(raw.values())[-2:]
    found = {}
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            small, _, _ = shrink(path, round(short_side * variant[0]), Path(folder), crf=variant[1])
            got = scores(client, small)
            part = small.stat().st_size / path.stat().st_size
        is_same = max(got, key=got.__getitem__) == max(raw, key=raw.__getitem__)
        drift = max(abs(got[label] - raw[label]) for label in raw)
        found[name_of(variant)] = Compared(is_same, drift, part, first - second)
    return found


def encode(_: Client, short_side: int) -> dict[str, Any]:
    """What shrinking the phone's clip takes and leaves, from the 10 s that it repeats, the variants in turns.

    The fastest turn counts: what else runs on the machine can only make one slower.
    """
    turns = PHONE_SECONDS // SECONDS
    found: dict[str, dict[str, Any]] = {}
    for variant in track(VARIANTS * ENCODE_ROUNDS, "shrinking"):
        short, frames, seconds = shrink(WORK / "phone.mp4", round(short_side * variant[0]), WORK, crf=variant[1])
        row = found.setdefault(name_of(variant), {"short_side": round(short_side * variant[0]), "all_s": []})
        row["all_s"].append(seconds * turns)
        row["encode_s"] = min(row["all_s"])
        row["frames_a_second"] = frames * turns / row["encode_s"]
        small = repeated(short, WORK, PHONE_SECONDS)
        row["megabytes"] = small.stat().st_size / 1e6
        small.rename(WORK / f"small_{VARIANTS.index(variant)}.mp4")
    return found


def line_to(host: str) -> str:
    """The network interface that leads to a host."""
    route = subprocess.run(
        ["ip", "route", "get", socket.gethostbyname(host)], capture_output=True, text=True, check=True
    )
    words = route.stdout.split()
    return words[words.index("dev") + 1]


def shape(client: Client, mbit_s: int | None) -> None:
    """Slow what leaves this container to `mbit_s`, or no longer."""
    line = line_to(urlsplit(client.base).hostname or "")
    subprocess.run(["tc", "qdisc", "del", "dev", line, "root"], capture_output=True, check=False)
    if mbit_s:
        # A bucket of at least one segment of 64 KiB, as the kernel hands them down, and of 4 ms.
        bucket = max(65536 * 2, mbit_s * 500)
        rate = ["rate", f"{mbit_s}mbit", "burst", str(bucket), "latency", "50ms"]
        subprocess.run(["tc", "qdisc", "add", "dev", line, "root", "tbf", *rate], check=True)


def timed(client: Client, path: Path) -> float:
    began = time.perf_counter()
    client.classify(path)
    return time.perf_counter() - began


def send(client: Client, short_side: int, mbit_s: int) -> dict[str, object]:
    """Seconds from the first byte sent to the answer, and of the whole with the usual shrinking, from end to end."""
    phone = phone_clip()
    rounds = 1 if mbit_s < 50 else SEND_ROUNDS  # below, the line is nearly all of it, and takes minutes
    row: dict[str, object] = {}
    with Progress(transient=True) as progress:
        task = progress.add_task(f"over {mbit_s} Mbit/s", total=len(VARIANTS) + 3)
        shape(client, mbit_s)
        try:
            row["raw_s"] = statistics.median(timed(client, phone) for _ in range(rounds))
            progress.advance(task)
            for number, variant in enumerate(VARIANTS):
                small = WORK / f"small_{number}.mp4"
                row[name_of(variant)] = statistics.median(timed(client, small) for _ in range(rounds))
                progress.advance(task)
            row["end_to_end_s"], _ = whole(client, phone, short_side, "on")
            progress.advance(task)
            seconds, was_shrunk = whole(client, phone, short_side, "auto")
            return {**row, "auto": {"s": seconds, "was_shrunk": was_shrunk}}
        finally:
            shape(client, None)


def whole(client: Client, path: Path, short_side: int, mode: str) -> tuple[float, bool]:
    """Seconds of choosing, shrinking, sending and being answered, and whether it was shrunk."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        chosen = choose(path, short_side, mode, Path(folder), client.uplink)
        client.classify(chosen.path)
        return time.perf_counter() - began, chosen.was_shrunk


PARTS: dict[str, Callable[[Client, int], dict[str, object]]] = {
    "clips": clips,
    "agreement": agreement,
    "encode": encode,
    **{f"send_{mbit_s}": partial(send, mbit_s=mbit_s) for mbit_s in study_report.UPLINKS},
}


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"there is no {unknown.pop()}; there are {', '.join(PARTS)}")
    WORK.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    models = repository.models_of(WORK, MODEL)
    with running("study", models, MODEL) as stack, Client(stack.base, timeout_s=600) as client:
        (model,) = (model for model in client.models() if model.is_default)
        results |= {"machine": machine(), "model": model.name, "short_side": model.short_side}
        for name in wanted:
            print(f"== {name}", flush=True)
            began = time.perf_counter()
            # The machine's, of all that runs on it: who reads the times may want to know who else was there.
            results["load"] = {**results.get("load", {}), name: os.getloadavg()[0]}
            results[name] = PARTS[name](client, model.short_side)
            print(f"   {time.perf_counter() - began:.0f} s", flush=True)
            OUT.write_text(json.dumps(results, indent=1) + "\n")
    study_report.main()


if __name__ == "__main__":
    main()
