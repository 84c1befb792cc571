"""Walls around the web container's processes, put up before anything of a client's comes in: for good, and inherited.

`close_ipc_calls` and `close_tcp` hold all of them; `close_datagrams` holds nginx and who sends webhooks,
`close_sockets` gunicorn and what it starts. The decoder's own are `decoder/sandbox.py`. Must not be called where
threads run already.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterable

import pyseccomp

from cliplane.kernel import landlock

IPC_CALLS = (
    *("shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_ACCESS_NET_CONNECT_TCP = 2
_LANDLOCK_RULE_NET_PORT = 2
_PR_SET_NO_NEW_PRIVS = 38
_SOCK_TYPE_MASK = 0xF  # linux/net.h: above it are flags


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr, from version 4 on."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64))


class _Port(ctypes.Structure):
    """struct landlock_net_port_attr."""

    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def close_ipc_calls() -> None:
    """No System V IPC, no message queues: the IPC namespace is the host's (ADR 10), and files are enough for us."""
    calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in IPC_CALLS:
        calls.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    calls.load()


def close_sockets() -> None:
    """No sockets but unix ones, which lead to all that gunicorn speaks to; nor io_uring, which could open others."""
    calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    calls.add_rule(pyseccomp.ERRNO(errno.EAFNOSUPPORT), "socket", pyseccomp.Arg(0, pyseccomp.NE, int(socket.AF_UNIX)))
    _close_io_uring(calls)
    calls.load()


def _close_io_uring(calls: pyseccomp.SyscallFilter) -> None:
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        calls.add_rule(pyseccomp.ERRNO(errno.EPERM), name)


def close_datagrams(*, but_udp: bool = False) -> None:
    """No sockets but unix ones and plain TCP ones: nginx listens on TCP, and has no word to send by UDP, SCTP, MPTCP
    (which Landlock does not take for TCP), netlink or vsock. `but_udp`: names are looked up."""
    calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EAFNOSUPPORT)
    ip = (int(socket.AF_INET), int(socket.AF_INET6))
    for family in (0, *range(socket.AF_UNIX + 1, socket.AF_INET6)):
        if family not in ip:
            calls.add_rule(refused, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    calls.add_rule(refused, "socket", pyseccomp.Arg(0, pyseccomp.GT, int(socket.AF_INET6)))
    for family in ip:
        this = pyseccomp.Arg(0, pyseccomp.EQ, family)
        for kind in range(_SOCK_TYPE_MASK + 1):
            if kind != socket.SOCK_STREAM and not (but_udp and kind == socket.SOCK_DGRAM):
                calls.add_rule(refused, "socket", this, pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _SOCK_TYPE_MASK, kind))
        calls.add_rule(refused, "socket", this, pyseccomp.Arg(2, pyseccomp.GT, int(socket.IPPROTO_TCP)))
    _close_io_uring(calls)
    calls.load()


def close_tcp(but_ports: Iterable[int] = ()) -> bool:
    """No TCP connection is opened to anywhere, but to these ports; to accept one stays possible. False: this kernel's
    Landlock cannot.

    https://docs.kernel.org/userspace-api/landlock.html, since version 4 of its interface (Linux 6.7).
    """
    if landlock.version() < 4:
        return False
    handled = _Ruleset(0, _LANDLOCK_ACCESS_NET_CONNECT_TCP)
    ruleset = _call(_LANDLOCK_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(16), ctypes.c_uint32(0))
    for port in but_ports:
        rule = _Port(_LANDLOCK_ACCESS_NET_CONNECT_TCP, port)
        _call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_NET_PORT, ctypes.byref(rule), ctypes.c_uint32(0))
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    _call(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)
    return True


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
