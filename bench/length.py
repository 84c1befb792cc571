"""Does a longer video cost more? The same 10 views of 10 s … 2 h of the same footage, against a running stack.

python -m bench.length SOURCE --work DIR --base http://127.0.0.1:8080 --out length.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import httpx

from bench import videos

LENGTHS_S = (10, 30, 60, 300, 600, 1800, 3600, 7200)
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--base", default="http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, dict[str, object]] = {}
    with httpx.Client(base_url=args.base, timeout=60) as http:
        for gop in (12, 250):
            short = videos.encoded(args.source, args.work, "256p", "h264", gop)
            files = {seconds: videos.repeated(short, args.work, seconds) for seconds in LENGTHS_S}
            timings: dict[int, list[dict[str, float]]] = {seconds: [] for seconds in LENGTHS_S}
            for round_ in range(ROUNDS + 1):
                for seconds, path in files.items():
                    with path.open("rb") as body:
                        answer = http.post("/v1/classify", params={"views": 10}, content=body).raise_for_status().json()
                    assert abs(answer["video"]["duration_s"] - seconds) < 1, answer["video"]
                    if round_:
                        timings[seconds].append(answer["timing_ms"])
            result[f"gop{gop}"] = {
                str(seconds): {
                    "megabytes": round(files[seconds].stat().st_size / 1e6, 1),
                    **{stage: round(statistics.median(t[stage] for t in rows), 1) for stage in rows[0]},
                }
                for seconds, rows in timings.items()
            }
            print(json.dumps(result[f"gop{gop}"]), flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
