"""What do more views buy, and what does views=auto save? Several hundred made videos.

    make bench ONLY=views

Each video is 8 s of a camera moved over a drawn picture, at a speed drawn log-uniformly from slower than the model can
see to fast; two in five change the move somewhere on the way, so that views disagree. Every video is asked with 1, 2,
4, 10 and 30 views and with auto, in turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import time
from pathlib import Path

import httpx
import numpy as np
from cliplane.policy import early_stop
from cliplane.policy.sampling import coarse_to_fine

from bench import repository
from bench.stack import running
from tests import media

MOVES = ("static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw")
VIEWS = (1, 2, 4, 10, 30)
FRAMES = 200
MODEL = "camera_motion"
SURE = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


def video(number: int) -> bytes:
    rng = random.Random(number)
    first = rng.choice(MOVES)
    parts = [(first, FRAMES)]
    if rng.random() < 0.4:
        cut = rng.randrange(30, FRAMES - 30)
        parts = [(first, cut), (rng.choice(MOVES), FRAMES - cut)]
    frames = []
    for move, count in parts:
        speed = 0.0 if move == "static" else 0.0012 * 8 ** rng.random()
        frames.append(media.moving_camera(move, seed=number, frames=count, width=128, height=96, speed=speed))
    return media.encode(itertools.chain(*frames), options={"preset": "veryfast", "crf": str(rng.choice((20, 28, 34)))})


def scores(predictions: list[dict[str, object]]) -> np.ndarray:
    by_label = {p["label"]: p["score"] for p in predictions}
    return np.array([by_label[move] for move in MOVES], float)


def top(answer: dict[str, object]) -> object:
    return answer["predictions"][0]["label"]  # type: ignore[index]


def stopped_after(views: list[np.ndarray], sure: float) -> tuple[int, bool]:
    """How many of these views the rule takes, and whether their top class is that of all."""
    order = coarse_to_fine(len(views))
    early_stop.SURE = sure
    for used in range(1, len(views) + 1):
        known = [views[k] for k in order[:used]]
        if early_stop.is_decided(known, len(views)):
            break
    return used, int(np.mean(known, axis=0).argmax()) == int(np.mean(views, axis=0).argmax())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first video: other numbers, other videos")
    args = parser.parse_args()
    answers: dict[int | str, list[dict[str, object]]] = {}
    ms: dict[int | str, list[float]] = {}
    models = repository.models_of(args.work, MODEL)
    with running("views", models, MODEL) as stack, httpx.Client(base_url=stack.base, timeout=60) as http:
        for number in range(args.first, args.first + args.videos):
            body = video(number)
            asked: tuple[int | str, ...] = (*VIEWS, "auto")
            for views in asked:
                began = time.perf_counter()
                answer = http.post("/v1/classify", params={"views": views, "top": 9}, content=body).raise_for_status()
                ms.setdefault(views, []).append((time.perf_counter() - began) * 1000)
                answers.setdefault(views, []).append(answer.json())
    most = answers[VIEWS[-1]]
    rows = {}
    for views, found in answers.items():
        drift = [
            float(np.abs(scores(a["predictions"]) - scores(b["predictions"])).max())  # type: ignore[arg-type]
            for a, b in zip(found, most, strict=True)
        ]
        rows[str(views)] = {
            "ms_p50": round(statistics.median(ms[views]), 1),
            "top1_as_30_views": round(statistics.mean(top(a) == top(b) for a, b in zip(found, most, strict=True)), 3),
            "score_drift_p50": round(statistics.median(drift), 3),
            "score_drift_p95": round(float(np.quantile(drift, 0.95)), 3),
        }
    auto, ten = answers["auto"], answers[10]
    used = [answer["auto"]["used"] for answer in auto]  # type: ignore[index]
    rule = {}
    for sure in SURE:
        taken = [stopped_after([scores(v["predictions"]) for v in a["views"]], sure) for a in ten]  # type: ignore[attr-defined]
        rule[str(sure)] = {
            "mean_views": round(statistics.mean(n for n, _ in taken), 2),
            "agreement": round(statistics.mean(same for _, same in taken), 4),
        }
    result = {
        "videos": args.videos,
        "first": args.first,
        "views": rows,
        "auto": {
            "mean_views": round(statistics.mean(used), 2),
            "top1_as_10_views": round(statistics.mean(top(a) == top(b) for a, b in zip(auto, ten, strict=True)), 4),
            "decided": round(statistics.mean(a["auto"]["reason"] == "decided" for a in auto), 3),  # type: ignore[index]
            "ms_mean": round(statistics.mean(ms["auto"]), 1),
            "ms_mean_of_10": round(statistics.mean(ms[10]), 1),
        },
        "rule": rule,
    }
    print(json.dumps(result, indent=1))
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
