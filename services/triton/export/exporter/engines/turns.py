"""All engines in turns: each runs a little, then the next, so that a noisy minute of the machine hits all of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SETTLE_S = 0.2  # the threads of the one before stop spinning
SINGLES = 5  # inferences of one clip a turn; one where they take longer than a second


@dataclass(slots=True)
class Run:
    """What became of one engine."""

    engine: str
    reason: str = ""  # why it could not run; then the rest is empty
    load_s: float = 0.0
    memory_mib: float = 0.0
    single_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)
    answers: np.ndarray | None = None  # (clips, classes)

    @property
    def latency_ms(self) -> float:
        return statistics.median(self.single_ms)

    @property
    def batch_median_ms(self) -> float:
        return statistics.median(self.batch_ms)


class _Process:
    """The parent's side of child.py."""

    def __init__(self, engine: str, spec: Path, log: Path) -> None:
        self._log = log.open("w")
        self._child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "exporter.engines.child", engine, str(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            print(json.dumps(command), file=self._child.stdin, flush=True)
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._child.wait()
            cause = "killed, as when memory runs out" if code == -9 else f"exit {code}"
            return {"unavailable": f"its process ended ({cause}): {_last_line(Path(self._log.name))}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._child.communicate()
        self._log.close()


def _last_line(log: Path) -> str:
    return next((line.strip() for line in reversed(log.read_text().splitlines()) if line.strip()), "it said nothing")


def run_in_turns(engines: list[str], spec: Path, rounds: int, batch: int, work: Path) -> list[Run]:
    """Load each engine, warm it up, then measure `rounds` turns. There are (rounds + 1) × batch clips."""
    runs = {engine: Run(engine) for engine in engines}
    processes = {engine: _Process(engine, spec, work / f"{engine}.log") for engine in engines}

    def ask(engine: str, **command: Any) -> float | None:
        if runs[engine].reason:
            return None
        answer = processes[engine].ask(**command)
        runs[engine].reason = answer.get("unavailable", "")
        return answer.get("ms", answer.get("memory_mib"))

    try:
        for engine, run in runs.items():
            load_ms = ask(engine, do="load", clips=[0, 1])
            ask(engine, do="run", clips=[0, batch])
            run.load_s = (load_ms or 0) / 1000
            print(f"{engine}: {run.reason or f'loaded in {run.load_s:.1f} s'}", file=sys.stderr, flush=True)
        for turn in range(1, rounds + 1):
            for run in runs.values() if turn % 2 else reversed(runs.values()):
                if not run.reason:
                    time.sleep(SETTLE_S)
                    _one_turn(run, turn, batch, ask)
        for engine, run in runs.items():
            run.memory_mib = ask(engine, do="end", out=str(work / f"{engine}.npy")) or 0.0
            if not run.reason:
                run.answers = np.load(work / f"{engine}.npy")
    finally:
        for process in processes.values():
            process.close()
    return list(runs.values())


def _one_turn(run: Run, turn: int, batch: int, ask: Any) -> None:
    for single in range(SINGLES):
        clip = turn * batch + single % batch
        ms = ask(run.engine, do="run", clips=[clip, clip + 1])
        if ms is None:
            return
        run.single_ms.append(ms)
        if ms > 1000:
            break
    ms = ask(run.engine, do="run", clips=[turn * batch, (turn + 1) * batch])
    if ms is not None:
        run.batch_ms.append(ms)
