"""`cliplane submit`, `jobs`, `job`, `wait` and `cancel`: videos that are sent now and answered later."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cliplane_client.asked import Asked
from cliplane_client.bodies import ServerPath, digest
from cliplane_client.client import Client
from cliplane_client.display import complain, console, progress_bars
from cliplane_client.errors import ClientError, UnknownDigest
from cliplane_client.jobs import Job, Later
from cliplane_client.results import Comparison, Result
from cliplane_client.segments import Segments, Windows
from cliplane_client.text import clean

OK, FAILED = 0, 1

ASK_FIRST_BYTES = 8 * 1024 * 1024
"""Of a file so large the server is asked first whether it knows the answer: to hash it and to ask takes a small part of
the time of sending it. A smaller one is sent as soon as it could be asked for."""


def add_to(
    commands: Any,
    parents: list[argparse.ArgumentParser],
    views: Callable[[str], int | str],
    expand: Callable[[list[str]], list[str]],
) -> None:
    submit = commands.add_parser("submit", help="videos in, to be answered later", parents=parents)
    submit.add_argument("videos", nargs="+", help="files, or quoted patterns")
    submit.add_argument("--path", action="store_true", help="the videos are paths of the server's MEDIA_ROOT")
    submit.add_argument("--model", help="default: the server's")
    submit.add_argument("--views", type=views, help="how many views, or auto (default: the model's)")
    submit.add_argument("--top", type=int, help="how many labels at most")
    submit.add_argument("--segments", action="store_true", help="labels over time, as cliplane segments")
    submit.add_argument("--stride", type=float, metavar="S", help="of --segments: seconds between windows")
    submit.add_argument("--priority", choices=("interactive", "batch"), help="which jobs go first (default: the key's)")
    submit.add_argument("--webhook", metavar="URL", help="is told when a job has ended; the server must allow its host")
    submit.add_argument("--wait", action="store_true", help="until all have ended")
    submit.add_argument("--jobs", type=int, default=2, help="videos sent at once (default: 2)")
    submit.set_defaults(command=_submit, expand=expand)

    wait = commands.add_parser("wait", help="until jobs have ended", parents=parents)
    wait.add_argument("ids", nargs="+", metavar="ID")
    wait.set_defaults(command=_wait)

    job = commands.add_parser("job", help="how jobs are, and what they answered", parents=parents)
    job.add_argument("ids", nargs="+", metavar="ID")
    job.set_defaults(command=_job)

    cancel = commands.add_parser("cancel", help="end jobs and forget their answers", parents=parents)
    cancel.add_argument("ids", nargs="+", metavar="ID")
    cancel.set_defaults(command=_cancel)

    jobs = commands.add_parser("jobs", help="this key's newest hundred jobs", parents=parents)
    jobs.set_defaults(command=_list)

    for parser in (submit, wait, job, jobs):
        parser.add_argument("--json", dest="form", action="store_const", const="json", default="table")


def _submit(client: Client, args: argparse.Namespace, notes: Console) -> int:
    names = args.videos if args.path else args.expand(args.videos)
    shown = _Shown(args.form, notes)
    with progress_bars(notes) as progress, ThreadPoolExecutor(max(1, args.jobs)) as pool:
        task = progress.add_task("videos", total=len(names))

        def one(name: str) -> None:
            try:
                shown.add(_submit_one(client, args, name, shown), name)
            except (ClientError, OSError) as error:
                shown.fail(name, error)
            progress.advance(task)

        try:
            list(pool.map(one, names))
        except BaseException:  # Ctrl-C: what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return shown.end()


def _submit_one(client: Client, args: argparse.Namespace, name: str, shown: _Shown) -> Job | Result | Segments:
    """The job; what it answered where that is known already."""
    later: Later = {"priority": args.priority, "webhook": args.webhook}
    asked: Asked = {"model": args.model, "views": args.views, "top": args.top}
    windows: Windows = {"model": args.model, "stride_s": args.stride}
    source = ServerPath(name) if args.path else Path(name)
    if isinstance(source, Path) and source.stat().st_size >= ASK_FIRST_BYTES:
        try:
            known = digest(source)
            return client.segments(known, **windows) if args.segments else client.classify(known, **asked)
        except UnknownDigest:
            pass
    if args.segments:
        job = client.jobs.submit_segments(source, later, **windows)
    else:
        job = client.jobs.submit(source, later, **asked)
    return client.jobs.wait(job.id) if args.wait else job


def _job(client: Client, args: argparse.Namespace, notes: Console) -> int:
    return _each(client.jobs.get, args, notes)


def _wait(client: Client, args: argparse.Namespace, notes: Console) -> int:
    return _each(client.jobs.wait, args, notes)


def _each(found: Callable[[str], Job], args: argparse.Namespace, notes: Console) -> int:
    shown = _Shown(args.form, notes)
    for id_ in args.ids:
        shown.add(found(id_))
    return shown.end()


def _list(client: Client, args: argparse.Namespace, notes: Console) -> int:
    shown = _Shown(args.form, notes)
    for job in client.jobs.list():
        shown.add(job)
    shown.end()
    return OK  # that one failed is no fault of this command's


def _cancel(client: Client, args: argparse.Namespace, _notes: Console) -> int:
    for id_ in args.ids:
        client.jobs.cancel(id_)
    return OK


class _Shown:
    """Jobs as rows of a table at the end, or as JSON at once; safe to use from several threads."""

    def __init__(self, form: str, notes: Console) -> None:
        self._form, self._notes, self._lock = form, notes, threading.Lock()
        self._table = Table("job", "file", "state", "views", "answer")
        self._has_failed = False

    def add(self, job: Job | Result | Segments, name: str = "") -> None:
        with self._lock:
            if isinstance(job, Job):
                self._has_failed |= job.state == "failed"
                row = [job.id, name, job.state, _progress(job), _words(job)]
                document = job.json
            else:
                row = ["-", name, "known", "", _answer_words(job)]
                document = {"state": "known", "result": job.json}
            if self._form == "json":
                print(json.dumps(({"file": name} if name else {}) | document), flush=True)
            else:
                self._table.add_row(*map(clean, row))

    def fail(self, name: str, error: ClientError | OSError) -> None:
        with self._lock:
            self._has_failed = True
            complain(self._notes, f"{clean(name)}: {error}")

    def end(self) -> int:
        if self._table.row_count:
            console().print(self._table)
        return FAILED if self._has_failed else OK


def _progress(job: Job) -> str:
    return f"{job.progress.views}" + (f" of {job.progress.planned}" if job.progress.planned else "")


def _words(job: Job) -> str:
    """Its best label, its first segments, or why it failed."""
    if job.state == "failed":
        return str(job.problem())
    return _answer_words(job.answer()) if isinstance(job.json.get("result"), dict) else ""


def _answer_words(answer: Result | Comparison | Segments) -> str:
    if isinstance(answer, Segments):
        return f"{len(answer.segments)} segments"
    answers = answer.answers if isinstance(answer, Comparison) else (answer,)
    best = (
        f"{one.predictions[0].label} {one.predictions[0].score:.3f}" if one.predictions else "(none)" for one in answers
    )
    return ", ".join(best)
