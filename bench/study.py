"""Is it worth making a video small before it is uploaded? Over lines of several speeds.

    python -m bench.study [PART …]      clips, agreement, encode, send_5 … send_1000; all of them without a name

The line is slowed by the kernel: `tc` shapes what leaves this container (a token bucket on its interface), so it needs
NET_ADMIN. Results go to bench/results/study.json, each part's as soon as it is there; docs/shrinking.md is written
from them. For `make study`.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from cliplane_client import Client
from cliplane_client.shrinking import CRF, MARGIN, choose, shrink

from bench import repository, study_report
from bench.run import HERE, machine, source
from bench.stack import running
from bench.videos import repeated
from tests import media

MODEL = "camera_motion"
WORK = HERE.parent / "artifacts" / "study"
OUT = HERE / "results" / "study.json"

MOVES = ("static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw")
DRAWN = [(move, number) for move in MOVES for number in range(6)]
CLIP_FRAMES = 48
PHONE_SECONDS = 60
ENCODE_ROUNDS = 2
SEND_ROUNDS = 3

# (short side as a multiple of the model's, CRF): sizes at the usual quality, and qualities at the usual size.
VARIANTS = [(1.0, CRF), (MARGIN, CRF), (2.0, CRF), (4.0, CRF), (MARGIN, 28), (MARGIN, 33)]

# As a phone's encoder writes: no B-frames, a keyframe a second, 17 Mbit/s.
PHONE = {"preset": "veryfast", "bf": "0", "g": "30", "b": "17M", "maxrate": "17M", "bufsize": "17M", "profile": "high"}


def name_of(variant: tuple[float, int]) -> str:
    return f"{variant[0]} / {variant[1]}"


def tripled(frames: Iterator[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """640 x 360 as 1920 x 1080 with a camera's noise: drawing at that size takes a second a frame."""
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0, 3, (1080, 1920, 1)).astype(np.int8) for _ in range(8)]
    for t, frame in enumerate(frames):
        large = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(1920, 1080, interpolation="BICUBIC")
        yield np.clip(large.to_ndarray() + noise[t % 8], 0, 255).astype(np.uint8)


def made_clip(move: str, number: int) -> Path:
    """1.6 s of one move at 1080p, from slower than the model can see to fast."""
    path = WORK / f"{move}_{number}.mp4"
    if not path.exists():
        rng = random.Random(f"{move} {number}")
        speed = 0.0 if move == "static" else 0.0012 * 8 ** rng.random()
        frames = media.moving_camera(
            move, seed=rng.randrange(10**6), frames=CLIP_FRAMES, width=640, height=360, speed=speed
        )
        path.write_bytes(media.encode(tripled(frames, number), fps=30, options=PHONE))
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
        to_and_fro = itertools.islice(itertools.cycle(frames + frames[-2:0:-1]), 300)
        short.write_bytes(media.encode(tripled(to_and_fro, 0), fps=30, options=PHONE))
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
        made = list(pool.map(made_clip, *zip(*DRAWN, strict=True)))
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
    rows: dict[str, list[tuple[bool, float, float]]] = {name_of(variant): [] for variant in VARIANTS}
    differing: dict[str, list[str]] = {name: [] for name in rows}
    for path in paths:
        raw = scores(client, path)
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                small, _, _ = shrink(path, round(short_side * variant[0]), Path(folder), crf=variant[1])
                got = scores(client, small)
                part = small.stat().st_size / path.stat().st_size
            same = max(got, key=got.__getitem__) == max(raw, key=raw.__getitem__)
            drift = max(abs(got[label] - raw[label]) for label in raw)
            rows[name_of(variant)].append((same, drift, part))
            if not same:
                two = sorted(raw.values())[-2:]
                differing[name_of(variant)].append(f"{path.stem}: raw leads by {two[1] - two[0]:.3f}")
    return {
        name: {
            "clips": len(row),
            "top1": statistics.mean(same for same, _, _ in row),
            "drift_p50": statistics.median(drift for _, drift, _ in row),
            "drift_p95": float(np.quantile([drift for _, drift, _ in row], 0.95)),
            "part_of_bytes": statistics.median(part for _, _, part in row),
            "differing": differing[name],
        }
        for name, row in rows.items()
    }


def encode(_: Client, short_side: int) -> dict[str, object]:
    """What shrinking the phone's clip takes and leaves, the variants in turns."""
    found: dict[str, dict[str, Any]] = {}
    for _round in range(ENCODE_ROUNDS):
        for variant in VARIANTS:
            small, frames, seconds = shrink(phone_clip(), round(short_side * variant[0]), WORK, crf=variant[1])
            row = found.setdefault(name_of(variant), {"short_side": round(short_side * variant[0]), "all_s": []})
            row["all_s"].append(seconds)
            row["encode_s"] = statistics.median(row["all_s"])
            row["frames_a_second"] = frames / row["encode_s"]
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
    shape(client, mbit_s)
    try:
        rounds = 1 if mbit_s < 50 else SEND_ROUNDS
        row: dict[str, object] = {"raw_s": statistics.median(timed(client, phone) for _ in range(rounds))}
        for number, variant in enumerate(VARIANTS):
            small = WORK / f"small_{number}.mp4"
            row[name_of(variant)] = statistics.median(timed(client, small) for _ in range(SEND_ROUNDS))
        row["end_to_end_s"], _ = whole(client, phone, short_side, "on")
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
    results: dict[str, object] = json.loads(OUT.read_text()) if OUT.exists() else {}
    models = repository.models_of(WORK, MODEL)
    with running("study", models, MODEL) as stack, Client(stack.base, timeout_s=600) as client:
        (model,) = (model for model in client.models() if model.is_default)
        results |= {"machine": machine(), "model": model.name, "short_side": model.short_side}
        for name in wanted:
            print(f"== {name}", flush=True)
            results[name] = PARTS[name](client, model.short_side)
            OUT.write_text(json.dumps(results, indent=1) + "\n")
    study_report.main()


if __name__ == "__main__":
    main()
