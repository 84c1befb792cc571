"""What the decoder child takes away from itself before it sees a file.

A hostile video that takes over the demuxer must find nothing to use: no network, no second program, no file but the one
it came in, little memory, and no life after its lane's.

Each wall stands by itself: seccomp (which system calls there are, and none of them takes a path), Landlock (no file,
see `kernel/landlock.py`), limits (how much). They hold for threads that are made later; before, there may be none.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
from pathlib import Path

import pyseccomp

from cliplane.kernel import landlock

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

OPEN_FILES = 64

ENVIRONMENT = {
    # Libraries that would start threads when they are loaded, before the walls.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Each arena of the C library reserves 64 MiB of address space, and by default each thread may have its own.
    "MALLOC_ARENA_MAX": "2",
}
"""What a process that will enter has to be started with."""

# All that Python, numpy and FFmpeg need to read an open file, to decode on threads, and to talk by an open socket; what
# they load later is loaded before. Everything else answers EPERM, as if it were forbidden to this user: libraries cope
# with that.
_ALLOWED = (
    *("read", "readv", "pread64", "write", "lseek", "close", "dup", "dup2", "fcntl", "fstat", "recvmsg"),
    *("poll", "ppoll", "select", "pselect6", "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity"),
    *("brk", "munmap", "mremap", "madvise", "membarrier"),
    *("rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group", "gettid", "getpid"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times"),
    *("getrandom", "sysinfo", "getrusage", "getcpu"),
)

_CLONE_THREAD = 0x10000


class NotAlone(RuntimeError):
    """There is a thread that the walls would not hold."""


def enter(memory_bytes: int) -> None:
    """Limit this process for good.

    Args:
        memory_bytes: address space.

    Raises:
        NotAlone: this thread is not the only one.
        OSError: the kernel refused a wall that it should have.
    """
    if threads := len(list(Path("/proc/self/task").iterdir())) - 1:
        raise NotAlone(f"{threads} threads before the walls")
    parent = os.getppid()
    Path("/proc/self/oom_score_adj").write_text("1000")  # before the lanes, where memory runs out
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
    landlock.forbid_everything()
    _restrict_system_calls()


def limit_cpu(more_s: float) -> None:
    """From now on this process may use so much CPU time; then the kernel ends it with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + more_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for `signal_number` when this process's parent dies: an orphan would keep its memory."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def _restrict_system_calls() -> None:
    calls = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    # All threads, also one that the check in `enter` did not see.
    calls.set_attr(pyseccomp.Attr.CTL_TSYNC, 1)
    for name in _ALLOWED:
        calls.add_rule(pyseccomp.ALLOW, name)
    # Memory that can be executed is that of the libraries which are loaded: nothing can be added.
    for name in ("mmap", "mprotect"):
        calls.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    # A thread, no process. clone3 hides its flags in memory: the C library falls back to clone when there is none.
    calls.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    calls.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    # Its own limits, which can only become narrower.
    calls.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    calls.load()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
