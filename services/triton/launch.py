"""Start Triton in this container: `launch.py`, or see that it is well: `launch.py --check`.

Standard library only, for it also runs in NVIDIA's own image. Becomes the server by exec, so that signals reach it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SERVER = "/opt/tritonserver/bin/tritonserver"
SHM = Path("/dev/shm")
SEGMENT_PREFIX = "triton_python_"
MARKER = SHM / "cliplane-triton"
OPENVINO_BACKEND = Path("/opt/backends/openvino")


def prepare_shared_memory() -> None:
    """Leave the shared /dev/shm as a first start would find it, and show that it is shared.

    It outlives this container, so a Triton that was killed has left its backend's segments there. The marker lets
    the web container tell "not one IPC namespace" from "not allowed to open".
    """
    for old in (*SHM.glob(f"{SEGMENT_PREFIX}*"), MARKER):
        # lstat: others may write in this directory, and a link of theirs must not stop the start.
        with contextlib.suppress(FileNotFoundError):
            if old.lstat().st_uid == os.getuid():
                old.unlink()
    with contextlib.suppress(PermissionError):  # somebody else's file of that name is there, and shows the same
        MARKER.touch(mode=0o440)


def backend_directory(scratch: Path) -> Path:
    """One directory with the server's own backends and ours: Triton takes only one."""
    scratch.mkdir(exist_ok=True)
    own = [OPENVINO_BACKEND] if OPENVINO_BACKEND.exists() else []  # NVIDIA's image has an openvino of its own
    for backend in (*Path("/opt/tritonserver/backends").iterdir(), *own):
        link = scratch / backend.name
        if not link.exists():
            link.symlink_to(backend)
    return scratch


def command(help_text: str, environ: dict[str, str], backends: Path) -> list[str]:
    """The command line; `help_text` is the server's own, which says what this version knows."""
    arguments = [
        SERVER,
        "--model-repository=/models",
        f"--backend-directory={backends}",
        # A new or changed model folder is served without a restart.
        "--model-control-mode=poll",
        "--repository-poll-secs=2",
        # One broken model must not take the others down: readiness is asked for each model by name.
        "--exit-on-error=false",
        "--strict-readiness=false",
        # Requests in flight have this long at the end; compose's stop_grace_period is longer.
        "--exit-timeout-secs=20",
        f"--backend-config=python,shm-region-prefix-name={SEGMENT_PREFIX}",
        # Copies of one batch's frames pass from the server to the backend's process here. It grows when needed.
        f"--backend-config=python,shm-default-byte-size={8 * 2**20}",
        f"--backend-config=python,shm-growth-byte-size={8 * 2**20}",
        "--log-format=ISO8601",
    ]
    if "--allow-client-shm" in help_text:  # from 2.68 (26.04) on it is off unless asked for
        arguments.append("--allow-client-shm=true")
    if name := environ.get("MODEL_CONFIG_NAME"):
        arguments.append(f"--model-config-name={name}")
    return arguments


def dead_stubs(proc: Path) -> dict[str, int]:
    """Processes of the Python backend that died and that the server has not replaced: pid → the server's pid."""
    dead = {}
    for stat in proc.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended just now
            pid, _, rest = stat.read_text().partition(" (")
            name, _, rest = rest.rpartition(") ")
            state, parent = rest.split()[:2]
            if state == "Z" and "triton_python_backend_stub".startswith(name):  # the kernel keeps 15 letters
                dead[pid] = int(parent)
    return dead


def check() -> None:
    """Return if the server is alive, raise OSError if not, and end a server that has lost a backend's process.

    Triton never replaces one (killed for memory, crashed): it answers "Stub process is not healthy" for ever, with
    all its health and readiness endpoints at 200. Ending it hands the matter to the container's restart policy.
    """
    # Not urllib: it obeys the http_proxy that a Docker client's settings put into every container.
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=2)
    connection.request("GET", "/v2/health/live")
    if (status := connection.getresponse().status) != 200:
        raise OSError(f"/v2/health/live answers {status}")
    before = dead_stubs(Path("/proc"))
    if before:
        time.sleep(1)  # one that is being unloaded is gone by then
        for pid, server in dead_stubs(Path("/proc")).items():
            if pid in before:
                os.kill(server, signal.SIGTERM)
                raise OSError(f"backend process {pid} is dead: ending the server")


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        check()
        return
    os.umask(0o027)  # the web container shares our group and may not write our segments
    prepare_shared_memory()
    answer = subprocess.run([SERVER, "--help"], capture_output=True, text=True, check=False)
    arguments = command(answer.stdout + answer.stderr, dict(os.environ), backend_directory(Path("/tmp/backends")))
    os.execv(SERVER, arguments)


if __name__ == "__main__":
    main()
