"""What a hostile video would find if it took over the decoder. Each wall is tried from the inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cliplane.decoder import sandbox

MEMORY_BYTES = 512 * 1024 * 1024

ENTER = """
import ctypes, errno, os, pathlib, resource, signal, socket, subprocess, sys, threading
from cliplane.decoder import sandbox
spool = pathlib.Path(sys.argv[1])
sandbox.enter({memory}, [spool])
sandbox.limit_cpu(1)
libc = ctypes.CDLL(None, use_errno=True)
"""


def inside(spool: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process that has entered the sandbox, with `spool` to read."""
    program = ENTER.format(memory=MEMORY_BYTES) + code
    return subprocess.run(
        [sys.executable, "-c", program, str(spool)], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "video").write_text("frames")
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "spool"


@pytest.mark.parametrize(
    "code",
    [
        "open(spool / 'video', 'w')",
        "open(spool / 'video', 'r+')",
        "open(spool / 'new', 'x')",
        "os.open('/tmp', os.O_TMPFILE | os.O_WRONLY)",
        "os.unlink(spool / 'video')",
        "os.rename(spool / 'video', spool / 'other')",
        "os.mkdir(spool / 'folder')",
        "os.link(spool / 'video', spool / 'link')",
        "os.symlink('/etc/passwd', spool / 'link')",
        "os.mkfifo(spool / 'fifo')",
        "os.chmod(spool / 'video', 0o777)",
        "os.truncate(spool / 'video', 0)",
        "os.utime(spool / 'video')",
        "os.memfd_create('x')",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair()",
        "os.execv('/bin/true', ['true'])",
        "subprocess.run(['/bin/true'])",
        "os.fork()",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "os.kill(os.getppid(), 0)",
        "os.chroot('/')",
        "os.unshare(os.CLONE_NEWUSER)",
        "os.setpriority(os.PRIO_PROCESS, 0, -1)",
        "os.sched_setaffinity(0, {0})",
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
        # setuid, ptrace, process_vm_readv, mount, bpf, io_uring_setup, userfaultfd, keyctl, prctl
        *(
            f"if libc.syscall({number}, 0, 0, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), '')"
            for number in (105, 101, 310, 165, 321, 425, 323, 250, 157)
        ),
    ],
)
def test_it_is_not_permitted(spool: Path, code: str) -> None:
    done = inside(spool, f"try:\n    {code}\nexcept OSError as e: print(errno.errorcode[e.errno])")
    assert done.stdout.strip() in ("EPERM", "EACCES"), done


@pytest.mark.skipif(sandbox.landlock_version() == 0, reason="this kernel has no Landlock")
@pytest.mark.parametrize(
    "path", ["spool.parent / 'secret'", "'/etc/passwd'", "'/proc/1/environ'", "'/proc/self/mem'", "'/dev/shm'", "'/'"]
)
def test_no_file_can_be_read_but_the_spool_and_the_libraries(spool: Path, path: str) -> None:
    code = f"os.listdir({path})" if path in ("'/'", "'/dev/shm'") else f"open({path}, 'rb').read(1)"
    done = inside(spool, f"try:\n    {code}\nexcept OSError as e: print(errno.errorcode[e.errno])")
    assert done.stdout.strip() == "EACCES", done


def test_the_work_can_be_done(spool: Path) -> None:
    done = inside(
        spool,
        """
assert (spool / "video").read_text() == "frames"
import av, decord, wave  # libraries can still be loaded
thread = threading.Thread(target=lambda: print("thread"))
thread.start(); thread.join()
""",
    )
    assert done.stdout.strip() == "thread", done


def test_memory_has_an_end(spool: Path) -> None:
    done = inside(spool, f"try:\n    bytearray({MEMORY_BYTES})\nexcept MemoryError: print('no')")
    assert done.stdout.strip() == "no", done


def test_cpu_time_has_an_end(spool: Path) -> None:
    assert inside(spool, "while True: pass").returncode == -24  # SIGXCPU


def test_open_files_have_an_end(spool: Path) -> None:
    done = inside(
        spool, "try:\n    kept = [open(spool / 'video') for _ in range(100)]\nexcept OSError as e: print(e.errno)"
    )
    assert done.stdout.strip() == "24", done  # EMFILE


def test_no_core_is_written(spool: Path) -> None:
    assert inside(spool, "print(resource.getrlimit(resource.RLIMIT_CORE))").stdout.strip() == "(0, 0)"
