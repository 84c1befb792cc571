"""The command `cliplane`: classify videos, list models, ask after the server's health.

Exit codes: 0 all went well; 1 some video has no answer; 2 the command was wrong; 3 the server cannot be reached or
is not ready.
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cliplane_client.client import BASE_VARIABLE, DEFAULT_BASE, Client
from cliplane_client.errors import CannotConnect, ClientError, NotReady
from cliplane_client.results import Result, result
from cliplane_client.shrinking import Shrinking, choose

OK, SOME_FAILED, WRONG_USE, NO_SERVER = 0, 1, 2, 3

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One video's answer, or why there is none."""

    name: str
    result: Result | None
    error: ClientError | OSError | None
    shrinking: Shrinking | None


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    notes = Console(stderr=True)
    client = Client(args.base, timeout_s=args.timeout, retries=args.retries)
    try:
        with client:
            return int(args.command(client, args, notes))
    except (CannotConnect, NotReady) as error:
        notes.print(f"[red]{client.base}: {error}[/red]", highlight=False)
        return NO_SERVER
    except ClientError as error:
        notes.print(f"[red]{error}[/red]", highlight=False)
        return SOME_FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cliplane", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", help=f"the server (default: ${BASE_VARIABLE}, else {DEFAULT_BASE})")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one request (default: 120)")
    parser.add_argument("--retries", type=int, default=5, help="attempts more after a 503 (default: 5)")
    commands = parser.add_subparsers(required=True, metavar="classify | models | health")

    classify = commands.add_parser("classify", help="videos in, labels out")
    classify.add_argument("videos", nargs="+", help="files, quoted patterns, or - for standard input")
    classify.add_argument("--model", help="default: the server's")
    classify.add_argument("--views", type=_views, help="how many views, or auto (default: the model's)")
    classify.add_argument("--top", type=int, default=5, help="how many labels (default: 5)")
    classify.add_argument("--shrink", choices=("off", "auto", "on"), default="off", help="make videos small first")
    classify.add_argument("--jobs", type=int, default=2, help="videos at once (default: 2)")
    form = classify.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the server's answers, one a line")
    form.add_argument("--csv", action="store_true", help="video, rank, label, score")
    classify.set_defaults(command=_classify)

    models = commands.add_parser("models", help="what the server offers")
    models.add_argument("--json", action="store_true")
    models.set_defaults(command=_models)

    health = commands.add_parser("health", help="whether the server can answer")
    health.set_defaults(command=_health)
    return parser


def _views(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1, or auto")
    return int(text)


def _expand(patterns: list[str]) -> list[str]:
    """Files of the patterns, in order; what is no pattern stays as it is."""
    names: list[str] = []
    for pattern in patterns:
        # Path.glob() knows no absolute patterns.
        names += (glob.has_magic(pattern) and sorted(glob.glob(pattern, recursive=True))) or [pattern]  # noqa: PTH207
    return names


def _classify(client: Client, args: argparse.Namespace, notes: Console) -> int:
    names = _expand(args.videos)
    short_side = _short_side(client, args.model) if args.shrink != "off" else 0
    uplink = client.uplink() if args.shrink == "auto" else 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress,
        ThreadPoolExecutor(max(1, args.jobs)) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        whole = progress.add_task("videos", total=len(names)) if len(names) > 1 else None

        def one(name: str) -> Outcome:
            outcome = _classify_one(client, args, name, short_side, uplink, Path(folder), progress)
            if whole is not None:
                progress.advance(whole)
            return outcome

        outcomes = list(pool.map(one, names))
    for outcome in outcomes:
        if outcome.shrinking is not None:
            notes.print(_shrunk(outcome.name, outcome.shrinking), highlight=False)
        if outcome.error is not None:
            notes.print(f"[red]{outcome.name}: {outcome.error}[/red]", highlight=False)
    _write(args, [(outcome.name, outcome.result) for outcome in outcomes if outcome.result is not None])
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors and all(isinstance(error, (CannotConnect, NotReady)) for error in errors):
        return NO_SERVER
    return SOME_FAILED if errors else OK


def _classify_one(
    client: Client,
    args: argparse.Namespace,
    name: str,
    short_side: int,
    uplink: float,
    folder: Path,
    progress: Progress,
) -> Outcome:
    shrinking: Shrinking | None = None
    task: TaskID = progress.add_task(name, total=None)
    try:
        source: Path | bytes = sys.stdin.buffer.read() if name == STDIN else Path(name)
        if isinstance(source, Path) and args.shrink != "off":
            own = Path(tempfile.mkdtemp(dir=folder))
            shrinking = choose(source, short_side, args.shrink, own, lambda: uplink)
            source = shrinking.path
        last: dict[str, Any] = {}
        for event in client.stream(source, model=args.model, views=args.views, top=args.top):
            if event.name == "view":
                progress.advance(task)
            last = event.data
        return Outcome(name, result(last), None, shrinking)
    except (ClientError, OSError) as error:
        return Outcome(name, None, error, shrinking)
    finally:
        progress.remove_task(task)


def _short_side(client: Client, name: str | None) -> int:
    for model in client.models():
        if model.name == name or (name is None and model.is_default):
            return model.short_side
    raise ClientError(f"the server has no model {name!r}")


def _shrunk(name: str, done: Shrinking) -> str:
    if not done.was_shrunk:
        return f"{name}: sent as it is, {done.reason}"
    return (
        f"{name}: {done.raw_bytes / 1e6:.1f} MB sent as {done.sent_bytes / 1e6:.1f} MB, {done.reason}, "
        f"in {done.encode_s:.1f} s"
    )


def _write(args: argparse.Namespace, answers: list[tuple[str, Result]]) -> None:
    if args.json:
        for name, answer in answers:
            print(json.dumps({"file": name, **answer.json}))
    elif args.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["file", "rank", "label", "score"])
        for name, answer in answers:
            writer.writerows([name, rank, p.label, p.score] for rank, p in enumerate(answer.predictions, 1))
    elif answers:
        table = Table("file", "label", "score", "views", "ms")
        for name, answer in answers:
            about = (name, str(len(answer.views)), f"{answer.timing_ms['total']:.0f}")
            for prediction in answer.predictions:
                table.add_row(about[0], prediction.label, f"{prediction.score:.3f}", *about[1:])
                about = ("", "", "")  # a file's own columns stand in its first row only
        Console().print(table)


def _models(client: Client, args: argparse.Namespace, _notes: Console) -> int:
    models = client.models()
    if args.json:
        for model in models:
            print(json.dumps({name: getattr(model, name) for name in model.__slots__}))
        return OK
    table = Table("model", "version", "labels", "views", "short side", "")
    for model in models:
        default = "default" if model.is_default else ""
        table.add_row(
            model.name, model.version, str(len(model.labels)), str(model.views), str(model.short_side), default
        )
    Console().print(table)
    return OK


def _health(client: Client, _args: argparse.Namespace, _notes: Console) -> int:
    ready = client.health()
    print(f"{client.base}: {ready['status']}, model {ready['model']}, hand-off {ready['handoff']}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
