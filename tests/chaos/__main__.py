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
    before, memory_kb = state(stack), resident_kb(stack)
    bill = Bill()
    crowd = Crowd(BASE, videos, bill, args.seed)
    end = time.monotonic() + args.minutes * 60
    try:
        while time.monotonic() < end:
            name = chance.choice(names)
            of_the_fault = random.Random(chance.random())
            (was, lanes), began = front(stack), time.monotonic()
            with faults.FAULTS[name](stack, models, of_the_fault):
                pass
            healed = time.monotonic()
            recovery_s = until_well(stack, videos)
            now, lanes_now = front(stack)
            bill.faults.append(Fault(name, began, healed, recovery_s, now != was, lanes_now != lanes))
            print(
                f"{time.monotonic() - end + args.minutes * 60:6.0f} s  {name}: {recovery_s and round(recovery_s, 1)} s"
            )
            sys.stdout.flush()
            time.sleep(chance.uniform(0.5, 3))
    finally:
        crowd.stop()
    stack.wait_until_well()
    deadline = time.monotonic() + 60
    while (after := state(stack)) != before and time.monotonic() < deadline:
        stack.all_lanes_answer()
    grown_kb = resident_kb(stack) - memory_kb
    print(bill.text())
    print(
        f"left: {'nothing' if after == before else f'{before}, then {after}'}; spool {stack.spool()!r}; {grown_kb:+} kB"
    )
    bad = bill.wrong() or bill.lost() or bill.never_well() or after != before or stack.spool() or grown_kb > GROWN_KB
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
