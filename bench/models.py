"""The tables of docs/models.md, docs/engines.md and README.md from bench/results/: no figure in them is typed by hand.

PYTHONPATH=services/triton/export python3 -m bench.models
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporter.engines.report import TITLES

from bench import door
from bench.prose import fold
from bench.tables import table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
REPOSITORY = HERE.parent


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def networks() -> str:
    """What the publishers say."""
    rows: list[list[object]] = []
    for name, about in result("models").items():
        cut = about["sampling"]
        source = f"[pytorchvideo]({about['source']})" if about["source"].startswith("http") else "torchvision"
        rows.append(
            [
                name,
                f"{cut['clip_length']} × {cut['temporal_stride']}",
                f"{cut['short_side']}, {cut['crop']}",
                f"{cut['clips']} × {cut['crops']}",
                f"{about['parameters'] / 1e6:.1f}",
                about["gflops"],
                f"{about['top1']:.2f}",
                f"{about['protocol']}; {source}",
            ]
        )
    head = [
        "NAME",
        "clip × stride",
        "side, crop",
        "clips × crops here",
        "parameters, M",
        "GFLOPs a view",
        "published top-1",
    ]
    return table([*head, "that figure's protocol and source"], rows)


def milliseconds() -> str:
    """The shoot-outs side by side, then each whole."""
    found = [json.loads(file.read_text()) for file in sorted((RESULTS / "engines").glob("*.json"))]
    by_model = {one["model"]: {row["engine"]: row for row in one["engines"]} for one in found}
    chosen = {one["model"]: one["choice"]["engine"] for one in found}
    rows: list[list[object]] = []
    for engine, title in TITLES.items():
        cells = []
        for model, engines in by_model.items():
            row = engines[engine]
            text = "–" if row["reason"] else f"{row['latency_ms']:.1f} / {row['batch_ms_per_view']:.1f}"
            cells.append(f"**{text}**" if engine == chosen[model] else text)
        if set(cells) != {"–"}:
            rows.append([title, *cells])
    machine = found[0]["machine"]
    text = (
        f"{machine['cpus']} CPUs ({machine['cpu']}). Milliseconds a view: alone / in a batch of {found[0]['batch']}; "
        "the chosen one in bold.\n\n"
    )
    return text + table(["engine", *by_model], rows) + "".join(map(_whole, found))


def _whole(one: dict[str, Any]) -> str:
    head = ["engine", "views/s", "load s", "memory MiB", "top-1 as PyTorch", "max abs. Δp"]
    rows: list[list[object]] = []
    for row in one["engines"]:
        if not row["reason"]:
            figures = [
                row["views_per_s"],
                row["load_s"],
                row["memory_mib"],
                row["agreement"],
                f"{row['max_difference']:.1e}",
            ]
            rows.append([TITLES[row["engine"]], *figures])
    clips = one["clips"]
    notes = "".join(f"\n- {TITLES[row['engine']]}: {row['reason']}" for row in one["engines"] if row["reason"])
    notes += "".join(f"\n- {TITLES[row['engine']]}: {row['note']}" for row in one["engines"] if row.get("note"))
    text = (
        f"\n\n**{one['model']}**, {clips['measured']} clips, {clips['real']} of them real, on which PyTorch gives "
        f"{clips['tops']} different top classes. "
    )
    return f"{text}Chosen: {one['choice']['sentence']}.\n\n{table(head, rows)}\n{notes}"


def variants() -> str:
    """How OpenVINO is best asked."""
    found = result("variants")
    names = list(dict.fromkeys(name for one in found for name in one["ways"]))
    rows: list[list[object]] = []
    for one in found:
        ways = one["ways"]
        cells = [f"{ways[n]['ms_per_view']:.1f} ({ways[n]['ratio']:.2f})" if n in ways else "–" for n in names]
        rows.append([f"{one['model']}, {one['precision']}, {one['batch']} ({one['rounds']})", *cells])
    return table(["model, precision, views (rounds)", *names], rows)


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "docs/models.md": {"networks": networks},
    "docs/engines.md": {"engines": milliseconds, "variants": variants},
    "README.md": {"peers": lambda: door.peers(result("peers"))},
}


def page(file: str) -> str:
    """A page with every part of it written anew."""
    text = (REPOSITORY / file).read_text()
    for name, part in PAGES[file].items():
        pattern = rf"(<!-- {name}: bench/models.py -->\n).*?(\n<!-- end -->)"
        found = re.search(pattern, text, re.DOTALL)
        if found is None:
            raise SystemExit(f"{file}: there is no place for {name}")
        text = f"{text[: found.start()]}{found[1]}\n{fold(part())}{found[2]}{text[found.end() :]}"
    return text


if __name__ == "__main__":
    for name in PAGES:
        (REPOSITORY / name).write_text(page(name))
