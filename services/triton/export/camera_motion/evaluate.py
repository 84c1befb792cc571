"""How good is it? On held-out pictures and speeds, and on real footage with a window moved over it.

    python -m camera_motion.evaluate --model ../models/camera_motion --footage DIR --wallpapers DIR --out metrics.json

The second is nearest to what the service meets: the window moves while the footage plays, the result is encoded as
H.264, decoded by decord, sampled and resized as the service does, and the views' probabilities are averaged. The
exported graph answers, not PyTorch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import decord
import numpy as np
import openvino

from . import textures
from .contract import CLIP_LENGTH, LABELS, SIDE, TEMPORAL_STRIDE
from .generator import generate
from .train import add_data_arguments, collect

HELD_OUT_CLIPS = 3000
SEED = 2026
FRAMES = 75
FPS = 25
CLIPS = 4  # views a video, as in config.pbtxt

# The whole move, in sides of the window, log of the scale, or radians, over 3 s.
MOVES = {"pan": (0.25, 0.6, 1.2), "tilt": (0.25, 0.6, 1.2), "zoom": (0.25, 0.5, 0.9), "roll": (0.3, 0.7, 1.5)}
WINDOWS = (0.45, 0.7)  # of the footage's short side

Predict = Callable[[np.ndarray], np.ndarray]


def moved(footage: textures.Texture, label: str, amount: float, window: float) -> Iterator[np.ndarray]:
    """The footage, playing, seen through a window that moves by `amount` in all. Played to and fro if it is short."""
    height, width = footage[0].shape[:2]
    side = window * min(height, width)
    kind, _, direction = label.partition("_")
    sign = 1 if direction in ("right", "down", "in", "cw") else -1
    out = max(int(side) // 2 * 2, 128)
    for t in range(FRAMES):
        s = sign * amount * (t / (FRAMES - 1) - 0.5)
        dx, dy = (s * side if kind == k else 0.0 for k in ("pan", "tilt"))
        scale = side / out * (np.exp(-s) if kind == "zoom" else 1.0)
        angle = s if kind == "roll" else 0.0
        c, n = scale * np.cos(angle), scale * np.sin(angle)
        centre = width / 2 + dx, height / 2 + dy
        matrix = np.array([[c, -n, centre[0] - (c - n) * out / 2], [n, c, centre[1] - (n + c) * out / 2]])
        turn = t % (2 * len(footage) - 1)
        frame = footage[min(turn, 2 * len(footage) - 2 - turn)]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        yield cv2.warpAffine(frame, matrix, (out, out), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def encoded(frames: Iterator[np.ndarray], path: Path, crf: int) -> None:
    """Write H.264."""
    with av.open(str(path), "w") as output:
        stream = None
        for frame in frames:
            if stream is None:
                stream = output.add_stream("libx264", rate=Fraction(FPS), options={"crf": str(crf)})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        if stream is not None:
            output.mux(stream.encode())


def sampled(path: Path) -> np.ndarray:
    """(views, T, SIDE, SIDE, 3) uint8, cut from a file as the service cuts it."""
    video = decord.VideoReader(str(path), width=SIDE, height=SIDE, num_threads=1)
    last = len(video) - ((CLIP_LENGTH - 1) * TEMPORAL_STRIDE + 1)
    starts = [round(k * last / (CLIPS - 1)) for k in range(CLIPS)]
    frames = [video.get_batch(list(range(s, s + CLIP_LENGTH * TEMPORAL_STRIDE, TEMPORAL_STRIDE))) for s in starts]
    return np.stack([f.asnumpy() for f in frames])


def held_out(predict: Predict, collection: textures.Collection, *, clean: bool) -> dict[str, object]:
    """Top-1 on generated clips of pictures and speeds that training never saw."""
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    batch: list[np.ndarray] = []
    truth: list[int] = []
    for i in range(HELD_OUT_CLIPS):
        clip = generate(SEED, i, collection, held_out_speeds=True, clean=clean)
        batch.append(clip.frames)
        truth.append(clip.label)
        if len(batch) == 32 or i == HELD_OUT_CLIPS - 1:
            for true, guess in zip(truth, predict(np.stack(batch)).argmax(1), strict=True):
                confusion[true, guess] += 1
            batch, truth = [], []
    return {
        "clips": HELD_OUT_CLIPS,
        "top1": float(np.trace(confusion) / confusion.sum()),
        "confusion": confusion.tolist(),
    }


def real(predict: Predict, footage: dict[str, textures.Texture]) -> dict[str, object]:
    """Top-1 of whole videos made of real footage, by source, label and amount."""
    right: dict[str, Counter[str]] = defaultdict(Counter)
    every: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in footage.items():
            for label in LABELS:
                amounts = MOVES[label.split("_")[0]] if label != "static" else (0.0,) * 3
                for k, amount in enumerate(amounts):
                    window = WINDOWS[k % 2]
                    path = Path(folder) / "clip.mp4"
                    encoded(moved(frames, label, amount, window), path, crf=(20, 26, 30)[k])
                    guess = LABELS[int(predict(sampled(path)).mean(0).argmax())]
                    kind = label.split("_")[0]
                    keys = {"all": "all", "source": name, "label": label, "amount": f"{kind} {amount}"}
                    for group, key in keys.items():
                        every[group][key] += 1
                        right[group][key] += guess == label
                    if guess.split("_")[0] == kind:
                        right["unsigned"]["all"] += 1
                    every["unsigned"]["all"] += 1
                    if guess != label:
                        wrong.append(f"{name}: {label} {amount} taken for {guess}")
    tables = {g: {key: right[g][key] / n for key, n in c.items()} for g, c in every.items()}
    return {"videos": every["all"]["all"], **tables, "wrong": wrong}


def speed(predict: Predict) -> dict[str, float]:
    """Milliseconds of one view, and of one of a batch of 8: medians."""
    result = {}
    for views in (1, 8):
        frames = np.random.default_rng(0).integers(0, 256, (views, CLIP_LENGTH, SIDE, SIDE, 3), np.uint8)
        times = []
        for _ in range(60):
            began = time.perf_counter()
            predict(frames)
            times.append(time.perf_counter() - began)
        result[f"ms_a_view_of_{views}"] = round(statistics.median(times[10:]) / views * 1000, 2)
    return result


def tables(metrics: dict[str, Any]) -> str:
    """The card's tables, in Markdown."""
    generated = metrics["held_out_pictures_and_speeds"]
    clean = metrics["held_out_pictures_and_speeds_clean"]
    lines = [
        f"Held-out pictures and speeds, {generated['clips']} clips: top-1 {generated['top1']:.3f} with things in front "
        f"and degraded, {clean['top1']:.3f} clean. Confusion of the former:",
        "",
    ]
    lines += ["| true \\ answered | " + " | ".join(LABELS) + " |", "|---" * (len(LABELS) + 1) + "|"]
    for label, row in zip(LABELS, generated["confusion"], strict=True):
        lines.append(f"| {label} | " + " | ".join(str(n) for n in row) + " |")
    for name in ("real_footage_never_seen", "real_footage_whose_frames_were_textures"):
        result = metrics[name]
        lines += ["", f"{name}: top-1 {result['all']['all']:.3f} of {result['videos']} videos; "]
        lines[-1] += f"without the sign {result['unsigned']['all']:.3f}."
        for group in ("source", "label", "amount"):
            lines.append(f"- by {group}: " + ", ".join(f"{key} {value:.2f}" for key, value in result[group].items()))
        lines += ["- wrong: " + "; ".join(result["wrong"])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--model", type=Path, required=True, help="the model folder")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    properties = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(args.model / "1" / "model.onnx", "CPU", properties)

    def predict(frames: np.ndarray) -> np.ndarray:
        return np.array(compiled(frames)[0])

    never_seen = collect(args, held_out=True)
    seen = collect(args, held_out=False)
    metrics = {
        "labels": LABELS,
        "speed": speed(predict),
        "held_out_pictures_and_speeds": held_out(predict, never_seen, clean=False),
        "held_out_pictures_and_speeds_clean": held_out(predict, never_seen, clean=True),
        "real_footage_never_seen": real(predict, never_seen.footage),
        "real_footage_whose_frames_were_textures": real(predict, seen.footage),
    }
    args.out.write_text(json.dumps(metrics) + "\n")
    print(tables(metrics))


if __name__ == "__main__":
    main()
