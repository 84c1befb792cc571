"""The sections of docs/benchmarks.md on the whole stack: JSON in, Markdown out."""

from __future__ import annotations

import statistics
from typing import Any

from bench.plots import Pictures
from bench.tables import table


def handoff(data: Any, _: Pictures) -> str:
    rows: list[list[object]] = []
    for name, found in data.items():
        ours, copy = found["shared memory, in place"], found["memcpy"]
        times = [f"{found[way] / ours:.1f}" for way in ("HTTP payload", "gRPC payload")]
        rows.append([name, *found.values(), f"{ours - copy:+.1f}", " / ".join(times)])
    names = ["X3D-M views", *next(iter(data.values())), "in place − memcpy", "HTTP, gRPC / in place"]
    return f"""## Hand-off

What it costs to bring views of X3D-M (16 × 224 × 224) to a model in Triton that only looks at them: milliseconds, medians of rounds in turns; `memcpy` is a plain
copy of the same bytes in memory, once. In place nothing is copied: the backend reads the region. There is no row for CUDA shared memory, which is
not used ([ADR 7](adr/0007-on-a-gpu-too-frames-are-handed-over-in-system-memory.md)). `make bench ONLY=handoff`

{table(names, rows)}
"""


def floor(data: Any, pictures: Pictures) -> str:
    rows: list[list[object]] = []
    for name, one in data.items():
        rows.append(
            [
                name,
                *one["latency_ms"].values(),
                one["latency / floor"],
                *one["per_s"].values(),
                one["throughput / floor"],
            ]
        )
    first = next(iter(data.values()))
    names = ["clip", *(f"{way}, ms" for way in first["latency_ms"]), "latency / floor"]
    names += [*(f"{way}, videos/s" for way in first["per_s"]), "throughput / floor"]
    shown = [
        part for part in first["parts_ms"] if part not in ("client", "inference", "lane", "calls", "Triton, a call")
    ]
    parts = [[name, *one["parts_ms"].values()] for name, one in data.items()]
    plot = pictures.stacked_bars(
        "floor", {name: {part: one["parts_ms"][part] for part in shown} for name, one in data.items()}, "ms, one client"
    )
    return f"""## Floor

The least work, decoding and inference in bare loops with the same reader and engine, beside the whole stack: 10 views, h264, GOP 250, 10 s. Latency: one client, medians, in turns; the floor is the
faster of its two ways. Throughput: one process a core against two clients a core; median of the rounds' ratios. `make bench ONLY=floor`

{table(names, rows)}

Where one client's mean time goes, ms. `inference, not hidden` is what of it was not behind the decoding (gRPC, Triton, the engine, the average); `inference` and `lane` are the whole of each. `Triton, a call` is what
Triton does for one call beside the engine's work, by its own statistics; a whole call with next to nothing to compute is in [Hand-off](#hand-off).

{table(["clip", *first["parts_ms"]], parts)}

{plot}
"""


def peers(data: Any, _: Pictures) -> str:
    text = f"""## Peers

The same clips (h264, GOP 250, 10 s), model and engine, {data["views"]} views; each server alone on the machine while it is measured, in turns, {data["rounds"]} round(s) of {data["seconds"]:g} s a cell. Peers
decode with decord2, each frame once, resized as it is decoded; as many workers as cores of one thread each, and for one client also one worker with all threads
(`1 worker`). Their answers are Cliplane's, within the difference stated. `bench/peers/` has each as it was run. `make bench ONLY=peers`

Clients send again as soon as they are answered, so the mean wait is their number by videos/s. A server whose workers share the connections unevenly (FastAPI and BentoML with 4 clients) lets one
client wait for less and the others for more: a low p50 with a high p99. Each line's best peer is another one for each column.
"""
    for model, found in data["models"].items():
        text += f"\n### {model}, {found['precision']}\n\nLargest difference of a score: " + ", ".join(
            f"{name} {apart}" for name, apart in found["largest_difference"].items()
        )
        rows: list[list[object]] = []
        verdicts: list[list[object]] = []
        for size, by_clients in found["table"].items():
            for clients, servers in by_clients.items():
                rows += [[size, clients, name, *row.values()] for name, row in servers.items()]
                ours, auto = servers["Cliplane"], servers["Cliplane, views=auto"]
                frameworks = _frameworks(servers)
                of_many, fastest = _best_p50(servers)
                least_tail = min(row["p99"] for row in frameworks.values())
                most = max(row["per_s"] for row in frameworks.values())
                verdicts.append(
                    [
                        size,
                        clients,
                        f"{ours['p50'] / of_many:.2f}",
                        f"{ours['p50'] / fastest:.2f}",
                        f"{ours['p99'] / least_tail:.2f}",
                        f"{ours['per_s'] / most:.2f}",
                        f"{auto['per_s'] / most:.2f}",
                    ]
                    + (
                        [f"{ours['per_s'] / servers['first stack']['per_s']:.1f}"]
                        if "first stack" in servers
                        else ["–"]
                    )
                )
        head = [
            "size",
            "clients",
            "p50 / best peer, a worker a core",
            "p50 / best peer, either way",
            "p99 / best peer",
            "videos/s / best peer",
            "auto, videos/s / best peer",
            "videos/s / first stack",
        ]
        text += f"\n\n{table(head, verdicts)}\n"
        head = [
            "size",
            "clients",
            "server",
            "p50 ms",
            "p99 ms",
            "videos/s",
            "CPU s a video",
            "memory MB",
            "answers",
            "errors",
        ]
        text += f"\n<details><summary>every cell</summary>\n\n{table(head, rows)}\n\n</details>\n"
    return text


def _frameworks(servers: dict[str, Any]) -> dict[str, Any]:
    """The rows of the peers that are not the first stack."""
    return {name: row for name, row in servers.items() if not name.startswith("Cliplane") and name != "first stack"}


def _best_p50(servers: dict[str, Any]) -> tuple[float, float]:
    """The least p50 of the peers with a worker a core, and of all."""
    rows = _frameworks(servers)
    of_many = min(row["p50"] for name, row in rows.items() if not name.endswith(", 1 worker"))
    return of_many, min(row["p50"] for row in rows.values())


def bound(data: Any, _: Pictures) -> str:
    rows: list[list[object]] = []
    for model, found in data["peers"]["models"].items():
        for size, by_clients in found["table"].items():
            floor_ = data["floor"].get(f"{model}, {size}")
            alone, crowd = by_clients["1"], list(by_clients.values())[-1]
            if floor_ is None or "first stack" not in crowd:
                continue
            of_many, fastest = _best_p50(alone)
            ours, cost = alone["Cliplane"]["p50"], floor_["latency / floor"]
            ratio = crowd["Cliplane"]["per_s"] / crowd["first stack"]["per_s"]
            pairs = [
                (ours / of_many / cost, ours / of_many, 2),
                (ours / fastest / cost, ours / fastest, 2),
                (ratio / floor_["throughput / floor"], ratio, 1),
            ]
            rows.append([f"{model}, {size}", *(f"{free:.{n}f} / {ours:.{n}f}" for free, ours, n in pairs)])
    head = [
        "clip",
        "one client's p50 by the best peer's, a worker a core",
        "either way",
        "videos/s by the first stack's, most clients",
    ]
    return f"""## Bound

What a stack that costs nothing would have, and what Cliplane has. The second number is that of [Peers](#peers), the first is it without what Cliplane costs, which is its ratio in [Floor](#floor). Where
the first misses a goal, decoding and the engine decide, which are the same for all.

{table(head, rows)}
"""


def upload(data: Any, _: Pictures) -> str:
    sizes = {name: row for name, row in data.items() if name != "memory"}
    rows = [[name, *row.values()] for name, row in sizes.items()]
    return f"""## Upload

A body and nothing to do with it, ms, medians, by hey, in turns with `cp` of the same file to the same disk. `floor` is a loop that only receives the body and writes it to that disk. The peers read
the form and answer its length; Cliplane classifies one view of the half second of video in it. The most memory a Python process of the web container ever had: {data["memory"]["before_mb"]} MB before the uploads, {data["memory"]["after_mb"]} MB after.
`make bench ONLY=upload`

{table(["body", *next(iter(sizes.values()))], rows)}
"""


def growth(data: Any, pictures: Pictures) -> str:
    text = """## Growth

One clip (h264 256p, GOP 250, 10 s), camera_motion, 10 views unless said otherwise; two clients a lane, or as many as said. Every client sends again at once, whatever it got. `make bench ONLY=growth`
"""
    for name, head in (("lanes", "lanes"), ("clients", "clients"), ("views", "views")):
        rows = [
            [
                key,
                row["per_s"],
                row["p50"],
                row["p99"],
                ", ".join(f"{status}: {n}" for status, n in row["statuses"].items()),
            ]
            for key, row in data[name].items()
        ]
        text += f"\n{table([head, 'videos/s', 'p50 ms', 'p99 ms', 'answers'], rows)}\n"
        rates = {float(key): row["per_s"] for key, row in data[name].items()}
        waits = {float(key): row["p99"] for key, row in data[name].items()}
        text += "\n" + pictures.lines(f"growth-{name}-rate", rates, head, "videos/s")
        text += "\n" + pictures.lines(f"growth-{name}-p99", waits, head, "p99, ms") + "\n"
    over = data["overload"]
    busy, refusing = (statistics.median(row["per_s"] for row in over[name]) for name in ("busy", "over"))
    refused = sum(row["statuses"].get("503", 0) for row in over["over"])
    answers = sum(sum(row["statuses"].values()) for row in over["over"])
    text += f"\nOverload: {over['clients']} clients that each send once a second, as Retry-After wants it, in turns with {over['busy_clients']} clients that are all let in, {len(over['busy'])} rounds: {refusing} and {busy} videos/s are "
    text += f"classified, {over['share']:.0%} (median of the rounds' ratios); {refused} of {answers} are refused at once. Clients that send again at once are in the table above: there the load generator takes the CPUs.\n"
    return text


def start(data: Any, _: Pictures) -> str:
    images = [[name, size] for name, size in data["image_mb"].items()]
    seconds = [[name, value] for name, value in data["seconds"].items()]
    memory = [[name, ", ".join(map(str, sizes))] for name, sizes in data["unshared_mb"].items()]
    return f"""## Start and size

Cold: the images are there and nothing runs; warm: the containers were stopped. Until the first classified video, medians. Memory: what is unshared of each process of the web container at rest.
`make bench ONLY=start`

{table(["image", "MB"], images)}

{table(["start", "s"], seconds)}

{table(["process", "MB"], memory)}
"""
