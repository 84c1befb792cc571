"""The plots of docs/benchmarks.md, as SVG. Only draws: every number is its caller's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

# The same bytes for the same numbers.
rcParams["svg.hashsalt"] = "cliplane"
rcParams["svg.fonttype"] = "none"


class Pictures:
    """A folder of pictures beside the page that shows them; each method draws one and returns its Markdown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stacked_bars(self, name: str, bars: Mapping[str, Mapping[str, float]], unit: str) -> str:
        """One horizontal bar for each of `bars`, made of its parts."""
        figure = Figure(figsize=(8, 0.5 * len(bars) + 1.6))
        axes = figure.subplots()
        labels = list(bars)
        left = [0.0] * len(labels)
        for part in next(iter(bars.values())):
            widths = [bars[label][part] for label in labels]
            axes.barh(labels, widths, left=left, label=part)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=4, frameon=False)
        return self._save(name, figure)

    def lines(self, name: str, curve: Mapping[float, float], x: str, y: str) -> str:
        """x → y, x on a logarithmic axis."""
        figure = Figure(figsize=(4.5, 2.6))
        axes = figure.subplots()
        axes.plot(list(curve), list(curve.values()), marker="o", markersize=3)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(curve), [f"{point:g}" for point in curve])
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(alpha=0.3)
        return self._save(name, figure)

    def many_lines(self, name: str, curves: Mapping[str, Mapping[int, float]], x: str, y: str) -> str:
        """x → y of each curve, both axes logarithmic."""
        figure = Figure(figsize=(7, 4))
        axes = figure.subplots()
        for label, curve in curves.items():
            axes.plot(list(curve), list(curve.values()), marker="o", markersize=3, label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        axes.grid(alpha=0.3)
        return self._save(name, figure)

    def _save(self, name: str, figure: Figure) -> str:
        self._folder.mkdir(exist_ok=True)
        figure.savefig(self._folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
        return f"![{name}]({self._folder.name}/{name}.svg)"
