"""What the command writes: answers to standard output, notes to standard error. All of it is clean (`text.clean`)."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from cliplane_client.errors import ClientError
from cliplane_client.results import FileWarning, Model, Result
from cliplane_client.shrinking import Shrinking
from cliplane_client.text import cell, clean

Form = Literal["table", "json", "csv"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One video's answer, or why there is none."""

    name: str
    result: Result | None
    error: ClientError | OSError | None
    shrinking: Shrinking | None


def console(*, is_for_notes: bool = False) -> Console:
    """Names and labels are text: none of them is markup or an emoji's name, and no number in them has a colour."""
    return Console(stderr=is_for_notes, markup=False, emoji=False, highlight=False)


def progress_bars(notes: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # rich would take it for its own console, which is standard error
    )


def note(notes: Console, text: str, style: str = "") -> None:
    """One line, however long."""
    notes.print(clean(text), style=style, soft_wrap=True)


def complain(notes: Console, text: str) -> None:
    note(notes, text, "red")


class Answers:
    """The answers to several videos: each as soon as it is there, or, as a table, all of them at the end."""

    def __init__(self, form: Form, notes: Console) -> None:
        self._form, self._notes = form, notes
        self._table = Table("file", "label", "score", "views", "ms")
        self._rows = csv.writer(sys.stdout)
        if form == "csv":
            self._rows.writerow(["file", "rank", "label", "score", "warnings"])

    def add(self, outcome: Outcome) -> None:
        name = clean(outcome.name)
        if outcome.shrinking is not None:
            note(self._notes, _shrunk(name, outcome.shrinking))
        if outcome.error is not None:
            complain(self._notes, f"{name}: {outcome.error}")
        if outcome.result is not None:
            for warning in outcome.result.warnings:
                note(self._notes, f"{name}: {_in_words(warning)}", "yellow")
            self._add_result(outcome.name, outcome.result)

    def end(self) -> None:
        if self._table.row_count:
            console().print(self._table)

    def _add_result(self, name: str, result: Result) -> None:
        if self._form == "json":
            print(json.dumps({"file": name, **result.json}), flush=True)  # ASCII, all else is written out
        elif self._form == "csv":
            doubts = cell(" ".join(warning.type for warning in result.warnings))
            for rank, prediction in enumerate(result.predictions, 1):
                self._rows.writerow([cell(name), rank, cell(prediction.label), prediction.score, doubts])
            if not result.predictions:  # each file has a row
                self._rows.writerow([cell(name), 0, "", "", doubts])
            sys.stdout.flush()
        else:
            about = (clean(name), str(len(result.views)), f"{result.timing_ms['total']:.0f}")
            for prediction in result.predictions:
                self._table.add_row(about[0], clean(prediction.label), f"{prediction.score:.3f}", *about[1:])
                about = ("", "", "")  # a file's own columns stand in its first row only
            if not result.predictions:
                self._table.add_row(about[0], "(none)", "", *about[1:])


def show_models(models: list[Model], form: Form) -> None:
    if form == "json":
        for model in models:
            print(json.dumps(asdict(model) | {"short_side": model.short_side, "views": model.views}))
        return
    table = Table(Column("model", no_wrap=True), "version", "labels", "views", "sampling", "short side", "")
    is_measured = any(model.measured for model in models)
    if is_measured:  # else the column would only make the others narrow
        table.add_column("engine")
    for model in models:
        sampling, counts = model.sampling, (len(model.labels), model.views)
        texts = (model.name, model.version, *map(str, counts), sampling.in_words(), str(sampling.short_side))
        engine = (model.measured.in_words() if model.measured else "",) if is_measured else ()
        table.add_row(*map(clean, texts), "default" if model.is_default else "", *map(clean, engine))
    console().print(table)


def _in_words(warning: FileWarning) -> str:
    name = warning.type.replace("-", " ")
    return f"{name}: {warning.detail}" if warning.detail else name


def _shrunk(name: str, done: Shrinking) -> str:
    if not done.was_shrunk:
        return f"{name}: sent as it is, {done.reason}"
    return (
        f"{name}: {done.raw_bytes / 1e6:.1f} MB sent as {done.sent_bytes / 1e6:.1f} MB, {done.reason}, "
        f"in {done.encode_s:.1f} s"
    )
