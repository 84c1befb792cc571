"""Two pods behind a load balancer, rolled and killed under load; then two pods at half the CPU each against one whole.

Runs in the container of `run`. It plays the kubelet's part: readiness takes a pod out of the balancer; at a pod's end
web's preStop hook runs, then web and Triton are stopped. Ends with 1 where a request failed or the halves are too slow.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pods
import yaml

BALANCER = 8080
DOOR_OF_BALANCER = "/run/balancer.sock"

HAPROXY = """
global
  daemon
  pidfile /run/balancer.pid
  stats socket {door} mode 600 level admin
  tune.bufsize 1048576
defaults
  mode http
  timeout connect 2s
  timeout client 120s
  timeout server 80s
  # A classification may be asked twice: a pod that died with it costs its client nothing but time. For that the whole
  # request has to lie in a buffer.
  option http-buffer-request
  timeout http-request 20s
  option redispatch 1
  retries 4
  retry-on all-retryable-errors
frontend clients
  bind :{port}
  default_backend pods
backend pods
  http-reuse always
{servers}
"""


def podman(*words: str, check: bool = True) -> str:
    done = subprocess.run(["podman", "--runtime", "runc", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"podman {' '.join(words)}: {done.stderr}")
    return done.stdout


@dataclass
class Pod:
    """One Cliplane host, on a port of this machine."""

    name: str
    port: int
    cpus: str
    tag: str
    documents: list[pods.Document]

    @property
    def folder(self) -> Path:
        return Path("/pods", self.name)

    def start(self) -> None:
        for volume, size in pods.folders(self.documents).items():
            path = self.folder / volume
            path.mkdir(parents=True, exist_ok=True)
            options = f"size={size},mode=2777,gid=10000,nosuid,nodev"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
        file = self.folder / "pod.yaml"
        made = pods.pod(self.documents, self.name, self.port, self.tag, self.folder, self.cpus)
        file.write_text(yaml.safe_dump_all(made))
        podman("kube", "play", str(file))

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=3) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def wait_until_ready(self, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} is not ready: {podman('logs', '--tail', '5', f'{self.name}-web')}")
            time.sleep(0.5)

    def stop(self) -> None:
        """As the kubelet ends one: web's hook; web, which finishes what it has; the sidecar; what was theirs."""
        podman("exec", f"{self.name}-web", *pods.pre_stop(self.documents))
        podman("stop", "-t", "80", f"{self.name}-web")
        podman("stop", "-t", "30", f"{self.name}-triton")
        self.remove()

    def kill(self) -> None:
        """As a host dies."""
        podman("kill", f"{self.name}-web", f"{self.name}-triton")

    def remove(self) -> None:
        podman("pod", "rm", "-f", self.name, check=False)
        podman("volume", "rm", "-f", f"{self.name}-{pods.DOOR}", check=False)
        for volume in pods.folders(self.documents):
            subprocess.run(["umount", "-l", self.folder / volume], check=False, capture_output=True)


class Balancer:
    """HAProxy before the pods. It keeps its connections to them, and its clients' to it: nothing is read anew."""

    def __init__(self, members: list[Pod]) -> None:
        servers = "\n".join(f"  server {pod.name} 127.0.0.1:{pod.port}" for pod in members)
        file = Path("/pods/balancer.conf")
        file.write_text(HAPROXY.format(servers=servers, port=BALANCER, door=DOOR_OF_BALANCER))
        subprocess.run(["haproxy", "-f", str(file)], check=True)

    def send(self, pod: Pod, state: str) -> None:
        """`state`: ready; drain, which gives it no new request; maint, as where a readiness probe has failed."""
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(DOOR_OF_BALANCER)
            door.sendall(f"set server pods/{pod.name} state {state}\n".encode())
            if refusal := door.recv(4096).strip():
                sys.exit(f"HAProxy: {refusal.decode()}")

    def end(self) -> None:
        os.kill(int(Path("/run/balancer.pid").read_text()), signal.SIGTERM)


@dataclass
class Load:
    """So many clients, each with one request at a time, on one connection for as long as the balancer keeps it."""

    body: bytes
    clients: int
    port: int = BALANCER
    path: str = "/v1/classify?views=1&top=1"
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    label: str = ""

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self._end.is_set():
            try:
                connection.request("POST", self.path, self.body)
                response = connection.getresponse()
                text = response.read()
                label = json.loads(text)["predictions"][0]["label"] if response.status == 200 else ""
                failure = "" if label == self.label else f"{response.status} {text[:200]!r}"
            except (OSError, http.client.HTTPException) as exc:
                failure = repr(exc)
                connection.close()
            with self._lock:
                self.answered += 1
                if failure:
                    self.failed.append(f"{time.strftime('%T')} {failure}")
        connection.close()


def rolled_and_killed(members: list[Pod], balancer: Balancer, load: Load, requests: int) -> None:
    """Roll one pod, kill one, roll the other, and again, until so many requests are answered."""
    load.begin()
    rolls = kills = told = 0
    while load.answered < requests or not (rolls and kills):
        for step, pod in enumerate(members * 2):
            print(f"  {time.strftime('%T')} {pod.name}", flush=True)
            if step % 2 == 0:
                balancer.send(pod, "drain")  # it begins to end
                pod.stop()
                rolls += 1
            else:
                pod.kill()  # nobody has told the balancer
                kills += 1
                time.sleep(2)
                balancer.send(pod, "maint")  # readiness has
                pod.remove()
            pod.start()
            pod.wait_until_ready()
            balancer.send(pod, "ready")
            print(f"  {load.answered} requests, {len(load.failed)} failed; {rolls} rolled, {kills} killed", flush=True)
            for failure in load.failed[told:]:
                print("    failed:", failure, flush=True)
            told = len(load.failed)
            time.sleep(3)
    load.end()
    print(f"{len(load.failed)} of {load.answered} failed; {rolls} pods rolled, {kills} killed")


def per_second(port: int, body: bytes, label: str, clients: int, seconds: float) -> float:
    load = Load(body, clients, port, label=label)
    load.begin()
    time.sleep(2)
    before, began = load.answered, time.monotonic()
    time.sleep(seconds)
    done = (load.answered - before) / (time.monotonic() - began)
    load.end()
    if load.failed:
        sys.exit(f"failed: {load.failed[0]}")
    return done


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tag", default="dev")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7, help="of the comparison; 0: none")
    parser.add_argument("--seconds", type=float, default=12, help="of a round")
    asked = parser.parse_args()
    overlay = ["kubectl", "kustomize", "/cliplane/deploy/kubernetes/overlays/cpu"]
    documents = list(yaml.safe_load_all(subprocess.run(overlay, check=True, capture_output=True, text=True).stdout))
    body, label = Path("/cliplane/services/web/static/example.mp4").read_bytes(), "pan_right"
    Path("/pods").mkdir(exist_ok=True)
    cpus = sorted(os.sched_getaffinity(0))
    whole, first, second = (
        ",".join(map(str, some)) for some in (cpus, cpus[: len(cpus) // 2] or cpus, cpus[len(cpus) // 2 :])
    )
    is_good = True

    if asked.requests:
        members = [Pod(f"cliplane-{name}", 9000 + n, whole, asked.tag, documents) for n, name in enumerate("ab")]
        for pod in members:
            pod.start()
        for pod in members:
            pod.wait_until_ready()
        balancer, load = Balancer(members), Load(body, asked.clients, label=label)
        rolled_and_killed(members, balancer, load, asked.requests)
        is_good = not load.failed
        balancer.end()
        for pod in members:
            pod.remove()

    if asked.rounds:
        one = Pod("cliplane-whole", 9010, whole, asked.tag, documents)
        halves = [Pod("cliplane-first", 9011, first, asked.tag, documents)]
        halves.append(Pod("cliplane-second", 9012, second, asked.tag, documents))
        for pod in (one, *halves):
            pod.start()
        for pod in (one, *halves):
            pod.wait_until_ready()
        Balancer(halves)
        ratios = []
        for _ in range(asked.rounds):  # in turns: what else this machine does falls on both
            of_one = per_second(one.port, body, label, asked.clients, asked.seconds)
            of_halves = per_second(BALANCER, body, label, asked.clients, asked.seconds)
            ratios.append(of_halves / of_one)
            print(f"  one whole: {of_one:.1f} a second, two halves: {of_halves:.1f}: {ratios[-1]:.3f}", flush=True)
        ratio = statistics.median(ratios)
        print(f"two pods at half the CPU each: {ratio:.3f} of one whole (median of {asked.rounds})")
        is_good = is_good and ratio >= 0.95
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
