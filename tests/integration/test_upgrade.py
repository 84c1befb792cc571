"""`make upgrade` and `make rollback`: clients that never stop asking notice nothing of either.

`make test-upgrade UPGRADES=10` is the long form. Each upgrade has a new image of web and of Triton, and new settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import PROJECT, docker, video, wait_until
from tests.integration.test_make_up import another_checkout, containers, host, project

__all__ = ["project"]  # a fixture

UPGRADES = int(os.environ.get("UPGRADES") or "2")
CLIENTS = 4
LABELS = ("pan_left", "tilt_up", "zoom_in", "zoom_out")
TAG = os.environ["IMAGE_TAG"]

BROKEN = "RUN rm -r /opt/venv/lib/python3.13/site-packages/cliplane/decoder/pictures.py"
"""All is ready, and no video can be decoded: only a classification shows it."""


class Clients:
    """Some keep their connection, some make a new one each time; what came is counted."""

    def __init__(self, base: str) -> None:
        self._base, self._over = base, threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        keeps = number % 2 == 0
        client = httpx.Client(base_url=self._base, timeout=60)
        label = LABELS[number]
        while not self._over.is_set():
            if not keeps:
                client.close()
                client = httpx.Client(base_url=self._base, timeout=60)
            try:
                answer = client.post("/v1/classify?views=1&top=1", content=video(label))
                found = answer.json()
                outcome = found["predictions"][0]["label"] if answer.is_success else found["type"]
                self.outcomes["right" if outcome == label else f"{label}: {outcome}"] += 1
            except httpx.TransportError as exc:
                self.outcomes[repr(exc)] += 1
        client.close()

    def stop(self) -> Counter[str]:
        self._over.set()
        for thread in self._threads:
            thread.join(90)
        return self.outcomes


@contextlib.contextmanager
def release(name: str, *more: str) -> Iterator[str]:
    """Images of another release, by their tag: those that are here, which say of themselves that they are this one."""
    tag = f"{TAG}-{name}"
    try:
        for service in ("web", "triton"):
            lines = [f"FROM cliplane-{service}:{TAG}", f"ENV IMAGE_COMMIT={name} IMAGE_TAG={tag}"]
            lines += ["USER 0", *more, "USER 10002:10000"] if service == "web" else []
            command = ["docker", "build", "-q", "-t", f"cliplane-{service}:{tag}", "-"]
            subprocess.run(command, input="\n".join(lines), text=True, check=True, capture_output=True)
        yield tag
    finally:
        docker("rmi", "-f", f"cliplane-web:{tag}", f"cliplane-triton:{tag}", check=False)


def state_of(project: str) -> Counter[str]:
    rows = docker("ps", "-a", "--filter", f"label=com.docker.compose.project={project}", "--format", "{{.State}}")
    return Counter(rows.split())


@contextlib.contextmanager
def reachable(project: str) -> Iterator[str]:
    """A running stack's listener, for this container, too."""
    with contextlib.ExitStack() as stack:
        me = docker("ps", "-q", "--filter", f"name={PROJECT}-tests-run-").split()[0]
        docker("network", "connect", f"{project}_default", me)
        stack.callback(docker, "network", "disconnect", "-f", f"{project}_default", me, check=False)
        (facts,) = json.loads(docker("inspect", f"{project}-listener-1"))
        yield f"http://{facts['NetworkSettings']['Networks'][f'{project}_default']['IPAddress']}:8000"


@pytest.fixture
def base(project: str) -> Iterator[str]:
    done = host(["host/up", "--no-build"], project, {})
    assert done.returncode == 0, done.stderr
    with reachable(project) as address:
        yield address


def commit(base: str) -> str:
    return str(httpx.get(f"{base}/version").json()["commit"])


def test_clients_notice_no_upgrade_and_no_rollback(project: str, base: str) -> None:
    clients = Clients(base)

    def rest() -> None:
        before = clients.outcomes.total()
        wait_until(lambda: clients.outcomes.total() >= before + 2 * CLIENTS, what="requests between two upgrades")

    try:
        with contextlib.ExitStack() as releases:
            for number in range(UPGRADES):
                rest()
                tag = releases.enter_context(release(f"up{number}"))
                done = host(
                    ["host/upgrade", "--no-build"], project, {"IMAGE_TAG": tag, "CLIPLANE_QUEUE": f"{20 + number}"}
                )
                assert done.returncode == 0, done.stderr
                print(done.stdout.strip())
                assert commit(base) == f"up{number}"
            rest()
            done = host(["host/upgrade", "--back"], project, {})
            assert done.returncode == 0, done.stderr
            print(done.stdout.strip())
            assert commit(base) == f"up{UPGRADES - 2}"
            assert state_of(project) == {"running": 3, "exited": 2}
            found = {row["check"]: row for row in json.loads(host(["host/doctor", "--json"], project, {}).stdout)}
            assert sum(row["found"] == "kept for make rollback" for row in found.values()) == 2
            assert found["round trip"]["verdict"] == "ok"
            broken = releases.enter_context(release("broken", BROKEN))
            refused = host(["host/upgrade", "--no-build"], project, {"IMAGE_TAG": broken})
            assert refused.returncode == 1
            assert "make upgrade: the new release: classification: " in refused.stderr
            assert "taken back: " in refused.stderr
            assert commit(base) == f"up{UPGRADES - 2}"
            # The release before, which a rollback has left, is there still.
            assert state_of(project) == {"running": 3, "exited": 2}
            rest()
            outcomes = clients.stop()
            print(dict(outcomes))
            assert set(outcomes) == {"right"}
            left = docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={project}").split()
            assert len([name for name in left if "-shm-" in name]) == 2
            # `make up` without a change leaves what an upgrade has made as it is.
            serving = {"IMAGE_TAG": f"{TAG}-up{UPGRADES - 2}", "CLIPLANE_QUEUE": f"{20 + UPGRADES - 2}"}
            before = set(containers(project))
            up = host(["host/up", "--no-build"], project, serving)
            assert up.returncode == 0, up.stderr
            assert set(containers(project)) == before
            assert state_of(project) == {"running": 3}
            for id_ in docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project}").split():
                docker("rm", "-fv", id_)  # before their images
    finally:
        clients.stop()


def served(project: str, checkout: Path) -> str:
    """The version of the model that the release which serves has."""
    rows = json.loads(host(["host/doctor", "--json"], project, {}, checkout).stdout)
    (found,) = [row["found"] for row in rows if row["check"] == "model camera_motion" and row["verdict"] == "ok"]
    return str(found)


def test_a_release_has_models_of_its_own(project: str) -> None:
    with another_checkout() as checkout:
        model = checkout / "services/triton/models/camera_motion"

        def upgrade(*words: str) -> subprocess.CompletedProcess[str]:
            return host(["host/upgrade", *words], project, {}, checkout)

        def assert_served(version: int) -> None:
            wait_until(lambda: served(project, checkout) == f"version {version} is ready", what=f"version {version}")

        up = host(["host/up", "--no-build"], project, {}, checkout)
        assert up.returncode == 0, up.stderr
        shutil.copytree(model / "1", model / "2")
        assert_served(1)
        done = upgrade("--no-build")
        assert done.returncode == 0, done.stderr
        assert_served(2)
        done = upgrade("--back")
        assert done.returncode == 0, done.stderr
        assert_served(1)
        # `make model` gives to the release that serves what it has made.
        done = host(["host/model", "camera_motion"], project, {}, checkout)
        assert done.returncode == 0, done.stderr
        assert_served(2)
        done = upgrade("--back")
        assert done.returncode == 0, done.stderr
        assert_served(2)
