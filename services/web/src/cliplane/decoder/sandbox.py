"""What the decoder child takes away from itself before it sees a file.

A hostile video that takes over the demuxer must find nothing to use: no network, no second program, no file to
write, no file to read but the spool and the libraries, little memory, and no life after its lane's.

Each wall stands by itself: seccomp (which system calls there are), Landlock (which files), limits (how much).
Landlock is used where the kernel has it, 5.13 and later; the others always.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
from pathlib import Path

import pyseccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

OPEN_FILES = 64

# All that Python, numpy and FFmpeg need to read a file, to decode on threads, and to talk to the pipes. Everything else
# answers EPERM, as if it were forbidden to this user: libraries cope with that.
_ALLOWED = (
    *("read", "readv", "pread64", "write", "writev", "lseek", "close", "dup", "fcntl", "poll", "ppoll"),
    *("select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "pipe2"),
    *("stat", "fstat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat"),
    *("getdents64", "getcwd", "statfs", "fstatfs"),
    *("brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "membarrier"),
    *("futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler"),
    *("set_tid_address", "arch_prctl", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times"),
    *("getrandom", "uname", "sysinfo", "getrusage", "getrlimit", "getcpu"),
)

_CLONE_THREAD = 0x10000
# O_TMPFILE without the bit of O_DIRECTORY that it contains: folders may be listed.
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)

# linux/landlock.h; system call numbers are the same on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Rights by the version of the interface that brought them. All are handled: what is not granted below is refused.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NET_RIGHTS = {4: (1 << 0) | (1 << 1)}  # bind, connect
_SCOPES = {6: (1 << 0) | (1 << 1)}  # abstract unix sockets, signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def enter(memory_bytes: int, readable: list[Path]) -> None:
    """Limit this process for good.

    Args:
        memory_bytes: address space.
        readable: folders whose files may be read, beside Python's and the system's libraries.

    Raises:
        OSError: the kernel refused a wall that it should have.
    """
    parent = os.getppid()
    for option, value in (
        (_PR_SET_NO_NEW_PRIVS, 1),
        (_PR_SET_DUMPABLE, 0),
        (_PR_SET_PDEATHSIG, signal.SIGKILL),
    ):
        _prctl(option, value)
    if os.getppid() != parent:  # the lane died before PDEATHSIG was set
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    _restrict_files([*readable, *_libraries()])
    _restrict_system_calls()


def limit_cpu(more_s: float) -> None:
    """From now on this process may use so much CPU time; then the kernel ends it with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + more_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for `signal_number` when this process's parent dies: an orphan would keep its memory."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def landlock_version() -> int:
    """The version of the kernel's Landlock; 0: it has none, or it is switched off."""
    version: int = _libc().syscall(
        _LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION)
    )
    return max(version, 0)


def _libraries() -> list[Path]:
    paths = {Path(p) for p in (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc/ld.so.cache", *sys.path)}
    return [path for path in sorted(paths) if path.exists()]


def _restrict_files(readable: list[Path]) -> None:
    version = landlock_version()
    if version == 0:
        return
    handled = _Ruleset(*(_rights(table, version) for table in (_FILE_RIGHTS, _NET_RIGHTS, _SCOPES)))
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_LANDLOCK_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
    for path in readable:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        rule = _PathBeneath(rights, fd)
        _call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
        os.close(fd)
    _call(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def _rights(table: dict[int, int], version: int) -> int:
    return sum(rights for since, rights in table.items() if since <= version)


def _restrict_system_calls() -> None:
    calls = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED:
        calls.add_rule(pyseccomp.ALLOW, name)
    # Files can be opened to be read, not to be written.
    calls.add_rule(pyseccomp.ALLOW, "openat", pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _WRITES, os.O_RDONLY))
    calls.add_rule(pyseccomp.ALLOW, "open", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _WRITES, os.O_RDONLY))
    # A thread, no process. clone3 hides its flags in memory: the C library falls back to clone when there is none.
    calls.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    calls.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    # Its own limits, which can only become narrower; and abort(), which signals itself.
    calls.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    calls.add_rule(pyseccomp.ALLOW, "tgkill", pyseccomp.Arg(0, pyseccomp.EQ, os.getpid()))
    calls.load()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
