"""What a hostile video would find if it took over the decoder. Each wall is tried from the inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cliplane.decoder import sandbox
from cliplane.kernel import landlock

MEMORY_BYTES = 512 * 1024 * 1024

PREPARE = """
import ctypes, errno, mmap, os, pathlib, resource, signal, socket, subprocess, sys, threading
from cliplane.kernel import landlock
from cliplane.decoder import sandbox
folder = pathlib.Path(sys.argv[1])
video = os.open(folder / "video", os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
"""
ENTER = f"""
sandbox.enter({MEMORY_BYTES})
sandbox.limit_cpu(1)
"""


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code, str(folder)],
        env=os.environ | sandbox.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def inside(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process that has entered the sandbox; it has the file `video` of a folder open."""
    return run(folder, ENTER + code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "video").write_text("frames")
    (tmp_path / "other").write_text("another's")
    return tmp_path


NOT_PERMITTED = [
    "open(folder / 'video')",
    "open(folder / 'other')",
    "open(folder / 'video', 'w')",
    "open(folder / 'new', 'x')",
    "os.open('/tmp', os.O_TMPFILE | os.O_WRONLY)",
    "os.open('/proc/self/fd/%d' % video, os.O_RDONLY)",
    "open('/etc/passwd')",
    "open('/proc/self/mem')",
    "os.listdir(folder)",
    "os.listdir('/dev/shm')",
    "os.stat(folder / 'other')",
    "os.readlink('/proc/self/exe')",
    "os.unlink(folder / 'video')",
    "os.rename(folder / 'video', folder / 'other')",
    "os.mkdir(folder / 'folder')",
    "os.link(folder / 'video', folder / 'link')",
    "os.symlink('/etc/passwd', folder / 'link')",
    "os.mkfifo(folder / 'fifo')",
    "os.chmod(folder / 'video', 0o777)",
    "os.truncate(folder / 'video', 0)",
    "os.ftruncate(video, 0)",
    "os.utime(folder / 'video')",
    "os.memfd_create('x')",
    "os.pipe()",
    "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair()",
    "os.execv('/bin/true', ['true'])",
    "os.fork()",
    "os.kill(os.getppid(), signal.SIGTERM)",
    "os.kill(os.getppid(), 0)",
    "signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)",
    "os.chroot('/')",
    "os.unshare(os.CLONE_NEWUSER)",
    "os.setpriority(os.PRIO_PROCESS, 0, -1)",
    "os.sched_setaffinity(0, {0})",
    "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    # setuid, ptrace, process_vm_readv, mount, bpf, io_uring_setup, userfaultfd, keyctl, prctl
    *(
        f"if libc.syscall({number}, 0, 0, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), '')"
        for number in (105, 101, 310, 165, 321, 425, 323, 250, 157)
    ),
]


@pytest.mark.parametrize("code", NOT_PERMITTED)
def test_it_is_not_permitted(folder: Path, code: str) -> None:
    done = inside(folder, f"try:\n    {code}\nexcept OSError as e: print(errno.errorcode[e.errno])")
    assert done.stdout.strip() in ("EPERM", "EACCES"), done


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
@pytest.mark.parametrize("path", ["folder / 'other'", "'/etc/passwd'", "'/proc/self/mem'", "'/dev/null'"])
def test_landlock_alone_lets_no_file_be_opened(folder: Path, path: str) -> None:
    done = run(
        folder,
        "libc.prctl(38, 1, 0, 0, 0)\nlandlock.forbid_everything()\n"
        f"try: open({path})\nexcept OSError as e: print(errno.errorcode[e.errno])",
    )
    assert done.stdout.strip() == "EACCES", done


THREAD = """
go = threading.Event()
def wait():
    go.wait()
    try: open("/etc/passwd")
    except OSError as e: print(errno.errorcode[e.errno])
thread = threading.Thread(target=wait)
thread.start()
"""


def test_nobody_enters_with_a_thread_that_the_walls_would_not_hold(folder: Path) -> None:
    done = run(folder, f"{THREAD}\ntry: sandbox.enter({MEMORY_BYTES})\nexcept sandbox.NotAlone: print('no')\ngo.set()")
    assert done.stdout.split() == ["no"], done


def test_a_thread_that_was_not_seen_is_held_all_the_same(folder: Path) -> None:
    done = run(folder, f"{THREAD}\nlibc.prctl(38, 1, 0, 0, 0)\nsandbox._restrict_system_calls()\ngo.set()")
    assert done.stdout.strip() == "EPERM", done


def test_the_libraries_start_no_thread(folder: Path) -> None:
    done = run(folder, "import av, decord, numpy\nprint(len(os.listdir('/proc/self/task')))")
    assert done.stdout.strip() == "1", done


def test_the_work_can_be_done(folder: Path) -> None:
    done = inside(
        folder,
        """
assert os.read(video, 100) == b"frames"
assert mmap.mmap(video, 6, prot=mmap.PROT_READ)[:] == b"frames"
thread = threading.Thread(target=lambda: print("thread"))
thread.start(); thread.join()
""",
    )
    assert done.stdout.strip() == "thread", done


def test_memory_has_an_end(folder: Path) -> None:
    done = inside(folder, f"try:\n    bytearray({MEMORY_BYTES})\nexcept MemoryError: print('no')")
    assert done.stdout.strip() == "no", done


def test_cpu_time_has_an_end(folder: Path) -> None:
    assert inside(folder, "while True: pass").returncode == -24  # SIGXCPU


def test_open_files_have_an_end(folder: Path) -> None:
    done = inside(folder, "try:\n    kept = [os.dup(video) for _ in range(100)]\nexcept OSError as e: print(e.errno)")
    assert done.stdout.strip() == "24", done  # EMFILE


def test_no_core_is_written(folder: Path) -> None:
    assert inside(folder, "print(resource.getrlimit(resource.RLIMIT_CORE))").stdout.strip() == "(0, 0)"


def test_it_dies_first_where_memory_runs_out(folder: Path) -> None:
    done = run(folder, f"file = open('/proc/self/oom_score_adj'){ENTER}print(file.read())")
    assert done.stdout.strip() == "1000", done
