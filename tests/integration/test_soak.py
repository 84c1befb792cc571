"""A thousand requests while lanes and decoders are killed: afterwards everything is as it was."""

from __future__ import annotations

import collections
import concurrent.futures
import os
import random
import threading

from tests import media
from tests.integration.conftest import Stack, classify, wait_until
from tests.integration.test_fuzz import resident_kb

REQUESTS = int(os.environ.get("REQUESTS") or 1000)
KILLS = 12


def state(stack: Stack) -> dict[str, object]:
    """What must not grow: names in /dev/shm, regions Triton has mapped, open files, threads and processes."""
    processes = stack.processes("web")
    count = (
        "import pathlib, sys\n"
        "for pid in sys.argv[1:]:\n"
        "    p = pathlib.Path('/proc', pid)\n"
        "    print(len(list((p / 'fd').iterdir())), len(list((p / 'task').iterdir())))"
    )
    lines = stack.exec("web", "python3", "-c", count, *map(str, stack.lanes())).split()
    return {
        "segments": len(stack.shared_memory()),
        "regions": len(stack.regions()),
        # Not those that Docker puts in beside ours: a health check that is just under way, and this look itself.
        "processes": sum(pid == 1 or parent != 0 for pid, (parent, _) in processes.items()),
        "fds": sum(map(int, lines[::2])),
        "threads": sum(map(int, lines[1::2])),
    }


def test_a_thousand_requests_with_kills_leave_nothing_behind(ready: Stack) -> None:
    labels = ["pan_left", "tilt_up", "zoom_in", "roll_cw"]
    videos = {label: media.clip(label, width=160, height=120) for label in labels}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # warm: both lanes and their decoders have worked
        assert all(
            response.status_code == 200 for response in pool.map(lambda i: classify(videos[labels[i % 4]]), range(120))
        )
    before, memory_kb = state(ready), resident_kb(ready)
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    due = sorted(random.Random(7).sample(range(50, REQUESTS - 50), KILLS))
    killing = threading.Lock()

    def kill_one(number: int) -> None:
        with killing:
            victims: list[int] = []

            def found() -> bool:
                victims[:] = ready.lanes() if number % 2 else ready.decoders()
                return bool(victims)  # none of either, while what was killed before starts anew

            wait_until(found, what="somebody to kill")
            ready.kill("web", random.Random(number).choice(victims))

    def one(number: int) -> None:
        if number in due:
            kill_one(number)
        label = labels[number % len(labels)]
        response = classify(videos[label], top=1)
        if response.status_code == 200:
            outcomes["classified"] += 1
            if response.json()["predictions"][0]["label"] != label:
                wrong.append(label)
        else:
            outcomes[response.json()["type"].rpartition(":")[2]] += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(REQUESTS)))
    ready.wait_until_well()
    # Both lanes work meanwhile, as before: one that has just started has no connection to Triton yet.
    wait_until(lambda: ready.all_lanes_answer() and state(ready) == before, what=f"the state before: {before}")
    grown_kb = resident_kb(ready) - memory_kb
    print(
        f"\n{REQUESTS} requests, {KILLS} kills: {dict(outcomes)}; memory {memory_kb} kB, then {grown_kb:+} kB; {before}"
    )
    assert not wrong
    assert set(outcomes) <= {"classified", "decoder-crashed", "lane-died", "busy"}
    # A kill costs the request that it meets; while a lane starts anew, the queue may fill.
    assert outcomes["classified"] >= REQUESTS - 10 * KILLS
    assert grown_kb < 60_000
