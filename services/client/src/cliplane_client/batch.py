"""The command `cliplane batch`: a folder or a manifest of videos in, a file of results out, a row each.

It can be ended at any moment, and begun again by the same command: rows that are there are not made again. Videos of
equal bytes are classified once. Where no server answers, the batch stops; no row is made of that.
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cliplane_client import batch_plan
from cliplane_client.batch_plan import Item
from cliplane_client.bodies import ServerPath
from cliplane_client.client import Client
from cliplane_client.display import complain, note
from cliplane_client.errors import (
    CannotConnect,
    ClientError,
    DecoderOutOfMemory,
    DecoderOutOfThreads,
    InvalidResponse,
    NoAnswer,
    NotReady,
    Problem,
)
from cliplane_client.ledger import Ledger, Row

TELL_S = 10.0
"""Between lines of progress, where no terminal shows a bar."""


def add_to(commands: Any, parents: list[argparse.ArgumentParser], views: Callable[[str], int | str]) -> None:
    """The command's own arguments."""
    batch = commands.add_parser("batch", help="a folder or a manifest of videos, a row each", parents=parents)
    batch.add_argument("source", type=Path, help="a folder, or a file of lines {'path': …} or {'server_path': …}")
    batch.add_argument(
        "--out", required=True, help="the results, a JSON object a line; {shard} in it is the shard's number"
    )
    batch.add_argument("--shard", default="0/1", help="this part alone: i/n, from 0/n to n-1/n")
    batch.add_argument("--hosts", help="several servers, with commas between (default: --base)")
    batch.add_argument(
        "--server-root", type=Path, help="the folder here that is the servers' MEDIA_ROOT: what lies in it is not sent"
    )
    batch.add_argument("--model", help="default: the server's")
    batch.add_argument("--views", type=views, help="how many views, or auto (default: the model's)")
    batch.add_argument("--top", type=int, default=5, help="how many labels (default: 5)")
    batch.add_argument("--jobs", type=int, default=2, help="videos at once at each server (default: 2)")
    batch.set_defaults(command=run)


class _Batch:
    """One run: threads that take videos off a queue, each with its server."""

    def __init__(
        self, clients: list[Client], ledger: Ledger, args: argparse.Namespace, done: Callable[[Row], None]
    ) -> None:
        self._clients, self._ledger, self._args, self._done = clients, ledger, args, done
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._same: dict[str, threading.Event] = {}  # by content: somebody classifies it
        self._results: dict[str, Row] = {row["sha256"]: row for row in ledger.rows.values() if self._is_reusable(row)}
        self.stopped_by: BaseException | None = None

    def run(self, items: list[Item]) -> None:
        for item in items:
            self._queue.put(item)
        count = max(1, self._args.jobs) * len(self._clients)
        threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # so that Ctrl-C is heard
                thread.join(0.2)

    def _work(self, number: int) -> None:
        first = number % len(self._clients)
        clients = self._clients[first:] + self._clients[:first]  # its own, then the others
        while self.stopped_by is None:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                row = self._row(item, clients)
                self._ledger.add(row)
            except BaseException as error:  # no server, or a disk that is full: nobody goes on
                self.stopped_by = self.stopped_by or error
                return
            self._done(row)

    def _row(self, item: Item, clients: list[Client]) -> Row:
        row: Row = {"id": item.id}
        if item.error:
            return row | _failed("bad-line", item.error)
        try:
            row |= batch_plan.stamp(item)
            if item.path is None or item.server_path is not None:
                return row | self._classified(item, clients)
            row["sha256"] = batch_plan.sha256(item.path)
            return self._once(row, item, clients)
        except OSError as exc:
            return row | _failed("unreadable", exc.strerror or type(exc).__name__)

    def _once(self, row: Row, item: Item, clients: list[Client]) -> Row:
        """Where another thread classifies the same bytes, its answer is waited for."""
        content = row["sha256"]
        while True:
            with self._lock:
                if content in self._results:
                    first = self._results[content]
                    return row | {"same_as": first["id"], "result": first["result"]}
                if (others := self._same.get(content)) is None:
                    mine = self._same[content] = threading.Event()
                    break
            others.wait()
        try:
            row |= self._classified(item, clients)
            if self._is_reusable(row):
                self._results[content] = row
            return row
        finally:
            with self._lock:
                del self._same[content]
            mine.set()

    def _classified(self, item: Item, clients: list[Client]) -> Row:
        """The answer of the first server that gives one.

        Raises:
            ClientError: none does, which is no fault of the video.
        """
        source = ServerPath(item.server_path) if item.server_path is not None else item.path
        assert source is not None
        nobody: ClientError | None = None
        for client in clients:
            try:
                answer = client.classify(source, model=self._args.model, views=self._args.views, top=self._args.top)
            except NoAnswer as error:
                return _failed("no-answer", str(error))
            except (DecoderOutOfMemory, DecoderOutOfThreads) as error:  # perhaps this video's doing
                return _failed(error.type, str(error))
            except (CannotConnect, NotReady, InvalidResponse) as error:
                nobody = error
            except Problem as error:
                if error.status == 401:
                    raise
                return _failed(error.type, str(error))
            else:
                return {"host": client.base, "result": answer.json}
        assert nobody is not None
        raise nobody

    @staticmethod
    def _is_reusable(row: Row) -> bool:
        return "sha256" in row and isinstance(row.get("result"), dict)


def _failed(type_: str, detail: str) -> Row:
    return {"error": {"type": type_, "detail": detail}}


class _Account:
    """What is told while it runs: a bar on a terminal, else a line now and then."""

    def __init__(self, notes: Console, total: int) -> None:
        self._notes, self._total, self._began = notes, total, time.monotonic()
        self._told_at, self._lock = self._began, threading.Lock()
        self.done, self.errors = 0, Counter[str]()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=notes,
            disable=not notes.is_terminal,
        )
        self._task = self._bar.add_task("videos", total=total)

    def __enter__(self) -> _Account:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, row: Row) -> None:
        with self._lock:
            self.done += 1
            if "error" in row:
                self.errors[row["error"]["type"]] += 1
            self._bar.update(self._task, advance=1, description=self._rate())
            if not self._notes.is_terminal and time.monotonic() - self._told_at > TELL_S:
                self._told_at = time.monotonic()
                note(self._notes, self.line())

    def line(self) -> str:
        left = self._total - self.done
        seconds = (time.monotonic() - self._began) / max(self.done, 1) * left
        errors = "".join(f", {count} {type_}" for type_, count in self.errors.most_common())
        return f"{self.done} of {self._total}, {self._rate()}, {seconds:.0f} s left{errors}"

    def _rate(self) -> str:
        return f"{self.done / max(time.monotonic() - self._began, 0.001):.1f} videos/s"


def run(args: argparse.Namespace, notes: Console, client_of: Callable[[str | None], Client]) -> int:
    """0: every video of the shard has a row with a result; 1: some have an error.

    Raises:
        ClientError: the command is wrong, or no server answers any more.
    """
    shard = batch_plan.shard(args.shard)
    mine = [item for item in batch_plan.items(args.source, args.server_root) if shard.has(item.id)]
    by_id = {item.id: item for item in mine}
    out = Path(args.out.replace("{shard}", str(shard.index)))
    with ExitStack() as opened:
        bases = [base.strip() for base in args.hosts.split(",")] if args.hosts else [args.base]
        clients = [opened.enter_context(client_of(base)) for base in bases]
        ledger = opened.enter_context(Ledger(out, lambda row: batch_plan.is_done(row, by_id.get(row["id"]))))
        left = [item for item in mine if item.id not in ledger.rows]
        note(notes, f"{len(mine)} videos in shard {args.shard}; {len(mine) - len(left)} are done already")
        account = opened.enter_context(_Account(notes, len(left)))
        batch = _Batch(clients, ledger, args, account.add)
        batch.run(left)
        note(notes, account.line())
        if batch.stopped_by is not None:
            complain(notes, f"stopped with {len(left) - account.done} videos left; the same command goes on from here")
            raise batch.stopped_by
        return int(any("error" in row for id_, row in ledger.rows.items() if id_ in by_id))
