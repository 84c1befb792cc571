"""The one table of README.md from bench/results/peers.json."""

from __future__ import annotations

from typing import Any

from bench.tables import table

MODEL = "x3d_s"
AUTO = "Cliplane, views=auto"
# (size, clients, figure, title, whether less is better)
COLUMNS = [
    ("256p", "1", "p50", "256p, 1 client: p50", True),
    ("256p", "4", "p50", "4 clients: p50", True),
    ("256p", "4", "p99", "p99", True),
    ("256p", "4", "per_s", "videos/s", False),
    ("1080p", "1", "p50", "1080p, 1 client: p50", True),
    ("1080p", "4", "p50", "4 clients: p50", True),
    ("1080p", "4", "per_s", "videos/s", False),
]


def peers(found: Any) -> str:
    """Each server in its better way (a worker a core, or one with all threads); the best of each column in bold."""
    cells = found["models"][MODEL]["table"]
    servers = [name for name in cells["256p"]["4"] if name != AUTO]

    def figure(server: str, size: str, clients: str, name: str, less: bool) -> float:
        ways = [
            cells[size][clients][way][name] for way in (server, f"{server}, 1 worker") if way in cells[size][clients]
        ]
        return float(min(ways) if less else max(ways))

    rows: list[list[object]] = [[name] for name in (*servers, AUTO)]
    for size, clients, name, _, less in COLUMNS:
        values = [figure(server, size, clients, name, less) for server in (*servers, AUTO)]
        best = (min if less else max)(values[:-1])
        for row, value in zip(rows, values, strict=True):
            text = f"{value:.0f}" if less else f"{value:.2f}"
            row.append(f"**{text}**" if value == best and row[0] != AUTO else text)
    return table(["", *(title for *_, title, _ in COLUMNS)], rows)
