"""`cliplane segments`: labels over time of one video, in one of several forms."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cliplane_client.bodies import ServerPath
from cliplane_client.client import Client
from cliplane_client.display import complain, console, note, progress_bars
from cliplane_client.exports import FORMATS
from cliplane_client.segments import Segments, Windows, segments_of
from cliplane_client.text import clean

OK, FAILED = 0, 1


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", help="a file")
    parser.add_argument("--path", action="store_true", help="the file is the server's, beneath its MEDIA_ROOT")
    parser.add_argument("--model", help="default: the server's")
    parser.add_argument("--stride", type=float, metavar="S", help="seconds from one window to the next (default: 1)")
    parser.add_argument("--threshold", type=float, metavar="P", help="score from which a label holds (default: 0.5)")
    parser.add_argument("--min", type=float, metavar="S", help="seconds of the shortest segment (default: 0)")
    parser.add_argument("--window", type=float, metavar="S", help="seconds of a window, for models that need it")
    parser.add_argument("--format", choices=("table", *FORMATS), default="table", help="(default: table)")


def run(client: Client, args: argparse.Namespace, notes: Console) -> int:
    """Exit code; errors of the client go up."""
    windows: Windows = {
        "model": args.model,
        "stride_s": args.stride,
        "threshold": args.threshold,
        "min_s": args.min,
        "window_s": args.window,
    }
    try:
        answer = _asked(client, ServerPath(args.video) if args.path else Path(args.video), windows, notes)
    except OSError as error:
        complain(notes, f"{clean(args.video)}: {error}")
        return FAILED
    for warning in answer.warnings:
        note(notes, f"{clean(args.video)}: {warning.type.replace('-', ' ')}: {warning.detail}", "yellow")
    if args.format == "table":
        _show(answer)
    else:
        sys.stdout.write(FORMATS[args.format](answer, args.video))
        sys.stdout.flush()
    return OK


def _asked(client: Client, source: Path | ServerPath, windows: Windows, notes: Console) -> Segments:
    size = source.stat().st_size if isinstance(source, Path) else None
    name = source.name if isinstance(source, Path) else source.path
    with progress_bars(notes) as progress:
        task = progress.add_task(clean(name), total=size)
        last: dict[str, Any] = {}
        duration_s = 0.0
        for event in client.stream_segments(source, sent=lambda done: progress.update(task, completed=done), **windows):
            if event.name == "video":
                duration_s = event.data["duration_s"]
            elif event.name == "window":
                progress.update(task, total=duration_s, completed=event.data["end_s"])
            last = event.data
    return segments_of(last)


def _show(answer: Segments) -> None:
    table = Table("from", "to", "label", "score")
    for one in answer.segments:
        table.add_row(_minutes(one.start_s), _minutes(one.end_s), clean(one.label), f"{one.score:.3f}")
    console().print(table)


def _minutes(second: float) -> str:
    minutes, rest = divmod(round(second, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
