"""Start Triton in this container: `launch.py [OPTION OF THE SERVER ...]`, or see that it is well: `launch.py --check`.

Standard library only, for it also runs in NVIDIA's own image. Becomes the server by exec, so that signals reach it.
The server is reached by one door alone, a unix socket in a folder that it shares with the web container (ADR 10).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

SERVER = "/opt/tritonserver/bin/tritonserver"
SHM = Path("/dev/shm")
SEGMENT_PREFIX = "triton_python_"
MARKER = SHM / "cliplane-triton"
OWN_BACKENDS = Path("/opt/backends")
DOOR = Path("/run/triton/grpc.sock")
SOCKET = f"{DOOR}:8001"
"""The server appends the port to any address, so this is the name of the file."""

# System V IPC and POSIX message queues on x86-64 (syscalls(2)): shmget … shmctl, semget … semctl, shmdt … msgctl,
# semtimedop, mq_open … mq_getsetattr.
IPC_CALLS = (*range(29, 32), *range(64, 72), 220, *range(240, 246))
AUDIT_ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000


class WrongUser(Exception):
    """This container's uid and gid may not do what its work needs."""


def prepare_shared_memory() -> None:
    """Leave the shared /dev/shm as a first start would find it, and show that it is shared.

    It outlives this container, so a Triton that was killed has left its backend's segments there. The marker lets
    the web container tell "not one /dev/shm" from "not allowed to open".
    """
    for old in (*SHM.glob(f"{SEGMENT_PREFIX}*"), MARKER):
        # lstat: others may write in this directory, and a link of theirs must not stop the start.
        with contextlib.suppress(FileNotFoundError):
            if old.lstat().st_uid == os.getuid():
                old.unlink()
    with contextlib.suppress(PermissionError):  # somebody else's file of that name is there, and shows the same
        MARKER.touch(mode=0o440)


def close_ipc_calls() -> None:
    """Refuse the calls that reach the host's IPC objects, for good: its IPC namespace is this container's (ADR 10).

    Shared memory in files, which is all that the hand-off needs, is not among them. A filter of seccomp by hand, since
    no Python library for it is in NVIDIA's image; docs.kernel.org/userspace-api/seccomp_filter.html.
    """
    if platform.machine() != "x86_64":
        print("launch.py: System V IPC is open: its calls are known for x86-64 only", file=sys.stderr, flush=True)
        return
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET|K
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    steps = [(load, 0, 0, 4), (equal, 1, 0, AUDIT_ARCH_X86_64), (end, 0, 0, refuse)]
    steps += [(load, 0, 0, 0), (at_least, 0, 1, X32_BIT), (end, 0, 0, refuse)]
    for call in IPC_CALLS:
        steps += [(equal, 0, 1, call), (end, 0, 0, refuse)]
    steps.append((end, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privs, set_seccomp, mode_filter = 38, 22, 2
    if libc.prctl(no_new_privs, 1, 0, 0, 0) or libc.prctl(set_seccomp, mode_filter, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def prepare_door() -> None:
    """See that the server can listen, and that only its group can connect.

    Raises:
        WrongUser: the folder is another uid's.
    """
    if not os.access(DOOR.parent, os.W_OK):
        raise WrongUser(f"{DOOR.parent} cannot be written by {os.getuid()}:{os.getgid()}; it is for 10001:10000")
    Path(SOCKET).unlink(missing_ok=True)


def backend_directory(scratch: Path) -> Path:
    """One directory with the server's own backends and ours: Triton takes only one."""
    scratch.mkdir(exist_ok=True)
    own = OWN_BACKENDS.iterdir() if OWN_BACKENDS.exists() else []  # NVIDIA's image has an openvino of its own
    for backend in (*own, *Path("/opt/tritonserver/backends").iterdir()):
        link = scratch / backend.name
        if not link.exists():
            link.symlink_to(backend)
    return scratch


def command(help_text: str, environ: dict[str, str], backends: Path, more: list[str]) -> list[str]:
    """The command line; `help_text` is the server's own, which says what this version knows. `more` wins: the
    exporter and the benchmarks open a port so."""
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
        # No port: whoever reaches one can end 2.51 (docs/security.md) or have it write into a lane's region.
        "--allow-http=false",
        "--allow-metrics=false",
        f"--grpc-address=unix:{DOOR}",
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
    return arguments + more


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


def http2_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def is_live(path: str) -> bool:
    """Whether the server behind this socket answers gRPC's ServerLive with true.

    One call by hand, 1 ms: a gRPC library is not in NVIDIA's image, and would take half a second to import.
    Headers are sent as literals (RFC 7541, 6.2.2); of the answer only the message is read.
    """
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/inference.GRPCInferenceService/ServerLive",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    head = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    settings, headers_end, data_end = http2_frame(4, 0, 0), http2_frame(1, 4, 1, head), http2_frame(0, 1, 1, bytes(5))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(path)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + headers_end + data_end)
        with connection.makefile("rb") as response:
            while len(frame := response.read(9)) == 9:
                payload = response.read(int.from_bytes(frame[:3]))
                kind, flags = frame[3:5]
                if kind == 0:  # DATA
                    return payload == b"\0\0\0\0\2\x08\1"  # a message of two bytes: field 1, true
                if kind == 1 and flags & 1:  # HEADERS that end the stream: an error and no message
                    return False
    return False


def check() -> None:
    """Return if the server is alive, raise OSError if not, and end a server that has lost a backend's process.

    Triton never replaces one (killed for memory, crashed): it answers "Stub process is not healthy" for ever, with
    all its health and readiness endpoints at 200. Ending it hands the matter to the container's restart policy.
    """
    if not is_live(SOCKET):
        raise OSError("the server does not say that it is live")
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
    # Web shares our group: it may connect to the socket. The Python backend makes its segments 0640 by itself.
    os.umask(0o007)
    prepare_door()
    prepare_shared_memory()
    close_ipc_calls()
    usage = subprocess.run([SERVER, "--help"], capture_output=True, text=True, check=False)
    backends = backend_directory(Path("/tmp/backends"))
    os.execv(SERVER, command(usage.stdout + usage.stderr, dict(os.environ), backends, sys.argv[1:]))


if __name__ == "__main__":
    main()
