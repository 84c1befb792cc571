"""docs/benchmarks.md from the results in bench/results/: no figure in it is typed by hand.

python -m bench.report [--results DIR --out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.plots import Pictures
from bench.tables import table

HERE = Path(__file__).parent


def readers(data: Any, _: Pictures) -> str:
    names = list(next(iter(data["files"].values()))["readers"])
    keys = {key for entry in data["files"].values() for one in entry["readers"].values() for key in one}
    threads = sorted(int(key.split("_")[1]) for key in keys if key.endswith("_threads"))
    rows: list[list[object]] = []
    errors: dict[str, str] = {}
    for file, entry in data["files"].items():
        found = entry["readers"]
        row: list[object] = [f"{file} ({entry['rounds']})"]
        for name in names:
            one = found.get(name, {})
            if "error" in one:
                errors[name] = one["error"]
            ms = [f"{one[key]:.0f}" for n in threads if (key := f"ms_{n}_threads") in one]
            row.append(" / ".join(ms) or "–")
        rows.append(row)
    similarity = []
    for name in names:
        seen = [
            (one["ssim_min"], file, one["ssim_at"])
            for file, entry in data["files"].items()
            if "ssim_min" in (one := entry["readers"].get(name, {}))
        ]
        if seen:
            least, file, at = min(seen)
            similarity.append([name, least, f"frame {at} of {file}"])
    rates = [[name, *(rate[str(n)] for n in (1, 2, 3, 4))] for name, rate in data["videos_per_s"].items()]
    notes = "".join(f"\n- {name}: {error}" for name, error in errors.items())
    gain = statistics.median(
        1 - without[key] / ours[key]
        for entry in data["files"].values()
        if (without := entry["readers"].get("ours, no loop filter")) and (ours := entry["readers"]["pyav (ours)"])
        for key in ours
        if key.startswith("ms_")
    )
    return f"""## Readers

Opening a file, reading the frames of 10 views (13 frames at stride 6, as X3D-S; views on the stride's grid share frames) at a short side of 182, closing
it. Milliseconds with {" / ".join(map(str, threads))} decoder threads, median of the rounds (their number stands beside the file), readers in turns. `python -m bench.readers SOURCE --work DIR --out
bench/results/readers.json`

A lane that has two CPUs to itself gives four threads to FFmpeg's own decoders, two to dav1d (AV1), and one to pictures of less than 2¹⁷ pixels.

{table(["file", *names], rows)}
{notes}

Least similarity (SSIM of the luma, against a whole decode that leaves nothing out):

{table(["reader", "SSIM", "where"], similarity)}

Without the loop filter decoding takes {gain:.0%} less time in the median, but at low rates (`_low_rate`: CRF 34) the pictures drift away from what they should be, until the
next keyframe; so it is not skipped.

Videos a second by so many processes at once, one thread each, h264 720p, GOP 250:

{table(["reader", "1", "2", "3", "4"], rates)}
"""


def overlap(data: Any, _: Pictures) -> str:
    names = list(next(iter(data.values())))
    rows = [[video, *(found[name] for name in names)] for video, found in data.items()]
    return f"""## Overlap

A request of 10 views with a model whose inference takes as long as the decoding (a fixed sleep a view). Milliseconds, medians of rounds in turns; the
bound is max(decode, infer). `make bench ONLY=overlap`

{table(["video", *names], rows)}

`cliplane` is at the client, upload included, which the bare ways do not have; `in the lane` is without it. `lane / least`: nothing can be inferred before the first view is decoded, so no way can take less than first view + infer. In the 10 s video the views overlap, and
the first needs 13 of the 49 frames; in the 60 s video each view has its own.
"""


def length(data: Any, _: Pictures) -> str:
    rows = []
    for seconds in next(iter(data.values())):
        row: list[object] = [f"{int(seconds)} s"]
        for found in data.values():
            one = found[seconds]
            row += [one["megabytes"], one["spool"], one["decode"], one["total"]]
        rows.append(row)
    head = ["length"] + [f"{gop} {name}" for gop in data for name in ("MB", "spool ms", "decode ms", "total ms")]
    return f"""## Length

The same footage (256p, h264) repeated, 10 views, one client. `spool` is the upload, which does grow. `make bench ONLY=length`

{table(head, rows)}
"""


def views(data: Any, _: Pictures) -> str:
    rows = [[name, *one.values()] for name, one in data["views"].items()]
    rule = [[sure, one["mean_views"], one["agreement"]] for sure, one in data["rule"].items()]
    auto = data["auto"]
    return f"""## Views

{data["videos"]} made videos of 8 s, camera_motion; two in five change their move on the way. Against the answer of 30 views: same top label, and the largest
difference of a score. `make bench ONLY=views`

{table(["views", "ms p50", "top-1 as with 30", "score drift p50", "score drift p95"], rows)}

`views=auto`: {auto["mean_views"]} views of 10 in the mean, top-1 as with all ten in {auto["top1_as_10_views"]:.2%} of the videos; {auto["decided"]:.0%} ended early;
{auto["ms_mean"]} ms in the mean against {auto["ms_mean_of_10"]} ms with ten.

The rule's constant, on the same answers, computed afterwards (4.0 is what is used):

{table(["standard deviations", "mean views", "top-1 as with all ten"], rule)}
"""


def handoff(data: Any, _: Pictures) -> str:
    rows: list[list[object]] = []
    for name, found in data.items():
        ours, copy = found["shared memory, in place"], found["memcpy"]
        times = [f"{found[way] / ours:.1f}" for way in ("HTTP payload", "gRPC payload")]
        rows.append([name, *found.values(), f"{ours - copy:+.1f}", " / ".join(times)])
    names = ["X3D-M views", *next(iter(data.values())), "in place − memcpy", "HTTP, gRPC / in place"]
    return f"""## Hand-off

What it costs to bring views of X3D-M (16 × 224 × 224) to a model in Triton that only looks at them: milliseconds, medians of rounds in turns; `memcpy` is a plain
copy of the same bytes in memory, once. In place nothing is copied: the backend reads the region. There is no row for CUDA shared memory: not run on a GPU. `make bench ONLY=handoff`

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
    shown = [part for part in first["parts_ms"] if part not in ("client", "inference", "lane")]
    parts = [[name, *one["parts_ms"].values()] for name, one in data.items()]
    plot = pictures.stacked_bars(
        "floor", {name: {part: one["parts_ms"][part] for part in shown} for name, one in data.items()}, "ms, one client"
    )
    return f"""## Floor

The least work, decoding and inference in bare loops with the same reader and engine, beside the whole stack: 10 views, h264, GOP 250, 10 s. Latency: one client, medians, in turns; the floor is the
faster of its two ways. Throughput: one process a core against two clients a core; median of the rounds' ratios. `make bench ONLY=floor`

{table(names, rows)}

Where one client's mean time goes, ms. `engine, not hidden` is what of the inference was not behind the decoding; `inference` and `lane` are the whole of each.

{table(["clip", *first["parts_ms"]], parts)}

{plot}
"""


def peers(data: Any, _: Pictures) -> str:
    text = f"""## Peers

The same clips (h264, GOP 250, 10 s), model and engine, {data["views"]} views; each server alone on the machine while it is measured, in turns, {data["rounds"]} rounds of {data["seconds"]:g} s a cell. Peers
decode with decord2, each frame once, resized as it is decoded; as many workers as cores of one thread each, and for one client also one worker with all threads
(`1 worker`). Their answers are Cliplane's, within the difference stated. `bench/peers/` has each as it was run. `make bench ONLY=peers`
"""
    for model, found in data["models"].items():
        text += f"\n### {model}\n\nLargest difference of a score: " + ", ".join(
            f"{name} {apart}" for name, apart in found["largest_difference"].items()
        )
        rows: list[list[object]] = []
        verdicts: list[list[object]] = []
        for size, by_clients in found["table"].items():
            for clients, servers in by_clients.items():
                rows += [[size, clients, name, *row.values()] for name, row in servers.items()]
                ours, auto = servers["Cliplane"], servers["Cliplane, views=auto"]
                others = {name: row for name, row in servers.items() if not name.startswith("Cliplane")}
                frameworks = {name: row for name, row in others.items() if name != "first stack"}
                fastest = min(row["p50"] for row in frameworks.values())
                most = max(row["per_s"] for row in frameworks.values())
                verdicts.append(
                    [
                        size,
                        clients,
                        f"{ours['p50'] / fastest:.2f}",
                        f"{ours['per_s'] / most:.2f}",
                        f"{auto['per_s'] / most:.2f}",
                    ]
                    + ([f"{ours['per_s'] / others['first stack']['per_s']:.1f}"] if "first stack" in others else ["–"])
                )
        head = [
            "size",
            "clients",
            "p50 / best peer",
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


def upload(data: Any, _: Pictures) -> str:
    sizes = {name: row for name, row in data.items() if name != "memory"}
    rows = [[name, *row.values()] for name, row in sizes.items()]
    return f"""## Upload

A body and nothing to do with it, ms, medians, by curl from a file, in turns with `cp` of the same file to the same disk. The peers read the form and answer its length; Cliplane classifies one view of the
video in it. The most memory a Python process of the web container ever had: {data["memory"]["before_mb"]} MB before the uploads, {data["memory"]["after_mb"]} MB after.
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
    return (
        text
        + f"\nOverload: with {over['clients']} clients {over['share_of_peak']:.0%} of the peak of {over['peak_per_s']} videos/s.\n"
    )


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


SECTIONS: dict[str, Callable[[Any, Pictures], str]] = {
    "handoff": handoff,
    "floor": floor,
    "peers": peers,
    "upload": upload,
    "growth": growth,
    "length": length,
    "start": start,
    "readers": readers,
    "overlap": overlap,
    "views": views,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    args = parser.parse_args()
    pictures = Pictures(args.out.with_suffix(""))
    results = {file.stem: json.loads(file.read_text()) for file in args.results.glob("*.json")}
    machine = results["machine"]
    text = f"""# Benchmarks

Written by `bench/report.py` from `bench/results/`. {machine["cpus"]} CPUs ({machine["cpu"]}), {machine["memory_gb"]} GB, no GPU; the machine is shared and
noisy, so compare within a table, not between them. The clip is `{machine["source"]}`.

"""
    args.out.write_text(
        text + "\n".join(section(results[name], pictures) for name, section in SECTIONS.items() if name in results)
    )


if __name__ == "__main__":
    main()
