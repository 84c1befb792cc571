"""The sections of docs/benchmarks.md on one video's way to views: JSON in, Markdown out."""

from __future__ import annotations

import statistics
from typing import Any

from bench.plots import Pictures
from bench.tables import table


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


def segments(data: Any, _: Pictures) -> str:
    long = data["long"]
    rows = [
        [name, one["early_mb"], one["late_mb"], f"{one['growth']:+.1%}"]
        for name, one in data.items()
        if name in ("decoders", "others")
    ]
    return f"""## Segments

720p, camera_motion, a window a second. {data["short_s"]} s of video take Cliplane {data["seconds"]["Cliplane"]} s and the floor {data["seconds"]["floor"]} s, medians: its
throughput is {data["throughput / floor"]:.0%} of the floor's. {data["minutes"]} minutes: {long["windows"]:.0f} windows in {long["seconds"]} s, the first after {long["first_window_s"]} s;
{long["frames_decoded"]:.0f} frames were decoded, of {long["frames"]:.0f}. `make bench ONLY=segments`

{table(["memory of their own", "early MB", "late MB", "growth"], rows)}
"""


def jobs(data: Any, _: Pictures) -> str:
    rows = [[name, data["p50_ms"][name], data["p95_ms"][name]] for name in ("idle", "beside")]
    return f"""## Jobs

{data["requests"]} requests of one client (720p, camera_motion) on a server without a job, and as many beside one; rounds alternate. p95 beside a job over p95
without: {data["p95 beside / idle"]} (median of the rounds; {", ".join(map(str, data["ratios"]))}). {data["windows"]} windows of the job were inferred between the
requests. `make bench ONLY=jobs`

{table(["server", "p50 ms", "p95 ms"], rows)}
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
