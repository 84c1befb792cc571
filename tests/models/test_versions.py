"""A model gets a new version, and is then removed, while requests come without a pause: none of them fails."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx

from tests import media
from tests.integration.conftest import BASE, wait_until
from tests.models.conftest import MODELS, make, seed, served


class Answer(NamedTuple):
    """To one request; times by the monotonic clock."""

    said: tuple[int, str]  # the status, and the version or the type of the problem
    asked: float
    came: float


class Traffic:
    """Two clients, each with its next request as soon as the one before is answered."""

    def __init__(self, model: str, body: bytes) -> None:
        self.answers: list[Answer] = []  # as they came
        self._stop = threading.Event()
        self._query: dict[str, str | int] = {"model": model, "views": 2}
        self._threads = [threading.Thread(target=self._run, args=(body,)) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _run(self, body: bytes) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                asked = time.monotonic()
                answer = client.post(f"{BASE}/v1/classify", params=self._query, content=body)
                found = answer.json()
                said = found["version"] if answer.status_code == 200 else found["type"].rpartition(":")[2]
                self.answers.append(Answer((answer.status_code, said), asked, time.monotonic()))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def said(self) -> list[tuple[int, str]]:
        return [answer.said for answer in self.answers]

    def asked_after(self, first: tuple[int, str]) -> set[tuple[int, str]]:
        """What was answered to requests that were sent after this answer had come for the first time."""
        came = next(answer.came for answer in self.answers if answer.said == first)
        return {answer.said for answer in self.answers if answer.asked > came}


def test_a_new_version_and_the_removal_under_load_fail_no_request(work: Path, name: str) -> None:
    checkpoint, labels = work / "version.pth", work / "version.txt"
    seed("x3d_xs", 5, checkpoint)
    labels.write_text("a\nb\nc\nd\ne\n")
    variables = {"NAME": "x3d_xs", "AS": name, "CHECKPOINT": checkpoint, "LABELS": labels}
    assert make("model", **variables).returncode == 0
    wait_until(lambda: name in served(), seconds=90, what="version 1 is served")
    video = media.encode(media.moving_camera("zoom_in", frames=60, width=200, height=200), options={"crf": "28"})
    traffic = Traffic(name, video)
    try:
        wait_until(lambda: len(traffic.answers) > 10, seconds=60, what="traffic")
        done = make("model", **variables)
        assert done.returncode == 0, done.stderr
        assert "version 2 installed" in done.stdout
        about = json.loads((MODELS / name / "export.json").read_text())
        assert (about["version"], about["earlier"][0]["version"]) == (2, 1)
        assert about["parity"]["max_difference"]["triton"] <= 1e-4
        wait_until(lambda: (200, "2") in traffic.said()[-1:], seconds=60, what="version 2 answers")
        so_far = len(traffic.answers)
        wait_until(lambda: len(traffic.answers) > so_far + 20, seconds=60, what="more traffic")
        before = set(traffic.said())
        # As `make model-rm` does it: out of sight by one rename, then deleted.
        away = MODELS.parent / f".models.old-{name}"
        subprocess.run(["mv", str(MODELS / name), str(away)], check=True)
        subprocess.run(["rm", "-rf", str(away)], check=True)
        wait_until(lambda: traffic.said()[-1][0] == 404, seconds=60, what="it is unknown")
        so_far = len(traffic.answers)
        wait_until(lambda: len(traffic.answers) > so_far + 20, seconds=60, what="more traffic")
    finally:
        traffic.stop()
    assert before == {(200, "1"), (200, "2")}
    # While Triton unloads it, it is there and not ready.
    unloading, gone = (503, "not-ready"), (404, "unknown-model")
    assert set(traffic.said()) - {unloading} == {(200, "1"), (200, "2"), gone}
    # What was under way may still say the old; what is asked later does not.
    assert (200, "1") not in traffic.asked_after((200, "2"))
    assert traffic.asked_after(gone) - {unloading} == {gone}
