"""The decoders of the running stack, tried from the inside: what would a video find that has taken one over?"""

from __future__ import annotations

import json

import httpx
import pytest

from tests.integration.conftest import InBackground, Stack, classify, long_video, ready, stack, video, wait_until

__all__ = ["ready", "stack"]  # fixtures

# Of each thread of these processes: its process, and the lines of its status that tell of walls.
READ_THREADS = """
import json, pathlib, sys
threads = []
for pid in sys.argv[1:]:
    for status in pathlib.Path("/proc", pid, "task").glob("*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        walls = {name: int(fields[name]) for name in ("NoNewPrivs", "Seccomp", "Seccomp_filters")}
        threads.append({"pid": int(pid), **walls})
print(json.dumps(threads))
"""


def threads_of(stack: Stack, pids: list[int]) -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads(stack.exec("web", "python3", "-c", READ_THREADS, *map(str, pids)))
    return found


def test_every_thread_of_every_decoder_is_behind_the_walls(ready: Stack) -> None:
    (around,) = {thread["Seccomp_filters"] for thread in threads_of(ready, ready.lanes())}  # the container's own
    requests = [InBackground(long_video(), views=10) for _ in range(2)]
    seen: list[dict[str, int]] = []
    while not all(request.is_done() for request in requests):
        seen += threads_of(ready, ready.decoders())
    assert len({thread["pid"] for thread in seen}) >= 2
    walls = [(thread["NoNewPrivs"], thread["Seccomp"], thread["Seccomp_filters"]) for thread in seen]
    assert set(walls) == {(1, 2, around + 1)}


def test_a_decoder_at_rest_has_one_thread_and_dies_first_where_memory_runs_out(ready: Stack) -> None:
    decoders = ready.decoders()
    wait_until(lambda: len(threads_of(ready, decoders)) == len(decoders), what="decoders at rest")
    for pid in decoders:
        assert ready.exec("web", "cat", f"/proc/{pid}/oom_score_adj").strip() == "1000"


# Runs in the web container, as a lane's child would, and says which attacks came through.
TAKEN_OVER = r"""
import ctypes, encodings.idna, mmap, os, pathlib, signal, socket, sys, threading
from cliplane.decoder import __main__ as decoder
from cliplane.decoder import sandbox

lane, upload = int(sys.argv.pop()), pathlib.Path(sys.argv.pop())
libc = ctypes.CDLL(None, use_errno=True)

def called(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

ATTACKS = {
    "reads a password file": lambda: open("/etc/passwd"),
    "reads the settings": lambda: open(f"/proc/{lane}/environ"),
    "reads the lane's memory": lambda: open(f"/proc/{lane}/mem"),
    "lists the uploads": lambda: os.listdir("/spool"),
    "reads another upload": lambda: open(upload, "rb").read(1),
    "writes another upload": lambda: open(upload, "r+b"),
    "lists the regions": lambda: os.listdir("/dev/shm"),
    "opens a region": lambda: open("/dev/shm/cliplane-triton", "rb"),
    "makes a file": lambda: open("/tmp/attack", "w"),
    "reaches Triton": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "asks for a name": lambda: socket.getaddrinfo("triton", 8001),
    "reaches supervisord": lambda: socket.socket(socket.AF_UNIX).connect("/run/cliplane/supervisor.sock"),
    "runs a program": lambda: os.execv("/bin/true", ["true"]),
    "starts a process": lambda: os.fork() or os._exit(0),
    "ends the lane": lambda: os.kill(lane, 0),
    "holds the lane": lambda: os.pidfd_open(lane),
    "traces the lane": lambda: called(101, 16, lane, 0, 0),
    "interrupts a thread": lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1),
    "shrinks its region": lambda: os.ftruncate(int(sys.argv[2]), 0),
    "adds code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
}
enter = sandbox.enter

def attack():
    for name, act in ATTACKS.items():
        try:
            act()
        except Exception:
            continue
        os.write(1, f"{name}\n".encode())

def enter_and_attack(*arguments):
    enter(*arguments)
    attack()
    another = threading.Thread(target=attack)
    another.start()
    another.join()
    os.write(1, b"all tried\n")
    os._exit(0)

sandbox.enter = enter_and_attack
decoder.main()
"""
START = r"""
import os, socket, subprocess, sys
from cliplane.decoder import sandbox
from cliplane.triton.region import create_private_region

region, (ours, theirs) = create_private_region(4096), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
upload = f"/spool/{os.getpid()}"
with open(upload, "w") as file:
    file.write("another's")
try:
    done = subprocess.run(
        [sys.executable, "-I", "-c", sys.argv[1], "pyav", str(region.fd), "4096", str(2**31), upload, sys.argv[2]],
        env={"PATH": os.environ["PATH"], **sandbox.ENVIRONMENT}, stdin=theirs.fileno(), pass_fds=[region.fd],
        capture_output=True, text=True, timeout=60,
    )
finally:
    os.unlink(upload)
print(done.stdout, done.stderr, sep="")
"""


@pytest.mark.usefixtures("ready")
def test_whoever_takes_over_a_decoder_finds_nothing_to_use(stack: Stack) -> None:
    lane = stack.lanes()[0]
    assert stack.exec("web", "python", "-c", START, TAKEN_OVER, str(lane)).split("\n")[0] == "all tried"


def test_a_form_and_a_bare_body_are_read_alike(ready: Stack) -> None:
    """Both by the open file alone; of a form, a span of it."""
    bare = classify(video("pan_left"))
    form = httpx.post(f"{ready.base}/v1/classify", files={"video": ("a.mp4", video("pan_left"))}, timeout=60)
    assert bare.status_code == form.status_code == 200
    assert bare.json()["predictions"] == form.json()["predictions"]
