"""How do throughput and waiting grow with lanes, clients and views; and what does overload do?

    make bench ONLY=growth

One clip (h264 256p, 10 s), camera_motion; load by hey. The lanes are changed by starting the stack anew. The length of
a video is a benchmark of its own (length). Overload: many more clients than lanes and queue together, each as fast as
the 503s' Retry-After wants it, once a second: several times what there is; what counts is that the answers with status
200 come as fast as at the peak, and the 503s at once. Clients that send again at once, whatever they got, are in the
curve: there the load generator itself takes the CPUs, with whole videos that are refused.
"""

from __future__ import annotations

import json
import os
from typing import Any

from bench import arguments, load, repository, videos
from bench.stack import running

CORES = os.process_cpu_count() or 1
LANES = tuple(range(1, 2 * CORES + 1))
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
VIEWS = (1, 2, 4, 10, 30)
MODEL = "camera_motion"


def row(sent: load.Load) -> dict[str, Any]:
    return {
        "per_s": round(sent.per_second, 2),
        "p50": round(load.quantile(sent.ms, 0.5), 1),
        "p99": round(load.quantile(sent.ms, 0.99), 1),
        "statuses": dict(sent.statuses),
    }


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--lanes", nargs="*", type=int, default=list(LANES))
    parser.add_argument("--clients", nargs="*", type=int, default=list(CLIENTS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clip = videos.encoded(args.source, args.work, "256p", "h264", 250)
    models = repository.models_of(args.work, MODEL)
    result: dict[str, Any] = {"lanes": {}, "clients": {}, "views": {}, "overload": {}}

    def measure(table: str, key: int, url: str, clients: int, each_per_s: float = 0) -> None:
        load.send(url, clip, clients, requests=clients)
        sent = load.send(url, clip, clients, seconds=args.seconds, each_per_s=each_per_s)
        result[table][str(key)] = row(sent)
        print(table, key, json.dumps(result[table][str(key)]), flush=True)

    for lanes in args.lanes:
        with running("growth", models, MODEL, {"CLIPLANE_LANES": str(lanes)}) as stack:
            url = f"{stack.base}/v1/classify?views="
            measure("lanes", lanes, f"{url}10", 2 * lanes)
            if lanes == CORES:
                for clients in args.clients:
                    measure("clients", clients, f"{url}10", clients)
                measure("overload", max(args.clients), f"{url}10", max(args.clients), each_per_s=1)
                for views in VIEWS:
                    measure("views", views, f"{url}{views}", 2 * CORES)
    result["peak_per_s"] = max(found["per_s"] for found in result["clients"].values())
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
