"""docs/shrinking.md and its plot from bench/results/study.json: no figure in them is typed by hand.

python -m bench.study_report
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from cliplane_client.shrinking import CRF, MARGIN, PRESET

from bench.prose import fold
from bench.tables import table

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"

UPLINKS = (5, 20, 100, 1000)  # Mbit/s
GOAL_UPLINK, GOAL_PART, GOAL_TOP1 = 20, 0.35, 0.98
USUAL = f"{MARGIN} / {CRF}"  # what the client does

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 60, 46, 16, 16
SLOWEST, FASTEST = 1, 1000  # Mbit/s, the plot's ends


def sending(results: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What was measured over each line, by its Mbit/s."""
    return {mbit_s: results[f"send_{mbit_s}"] for mbit_s in UPLINKS}


def break_even(results: dict[str, Any], variant: str) -> float:
    """The uplink, in Mbit/s, over which sending the file as it is takes as long as shrinking and sending."""
    phone, row = results["clips"]["phone"], results["encode"][variant]
    return float(8 * (phone["megabytes"] - row["megabytes"]) / row["encode_s"])


def best(results: dict[str, Any]) -> str:
    """Of the variants that agree often enough and come within 5 % of the least time at the goal's uplink (two encodings
    of the same video differ by more), that which changes the scores least."""
    encode, agreement = results["encode"], results["agreement"]
    agreeing = [name for name in encode if agreement[name]["top1"] >= GOAL_TOP1] or list(encode)
    total_s = {n: encode[n]["encode_s"] + encode[n]["megabytes"] * 8 / GOAL_UPLINK for n in agreeing}
    fast = [name for name in agreeing if total_s[name] <= 1.05 * min(total_s.values())]
    return min(fast, key=lambda name: agreement[name]["drift_p95"])


def plot(results: dict[str, Any]) -> str:
    """Total time of both ways over the uplink, both axes logarithmic; lines computed, dots measured."""
    phone, usual = results["clips"]["phone"], results["encode"][USUAL]
    ways = {
        "as it is": ("#b3531e", lambda u: phone["megabytes"] * 8 / u, "raw_s"),
        "shrunk": ("#0b62c4", lambda u: usual["encode_s"] + usual["megabytes"] * 8 / u, "end_to_end_s"),
    }
    most = 10 ** math.ceil(math.log10(phone["megabytes"] * 8 / SLOWEST))

    def x(uplink: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(uplink / SLOWEST) / math.log(FASTEST / SLOWEST)

    def y(seconds: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - math.log10(max(seconds, 1)) / math.log10(most))

    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for power in range(round(math.log10(most)) + 1):
        at = y(10**power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10**power} s</text>')
    for uplink in (1, 5, 20, 100, 1000):
        at = x(uplink)
        parts.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{uplink}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">uplink, Mbit/s</text>')
    steps = [SLOWEST * (FASTEST / SLOWEST) ** (k / 100) for k in range(101)]
    for row, (name, (colour, seconds, key)) in enumerate(ways.items()):
        points = " ".join(f"{x(u):.1f},{y(seconds(u)):.1f}" for u in steps)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(u):.1f}" cy="{y(found[key]):.1f}" r="4" fill="{colour}"/>'
            for u, found in sending(results).items()
        ]
        parts.append(
            f'<text x="{WIDTH - RIGHT - 8}" y="{TOP + 20 + 18 * row}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    even = break_even(results, USUAL)
    parts.append(f'<path d="M{x(even):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#1c2733" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{x(even) - 6:.1f}" y="{TOP + 14}" text-anchor="end">{even:.0f} Mbit/s</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Total time over the uplink">{"".join(parts)}</svg>\n'
    )


def page(results: dict[str, Any]) -> str:
    made, phone, machine = results["clips"], results["clips"]["phone"], results["machine"]
    agreement, encode, send = results["agreement"], results["encode"], sending(results)
    rows: list[list[object]] = []
    for name, row in encode.items():
        found = agreement[name]
        rows.append(
            [
                name,
                row["short_side"],
                f"{row['megabytes']:.2f}",
                f"{row['encode_s']:.1f} to {max(row['all_s']):.1f}",
                f"{row['frames_a_second']:.0f}",
                f"{break_even(results, name):.0f}",
                f"{found['top1']:.3f}",
                f"{found['drift_p50']:.3f}",
                f"{found['drift_p95']:.3f}",
            ]
        )
    times: list[list[object]] = []
    for uplink, row in send.items():
        chosen = "shrunk" if row["auto"]["was_shrunk"] else "as it is"
        times.append(
            [
                uplink,
                f"{row['raw_s']:.1f}",
                *(f"{encode[name]['encode_s'] + row[name]:.1f}" for name in encode),
                f"{row['end_to_end_s']:.1f}",
                f"{row['end_to_end_s'] / row['raw_s']:.2f}",
                f"{row['auto']['s']:.1f}, {chosen}",
            ]
        )
    take, goal = best(results), send[GOAL_UPLINK]
    load = results["load"].values()
    small_s = encode[USUAL]["megabytes"] * 8 / GOAL_UPLINK
    margin, crf = take.split(" / ")
    part, top1 = goal["end_to_end_s"] / goal["raw_s"], agreement[USUAL]["top1"]
    lost = "".join(f"\n- {name}: {'; '.join(row['differing'])}" for name, row in agreement.items() if row["differing"])
    return fold(f"""# Shrinking before the upload

Written by `make study` (`bench/study.py`, `bench/study_report.py`) from `bench/results/study.json`. {machine["cpus"]} CPUs ({machine["cpu"]}), which
client and server share, and others too: the load average was {min(load):.1f} to {max(load):.1f} when the parts began. Model: `{results["model"]}`, which looks at a short side of
{results["short_side"]} pixels.

**Shrink a video whenever the uplink is slower than about {break_even(results, take):.0f} Mbit/s, to {margin} times the model's short side at CRF {crf}.**

![Total time over the uplink; lines computed from sizes and encoding time, dots measured](shrinking.svg)

The video of the plot and of the times is as a phone writes it: {phone["seconds"]} s of {phone["width"]} x {phone["height"]}, {phone["codec"]}, {phone["mbit_s"]:.1f} Mbit/s,
{phone["megabytes"]:.0f} MB. It is the client's own shrinking (`cliplane_client.shrinking`): H.264, preset {PRESET}, every frame kept, read without the loop filter. The line is slowed by the kernel: `tc`, a token
bucket on the interface of the client's container; no delay is added.

## Sizes and qualities

`size / CRF`: the short side that is sent, as a multiple of the model's, and x264's constant rate factor. `{USUAL}` is what the client does. *MB*, *seconds* (to shrink it: the fastest
and the slowest of {len(next(iter(encode.values()))["all_s"])} turns; as others use the CPUs, the fastest counts) and *break-even* (the uplink over which both ways take as long) are those of the phone's video. *Top-1* and *drift* (the largest difference of a
score) are against the file as it is, over {next(iter(agreement.values()))["clips"]} clips: {made["made"]} drawn ones of 1080p with noise, each of the nine moves at speeds from slower than the model can see
to fast, and those of {", ".join(made["real"])} that are large enough.

{table(["size / CRF", "short side", "MB", "seconds", "frames/s", "break-even, Mbit/s", "top-1", "drift p50", "drift p95"], rows)}

Where the top label differs:
{lost or " nowhere."}

## Times

Seconds until the answer is there. The columns `size / CRF` are these seconds and the measured sending of that file; *end to end* is the client's default, shrunk and sent in one
measurement, and *ratio* that against the file as it is; *auto* is what `--shrink auto` took, with its own measuring, and what it chose.

{table(["Mbit/s", "as it is", *encode, "end to end", "ratio", "auto"], times)}

Sent while still being encoded, the video would arrive at most {small_s:.1f} s sooner over {GOAL_UPLINK} Mbit/s, of {goal["end_to_end_s"]:.1f} s: so long its bytes take.

The goal, over {GOAL_UPLINK} Mbit/s: at most {GOAL_PART} of the time and a top-1 agreement of at least {GOAL_TOP1}. Measured: {part:.2f} and {top1:.3f}.
**{"Met" if part <= GOAL_PART and top1 >= GOAL_TOP1 else "Missed"}.**
""")


def main() -> None:
    results = json.loads((HERE / "results" / "study.json").read_text())
    if not all(part in results for part in ("clips", "agreement", "encode", *(f"send_{mbit_s}" for mbit_s in UPLINKS))):
        print("not all parts have been measured: docs/shrinking.md is left as it is")
        return
    (DOCS / "shrinking.svg").write_text(plot(results))
    (DOCS / "shrinking.md").write_text(page(results))


if __name__ == "__main__":
    main()
