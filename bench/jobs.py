"""Does a request notice that jobs run? Its p95 beside a job over its p95 on a server without one.

    make bench ONLY=jobs

One client, 720p, the model's own views, with pauses in which the job goes on. Rounds with and without a job alternate:
whatever else the machine does, it does to both.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench import arguments, repository, videos
from bench.stack import Stack, running

MODEL = "camera_motion"
PAUSES_S = (0.2, 0.6)
"""Longer than the job waits for a second request (`policy.Turns.QUIET_S`)."""


def requests_s(http: httpx.Client, clip: Path, count: int, seed: int) -> list[float]:
    """Seconds of so many requests, from the first byte sent to the answer."""
    times, pauses, body = [], random.Random(seed), clip.read_bytes()
    for _ in range(count):
        time.sleep(pauses.uniform(*PAUSES_S))
        began = time.perf_counter()
        http.post("/v1/classify", content=body).raise_for_status()
        times.append(time.perf_counter() - began)
    return times


@contextmanager
def job_running(http: httpx.Client, video: Path, done: list[int]) -> Iterator[None]:
    """A job that lasts longer than the requests; `done` gets how many of its windows were inferred meanwhile."""
    with video.open("rb") as body:
        query = {"stride_s": "0.2", "priority": "batch"}
        answer = http.post("/v1/segments", content=body, params=query, headers={"Prefer": "respond-async"})
    path = answer.raise_for_status().headers["Location"]
    while http.get(path).json()["progress"]["views"] == 0:
        time.sleep(0.1)
    before = http.get(path).json()["progress"]["views"]
    yield
    job = http.get(path).json()
    if job["state"] != "running":
        raise RuntimeError(f"the job ended before the requests: a longer --job-s than {video.name} has")
    done.append(job["progress"]["views"] - before)
    http.delete(path).raise_for_status()
    time.sleep(1.5)  # until its runner has seen it: `runner.TELL_S`


def measured(stack: Stack, clip: Path, video: Path, rounds: int, count: int) -> dict[str, object]:
    p95: dict[str, list[float]] = {"idle": [], "beside": []}
    all_s: dict[str, list[float]] = {"idle": [], "beside": []}
    done: list[int] = []
    with httpx.Client(base_url=stack.base, timeout=120) as http:
        requests_s(http, clip, 10, 0)
        for number in range(rounds):
            for name in ("idle", "beside") if number % 2 else ("beside", "idle"):
                if name == "idle":
                    times = requests_s(http, clip, count, number)
                else:
                    with job_running(http, video, done):
                        times = requests_s(http, clip, count, number)
                p95[name].append(statistics.quantiles(times, n=20)[-1])
                all_s[name] += times
            print(json.dumps({name: round(1000 * found[-1]) for name, found in p95.items()}), flush=True)
    ratios = [beside / idle for beside, idle in zip(p95["beside"], p95["idle"], strict=True)]
    return {
        "requests": rounds * count,
        "p50_ms": {name: round(1000 * statistics.median(times)) for name, times in all_s.items()},
        "p95_ms": {name: round(1000 * statistics.quantiles(times, n=20)[-1]) for name, times in all_s.items()},
        "p95 beside / idle": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "windows": sum(done),
    }


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--job-s", type=int, default=1800)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clip = videos.encoded(args.source, args.work, "720p", "h264", 250)
    video = videos.repeated(clip, args.work, args.job_s)
    with running("jobs", repository.models_of(args.work, MODEL), MODEL) as stack:
        result = measured(stack, clip, video, args.rounds, args.requests)
    print(json.dumps(result), flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
