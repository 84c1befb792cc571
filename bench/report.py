"""docs/benchmarks.md from the results in bench/results/: no figure in it is typed by hand.

python -m bench.report
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "benchmarks.md"


def table(head: list[str], rows: list[list[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def result(name: str) -> Any:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def readers() -> str:
    data = result("readers")
    names = list(next(iter(data["files"].values()))["readers"])
    rows: list[list[object]] = []
    errors: dict[str, str] = {}
    for file, entry in data["files"].items():
        found = entry["readers"]
        row: list[object] = [f"{file} ({entry['rounds']})"]
        for name in names:
            one = found.get(name, {})
            if "error" in one:
                errors[name] = one["error"]
            row.append(f"{one['ms_1_threads']:.0f} / {one['ms_2_threads']:.0f}" if "ms_2_threads" in one else "–")
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
    return f"""## Readers

Opening a file, reading the frames of 10 views (13 frames at stride 6, as X3D-S; views on the stride's grid share frames) at a short side of 182, closing
it. The columns of ours were measured before two needless seeks a GOP were mended in it, so they are rather too high. Milliseconds with one and with two decoder threads, median of the rounds (their number stands beside the file), readers in turns. `python -m bench.readers SOURCE --work DIR --out
bench/results/readers.json`

{table(["file", *names], rows)}
{notes}

Least similarity (SSIM of the luma, against a whole decode that leaves nothing out):

{table(["reader", "SSIM", "where"], similarity)}

Videos a second by so many processes at once, one thread each, h264 720p, GOP 250:

{table(["reader", "1", "2", "3", "4"], rates)}
"""


def overlap() -> str:
    data = result("overlap")
    names = list(next(iter(data.values())))
    rows = [[video, *(found[name] for name in names)] for video, found in data.items()]
    return f"""## Overlap

A request of 10 views with a model whose inference takes as long as the decoding (a fixed sleep a view). Milliseconds, medians of rounds in turns; the
bound is max(decode, infer). `make bench ONLY=overlap`

{table(["video", *names], rows)}

In the 10 s video the views overlap: the first needs 13 of the 49 frames, and nothing can be inferred before they are there. In the 60 s video each view has its
own frames.
"""


def length() -> str:
    data = result("length")
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


def views() -> str:
    data = result("views")
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


def main() -> None:
    parts = {"readers": readers, "overlap": overlap, "length": length, "views": views}
    machine = result("machine")
    text = f"""# Benchmarks

Written by `bench/report.py` from `bench/results/`. {machine["cpus"]} CPUs ({machine["cpu"]}), {machine["memory_gb"]} GB, no GPU; the machine is shared and
noisy, so compare within a table, not between them. The clip is `{machine["source"]}`.

"""
    text += "\n".join(part() for name, part in parts.items() if (HERE / "results" / f"{name}.json").exists())
    OUT.write_text(text)


if __name__ == "__main__":
    main()
