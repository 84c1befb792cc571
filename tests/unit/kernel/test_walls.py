"""What a process behind the walls can no longer do. Each wall is put up in a process of its own, for it stays."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cliplane.kernel import landlock

LAUNCH = Path(__file__).parents[3] / "services" / "triton" / "launch.py"

SHMGET = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0, 4096, 0o1600), ctypes.get_errno())
print(libc.mq_open(b"/cliplane-test", 0o102, 0o600, None), ctypes.get_errno())
open("/dev/shm/cliplane-test", "w").close()
import os; os.unlink("/dev/shm/cliplane-test")
"""


def run(code: str) -> list[str]:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the calls' numbers are known for x86-64")
@pytest.mark.parametrize(
    "close",
    [
        "from cliplane.kernel import walls; walls.close_ipc_calls()",
        f"import runpy; runpy.run_path({str(LAUNCH)!r})['close_ipc_calls']()",
    ],
    ids=["web", "triton"],
)
def test_no_object_of_the_host_s_ipc_namespace_can_be_reached(close: str) -> None:
    assert run(close + "\n" + SHMGET) == ["-1 1", "-1 1"]  # EPERM


def test_gunicorn_has_no_sockets_but_unix_ones() -> None:
    code = """
import errno, socket
from cliplane.kernel import walls
walls.close_sockets()
socket.socket(socket.AF_UNIX), socket.socketpair()
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try: socket.socket(family, kind)
        except OSError as exc: print(errno.errorcode[exc.errno])
"""
    assert run(code) == ["EAFNOSUPPORT"] * 6


def test_nginx_has_no_sockets_but_unix_and_plain_tcp_ones() -> None:
    code = """
import errno, socket
from cliplane.kernel import walls
walls.close_datagrams()
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socketpair()
for family in (socket.AF_INET, socket.AF_INET6):
    socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC).close()
    socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP).close()
MPTCP, SCTP = 262, 132
for family, kind, protocol in (
    (socket.AF_INET, socket.SOCK_DGRAM, 0),
    (socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0),
    (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    (socket.AF_INET, socket.SOCK_SEQPACKET, SCTP),
    (socket.AF_INET, socket.SOCK_STREAM, SCTP),
    (socket.AF_INET6, socket.SOCK_STREAM, MPTCP),
    (socket.AF_NETLINK, socket.SOCK_RAW, 0),
    (40, socket.SOCK_STREAM, 0),  # vsock, to the host of a virtual machine
    (0, socket.SOCK_STREAM, 0),
    (9, socket.SOCK_STREAM, 0),
):
    try: socket.socket(family, kind, protocol)
    except OSError as exc: print(errno.errorcode[exc.errno])
    else: print(family, kind, protocol)
"""
    assert run(code) == ["EAFNOSUPPORT"] * 10


def test_who_sends_webhooks_looks_up_names_and_has_no_other_sockets() -> None:
    code = """
import errno, socket
from cliplane.kernel import walls
walls.close_datagrams(but_udp=True)
for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM): socket.socket(family, kind).close()
print(socket.getaddrinfo("localhost", 443, type=socket.SOCK_STREAM)[0][4][1])
for family, kind, protocol in (
    (socket.AF_INET, socket.SOCK_STREAM, 262),
    (socket.AF_INET, socket.SOCK_DGRAM, 136),  # UDP-Lite
    (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    (socket.AF_NETLINK, socket.SOCK_RAW, 0),
    (40, socket.SOCK_STREAM, 0),
):
    try: socket.socket(family, kind, protocol)
    except OSError as exc: print(errno.errorcode[exc.errno])
    else: print(family, kind, protocol)
"""
    assert run(code) == ["443", *["EAFNOSUPPORT"] * 5]


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock knows no TCP")
def test_a_port_can_be_listened_at_and_none_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_port:
        code = f"""
import socket
from cliplane.kernel import walls
assert walls.close_tcp()
with socket.create_server(("127.0.0.1", 0)): print("listens")
try: socket.create_connection(("127.0.0.1", {open_port.getsockname()[1]}))
except PermissionError: print("refused")
"""
        assert run(code) == ["listens", "refused"]


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock knows no TCP")
def test_ports_of_webhooks_stay_open_and_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs, socket.create_server(("127.0.0.1", 0)) as another:
        code = f"""
import socket
from cliplane.kernel import walls
assert walls.close_tcp([{theirs.getsockname()[1]}])
socket.create_connection(("127.0.0.1", {theirs.getsockname()[1]})).close()
try: socket.create_connection(("127.0.0.1", {another.getsockname()[1]}))
except PermissionError: print("refused")
"""
        assert run(code) == ["refused"]
