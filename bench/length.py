"""Does a longer video cost more? The same 10 views of 10 s … 2 h of the same footage.

make bench ONLY=length
"""

from __future__ import annotations

import json
import statistics

import httpx

from bench import arguments, repository, videos
from bench.stack import running

LENGTHS_S = (10, 30, 60, 300, 600, 1800, 3600, 7200)
MODEL = "camera_motion"


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--lengths", nargs="*", type=int, default=list(LENGTHS_S))
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, dict[str, object]] = {}
    models = repository.models_of(args.work, MODEL)
    with running("length", models, MODEL) as stack, httpx.Client(base_url=stack.base, timeout=120) as http:
        for gop in (12, 250):
            short = videos.encoded(args.source, args.work, "256p", "h264", gop)
            files = {seconds: videos.repeated(short, args.work, seconds) for seconds in args.lengths}
            timings: dict[int, list[dict[str, float]]] = {seconds: [] for seconds in args.lengths}
            for round_ in range(args.rounds + 1):
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
