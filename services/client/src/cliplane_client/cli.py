"""The command `cliplane`: classify videos, find segments, now or as jobs; list models, ask after the server's health.

Exit codes: 0 all went well; 1 some video has no answer; 2 the command was wrong; 3 the server cannot be reached, is
not ready, or is no Cliplane server; 130 interrupted.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from cliplane_client import batch, jobs_command, segments_command
from cliplane_client.address import BASE_VARIABLE, DEFAULT_BASE, KEY_VARIABLE
from cliplane_client.batch_plan import WrongBatch
from cliplane_client.bodies import ServerPath
from cliplane_client.client import Client
from cliplane_client.display import Answers, Outcome, complain, console, progress_bars, show_models
from cliplane_client.errors import (
    CannotConnect,
    ClientError,
    InvalidAddress,
    InvalidCertificates,
    InvalidHeader,
    InvalidResponse,
    NotReady,
)
from cliplane_client.results import result
from cliplane_client.shrinking import Shrinking, choose
from cliplane_client.text import clean

OK, SOME_FAILED, WRONG, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 130  # 2 is argparse's own

STDIN = "-"

_NO_SERVER = (CannotConnect, NotReady, InvalidResponse)


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    notes = console(is_for_notes=True)

    def client_of(base: str | None) -> Client:
        return Client(
            base, key=args.key, headers=dict(args.header), ca=args.ca, timeout_s=args.timeout, retries=args.retries
        )

    try:
        client = client_of(args.base)
    except (InvalidAddress, InvalidCertificates, InvalidHeader) as error:
        complain(notes, str(error))
        return WRONG
    try:
        with client:
            if args.command is batch.run:
                return int(batch.run(args, notes, client_of))
            return int(args.command(client, args, notes))
    except (WrongBatch, InvalidAddress) as error:
        complain(notes, str(error))
        return WRONG
    except _NO_SERVER as error:
        complain(notes, f"{client.base}: {error}")
        return NO_SERVER
    except ClientError as error:
        complain(notes, str(error))
        return SOME_FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough; nothing may be flushed to it at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cliplane",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
        parents=[_connection()],
    )
    parser.set_defaults(base=None, key=None, header=[], ca=None, timeout=120.0, retries=5)
    commands = parser.add_subparsers(
        required=True, metavar="classify | segments | submit | job | jobs | wait | cancel | batch | models | health"
    )

    classify = commands.add_parser("classify", help="videos in, labels out", parents=[_connection()])
    classify.add_argument("videos", nargs="+", help="files, quoted patterns, or - for standard input")
    classify.add_argument("--path", action="store_true", help="the videos are paths of the server's MEDIA_ROOT")
    classify.add_argument("--model", type=_model, help="default: the server's")
    classify.add_argument("--views", type=_views, help="how many views, or auto (default: the model's)")
    classify.add_argument(
        "--top", type=int, help="how many labels at most (default: 5, or all above their least score)"
    )
    classify.add_argument("--min-score", type=_score, help="from which score on a label is answered, from 0 to 1")
    classify.add_argument("--shrink", choices=("off", "auto", "on"), default="off", help="make videos small first")
    classify.add_argument("--jobs", type=int, default=2, help="videos at once (default: 2)")
    form = classify.add_mutually_exclusive_group()
    form.add_argument("--json", **_form("json"), help="the server's answers, one a line")
    form.add_argument("--csv", **_form("csv"), help="file, rank, label, score, warnings")
    classify.set_defaults(command=_classify, form="table")

    segments = commands.add_parser("segments", help="from when to when labels hold", parents=[_connection()])
    segments_command.arguments(segments)
    segments.set_defaults(command=segments_command.run)

    batch.add_to(commands, [_connection()], _views)
    jobs_command.add_to(commands, [_connection()], _views, _expand)

    models = commands.add_parser("models", help="what the server offers", parents=[_connection()])
    models.add_argument("--json", **_form("json"))
    models.set_defaults(command=_models, form="table")

    health = commands.add_parser("health", help="whether the server can answer", parents=[_connection()])
    health.set_defaults(command=_health)
    return parser


def _connection() -> argparse.ArgumentParser:
    """What all commands have, before their name or after it; a default here would undo what stands before it."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--base", metavar="URL", help=f"the server (default: ${BASE_VARIABLE}, else {DEFAULT_BASE})")
    options.add_argument("--key", help=f"sent as a bearer token (default: ${KEY_VARIABLE}, which `ps` does not show)")
    options.add_argument(
        "--header",
        type=_header,
        action="append",
        metavar="'NAME: VALUE'",
        help="sent with each request; more than once",
    )
    options.add_argument(
        "--ca", metavar="FILE", help="certificates to trust, in PEM (default: $SSL_CERT_FILE, or the usual)"
    )
    options.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for an answer (default: 120)")
    options.add_argument("--retries", type=int, metavar="N", help="attempts more after a 503 (default: 5)")
    return options


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("NAME: VALUE")
    return name.strip(), value.strip()


def _form(name: str) -> dict[str, Any]:
    return {"dest": "form", "action": "store_const", "const": name}


def _views(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1, or auto")
    return int(text)


def _model(text: str) -> str:
    if "," in text:
        raise argparse.ArgumentTypeError("one model; several answer by Client.compare, or over HTTP")
    return text


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise argparse.ArgumentTypeError("a number from 0 to 1")
    return score


def _expand(patterns: list[str]) -> list[str]:
    """Files of the patterns, in order; what is no pattern stays as it is."""
    names: list[str] = []
    for pattern in patterns:
        # Path.glob() knows no absolute patterns.
        names += (glob.has_magic(pattern) and sorted(glob.glob(pattern, recursive=True))) or [pattern]  # noqa: PTH207
    return names


def _classify(client: Client, args: argparse.Namespace, notes: Console) -> int:
    if args.path and args.shrink != "off":
        complain(notes, "--path sends no video that --shrink could make small")
        return WRONG
    names = args.videos if args.path else _expand(args.videos)
    short_side = _short_side(client, args.model) if args.shrink != "off" else 0
    uplink = client.uplink() if args.shrink == "auto" else 0.0
    answers = Answers(args.form, notes)
    errors: list[ClientError | OSError] = []
    with (
        progress_bars(notes) as progress,
        tempfile.TemporaryDirectory() as folder,  # goes after the pool, whose threads write in it
        ThreadPoolExecutor(max(1, args.jobs)) as pool,
    ):
        whole = progress.add_task("videos", total=len(names), visible=len(names) > 1)

        def one(name: str) -> Outcome:
            outcome = _classify_one(client, args, name, short_side, uplink, Path(folder), progress)
            progress.advance(whole)
            return outcome

        try:
            for outcome in pool.map(one, names):
                answers.add(outcome)
                if outcome.error is not None:
                    errors.append(outcome.error)
        except BaseException:  # Ctrl-C, a closed pipe: what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    answers.end()
    if errors and all(isinstance(error, _NO_SERVER) for error in errors):
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
    shown_name = clean(name)
    task = progress.add_task(shown_name, total=None)

    def show(what: str, done: float, total: float) -> None:
        progress.update(task, description=f"{shown_name}: {what}", completed=done, total=total)

    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        path = _spooled(own) if name == STDIN and not args.path else Path(name)
        if args.shrink != "off":
            shrinking = choose(
                path, short_side, args.shrink, own, lambda: uplink, lambda part: show("shrinking", part, 1)
            )
            path = shrinking.path
        size = 0 if args.path else path.stat().st_size
        last: dict[str, Any] = {}
        for event in client.stream(
            ServerPath(name) if args.path else path,
            model=args.model,
            views=args.views,
            top=args.top,
            min_score=args.min_score,
            sent=lambda done: show("sending", done, size),
        ):
            if event.name == "view":
                progress.update(task, description=f"{shown_name}: classifying", total=None)
            last = event.data
        return Outcome(name, result(last), None, shrinking)
    except (ClientError, OSError) as error:
        return Outcome(name, None, error, shrinking)
    finally:
        shutil.rmtree(own)
        progress.remove_task(task)


def _spooled(folder: Path) -> Path:
    """Standard input as a file: it can be shrunk, and sent again."""
    path = folder / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _short_side(client: Client, name: str | None) -> int:
    for model in client.models():
        if model.name == name or (name is None and model.is_default):
            return model.short_side
    raise ClientError(f"the server has no model {name!r}")


def _models(client: Client, args: argparse.Namespace, _notes: Console) -> int:
    show_models(client.models(), args.form)
    return OK


def _health(client: Client, _args: argparse.Namespace, _notes: Console) -> int:
    ready = client.health()
    print(clean(f"{client.base}: {ready.status}, model {ready.model}, hand-off {ready.handoff}"))
    return OK


if __name__ == "__main__":
    sys.exit(main())
