"""Clients of every kind, and a fault every few seconds: `make chaos MINUTES=30 SEED=7`. The seed draws the faults.

Ends with the bill, and with 1 where an answer was wrong, a request was lost, a fault did not heal, or something was
left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path

import httpx

from tests.chaos import faults
from tests.chaos.bill import Bill, Fault
from tests.chaos.clients import LABELS, Crowd, Videos
from tests.integration.conftest import BASE, Stack, docker, video
from tests.integration.test_fuzz import resident_kb
from tests.integration.test_soak import state

RECOVERY_S = 90
"""After so long a fault counts as never healed."""

GROWN_KB = 100_000

MAY_GROW = {"fds": 20, "threads": 20, "kB": 200_000}
"""By so much from one moment to another where nothing is left behind; hundreds of faults would leave more."""


def is_well(stack: Stack, videos: Videos) -> bool:
    """Right answers of both lanes, through shared memory."""
    try:
        if httpx.get(f"{BASE}/readyz", timeout=5).status_code != 200 or len(stack.lanes()) != 2:
            return False
        label = random.choice(LABELS)
        response = httpx.post(f"{BASE}/v1/classify", content=videos[label], timeout=60)
    except (httpx.TransportError, AssertionError):
        return False
    if response.status_code != 200:
        return False
    body = response.json()
    return bool(body["handoff"] == "system_shm" and body["predictions"][0]["label"] == label)


def until_well(stack: Stack, videos: Videos) -> float | None:
    began = time.monotonic()
    while not is_well(stack, videos):
        if time.monotonic() > began + RECOVERY_S:
            return None
        time.sleep(0.1)
    return time.monotonic() - began


def front(stack: Stack) -> tuple[tuple[str, list[int]], list[int]]:
    """Which web container this is and which nginx, and which lanes: of other ones, connections were broken."""
    started = docker("inspect", "-f", "{{.State.StartedAt}}", stack.container("web"))
    try:
        processes = stack.processes("web").items()
    except AssertionError:  # it is just ending
        return (started, []), []
    nginx = sorted(pid for pid, (_, command) in processes if command.startswith("nginx: "))
    return (started, nginx), sorted(pid for pid, (_, command) in processes if "PLANE=lanes " in command)


# Open files, threads and private memory of all processes of a container; a decoder's files are nobody's to look at.
COUNT = """
import contextlib, pathlib
fds = threads = kb = 0
for p in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError, StopIteration):
        if (p / "stat").read_text().rpartition(")")[2].split()[1] == "0" and p.name != "1":
            continue  # put in by `docker exec`
        threads += len(list((p / "task").iterdir()))
        kb += int(next(l for l in (p / "status").read_text().splitlines() if l.startswith("RssAnon")).split()[1])
        fds += len(list((p / "fd").iterdir()))
print(fds, threads, kb)
"""


def held(stack: Stack) -> dict[str, int]:
    """What the containers hold, as the bill names it."""
    found: dict[str, int] = {}
    for service in ("web", "triton", "listener"):
        numbers = map(int, stack.exec(service, "python3", "-c", COUNT).split())
        found |= {f"{service}'s {what}": number for what, number in zip(MAY_GROW, numbers, strict=True)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", default="", help="faults whose name has one of these in it, separated by commas")
    args = parser.parse_args()
    stack, models, chance = Stack(), Path(os.environ["CHAOS_MODELS"]), random.Random(args.seed)
    names = [name for name in faults.FAULTS if any(word in name for word in args.only.split(","))]
    print(f"seed {args.seed}, {args.minutes:g} minutes", flush=True)
    videos = {label: video(label) for label in LABELS}
    stack.wait_until_well()
    before, held_before, memory_kb = state(stack), held(stack), resident_kb(stack)
    deck: list[str] = []
    bill = Bill()
    crowd = Crowd(BASE, videos, bill, args.seed)
    end = time.monotonic() + args.minutes * 60
    try:
        while time.monotonic() < end:
            if not deck:  # each fault once, in any order, and so on
                deck = chance.sample(names, len(names))
            name = deck.pop()
            of_the_fault = random.Random(chance.random())
            (was, lanes), began = front(stack), time.monotonic()
            is_borne = name in faults.BORNE
            with faults.FAULTS[name](stack, models, of_the_fault):
                recovery_s = until_well(stack, videos) if is_borne else 0
            healed = time.monotonic()
            if not is_borne:
                recovery_s = until_well(stack, videos)
            now, lanes_now = front(stack)
            bill.faults.append(Fault(name, began, healed, recovery_s, now != was, lanes_now != lanes))
            at_s, took = healed - end + args.minutes * 60, "never" if recovery_s is None else f"{recovery_s:.1f} s"
            print(f"{at_s:6.0f} s  {name}: {took}  (load {os.getloadavg()[0]:.0f})", flush=True)
            time.sleep(chance.uniform(0.5, 3))
    finally:
        crowd.stop()
    stack.wait_until_well()
    deadline = time.monotonic() + 60
    while (after := state(stack)) != before and time.monotonic() < deadline:
        stack.all_lanes_answer()
    grown_kb = resident_kb(stack) - memory_kb
    grown = {what: number - held_before[what] for what, number in held(stack).items()}
    too_much = [what for what, number in grown.items() if number > MAY_GROW[what.split()[-1]]]
    print(bill.text())
    print(
        f"left: {'nothing' if after == before else f'{before}, then {after}'}; spool {stack.spool()!r}; {grown_kb:+} kB"
    )
    print("grown: " + ", ".join(f"{what} {number:+}" for what, number in grown.items()))
    bad = bill.wrong() or bill.lost() or bill.never_well() or after != before or stack.spool()
    sys.exit(1 if bad or grown_kb > GROWN_KB or too_much else 0)


if __name__ == "__main__":
    main()
