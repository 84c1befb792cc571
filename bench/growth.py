"""How do throughput and waiting grow with lanes, clients and views; and what does overload do?

    make bench ONLY=growth

One clip (h264 256p, 10 s), camera_motion; load by hey. The lanes are changed by starting the stack anew. The length of
a video is a benchmark of its own (length). Overload: many more clients than lanes and queue together, each as fast as
the 503s' Retry-After wants it, once a second: several times what there is; what counts is that the answers with status
200 come as fast as from clients that keep every lane busy and are never refused, in turns, and the 503s at once.
Clients that send again at once, whatever they got, are in the curve: there the load generator itself takes the CPUs,
with whole videos that are refused.
"""

from __future__ import annotations

import json
import os
import statistics
from typing import Any

from bench import arguments, load, repository, videos
from bench.stack import running

CORES = os.process_cpu_count() or 1
LANES = tuple(range(1, 2 * CORES + 1))
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
VIEWS = (1, 2, 4, 10, 30)
MODEL = "camera_motion"
BUSY = 4 * CORES
"""Clients that keep every lane busy and are all let in: two a lane, and as many again in the queue."""


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
    parser.add_argument("--rounds", type=int, default=9, help="of busy and overload, in turns")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clip = videos.encoded(args.source, args.work, "256p", "h264", 250)
    models = repository.models_of(args.work, MODEL)
    result: dict[str, Any] = {"lanes": {}, "clients": {}, "views": {}, "overload": {}}

    def measure(table: str, key: int, url: str, clients: int) -> None:
        load.send(url, clip, clients, requests=clients)
        result[table][str(key)] = row(load.send(url, clip, clients, seconds=args.seconds))
        print(table, key, json.dumps(result[table][str(key)]), flush=True)

    def overload(url: str, clients: int) -> dict[str, Any]:
        rows: dict[str, list[dict[str, Any]]] = {"busy": [], "over": []}
        for _ in range(args.rounds):
            rows["busy"].append(row(load.send(url, clip, BUSY, seconds=args.seconds)))
            rows["over"].append(row(load.send(url, clip, clients, seconds=args.seconds, each_per_s=1)))
        shares = [over["per_s"] / busy["per_s"] for busy, over in zip(rows["busy"], rows["over"], strict=True)]
        return {"clients": clients, "busy_clients": BUSY, "share": round(statistics.median(shares), 3), **rows}

    for lanes in args.lanes:
        with running("growth", models, MODEL, {"CLIPLANE_LANES": str(lanes)}) as stack:
            url = f"{stack.base}/v1/classify?views="
            measure("lanes", lanes, f"{url}10", 2 * lanes)
            if lanes == CORES:
                for clients in args.clients:
                    measure("clients", clients, f"{url}10", clients)
                result["overload"] = overload(f"{url}10", max(args.clients))
                print("overload", json.dumps(result["overload"]), flush=True)
                for views in VIEWS:
                    measure("views", views, f"{url}{views}", 2 * CORES)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
