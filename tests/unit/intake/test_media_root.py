"""The way from a client's path to an open file beneath the media root, and to no other."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cliplane.errors import CliplaneError, NoMediaRoot, NotARegularFile, PathNotFound, PathOutside, PathUnreadable
from cliplane.intake.media_root import open_media
from hypothesis import given
from hypothesis import strategies as st

SECRET = b"not for clients"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With a file at each depth, one outside, and links to it."""
    root = tmp_path / "root"
    (root / "2026" / "11").mkdir(parents=True)
    (root / "2026" / "11" / "cam3.mp4").write_bytes(b"cam3")
    (root / "Größe 录像\n.mp4").write_bytes(b"named")
    (tmp_path / "secret").write_bytes(SECRET)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "inner").symlink_to("2026")
    (root / "self").symlink_to("/proc/self")
    os.mkfifo(root / "fifo")
    return root


def read(path: str, root: Path) -> bytes:
    with open_media(path, root) as file:
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        return file.read()


@pytest.mark.parametrize("path", ["2026/11/cam3.mp4", "./2026//11/./cam3.mp4"])
def test_a_file_beneath_the_root_is_opened(root: Path, path: str) -> None:
    assert read(path, root) == b"cam3"
    assert read("Größe 录像\n.mp4", root) == b"named"


REFUSED: dict[str, type[CliplaneError]] = {
    "/etc/passwd": PathOutside,
    "//etc/passwd": PathOutside,
    "../secret": PathOutside,
    "2026/../../secret": PathOutside,
    "2026/11/../../../secret": PathOutside,
    "2026/..": PathOutside,
    "link": PathOutside,
    "up/secret": PathOutside,
    "inner/11/cam3.mp4": PathOutside,  # it leads nowhere else, and is a link
    "self/root/etc/passwd": PathOutside,
    "": PathNotFound,
    "2026/11/cam3.mp4\0.txt": PathNotFound,
    "2026/11/\ud800": PathNotFound,
    "2026/11/cam4.mp4": PathNotFound,
    "2026/11/cam3.mp4/": NotARegularFile,
    "2026/11/cam3.mp4/more": PathNotFound,
    "n" * 256: PathNotFound,
    "d/" * 3000 + "f": PathNotFound,
    "2026": NotARegularFile,
    "2026/": NotARegularFile,
    ".": NotARegularFile,
    "fifo": NotARegularFile,
}


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: ascii(path[:24]))
def test_whatever_is_no_file_beneath_the_root_is_refused_by_its_type(root: Path, path: str) -> None:
    with pytest.raises(REFUSED[path]):
        open_media(path, root)


def test_devices_and_sockets_are_refused_and_never_opened(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        with pytest.raises(NotARegularFile):
            open_media("socket", root)
    with pytest.raises(NotARegularFile):
        open_media("zero", Path("/dev"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_says_so(root: Path) -> None:
    (root / "2026" / "11" / "cam3.mp4").chmod(0)
    with pytest.raises(PathUnreadable):
        open_media("2026/11/cam3.mp4", root)


@pytest.mark.parametrize("root", [Path("/nowhere/at/all"), Path("/dev/null")])
def test_without_a_root_no_path_is_taken(root: Path) -> None:
    with pytest.raises(NoMediaRoot):
        open_media("2026/11/cam3.mp4", root)


@pytest.mark.parametrize("change", ["replaced by a link", "removed"])
def test_what_is_put_in_a_files_place_meanwhile_is_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real_open: Callable[..., int] = os.open

    def open_and_change(name: object, flags: int, **options: int) -> int:
        fd = real_open(name, flags, **options)
        if name == "cam3.mp4" and flags & os.O_PATH:  # it has been looked at, and is not open yet
            file = root / "2026" / "11" / "cam3.mp4"
            file.unlink()
            if change != "removed":
                file.symlink_to(root.parent / "secret")
        return fd

    monkeypatch.setattr(os, "open", open_and_change)
    with pytest.raises((PathOutside, PathUnreadable, PathNotFound)):
        open_media("2026/11/cam3.mp4", root)


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in REFUSED:
        with pytest.raises(CliplaneError):
            open_media(path, root)
    read("2026/11/cam3.mp4", root)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


_NAMES = st.sampled_from(["..", ".", "", "2026", "11", "cam3.mp4", "link", "up", "self", "root", "secret", "etc", "/"])


@given(st.lists(_NAMES, max_size=8).map("/".join))
def test_no_path_reaches_anything_else(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "walked"
    if not folder.exists():
        (folder / "root" / "2026" / "11").mkdir(parents=True)
        (folder / "root" / "2026" / "11" / "cam3.mp4").write_bytes(b"cam3")
        (folder / "secret").write_bytes(SECRET)
        (folder / "root" / "link").symlink_to(folder / "secret")
        (folder / "root" / "up").symlink_to("..")
        (folder / "root" / "self").symlink_to("/proc/self")
    try:
        assert read(path, folder / "root") == b"cam3"
    except CliplaneError:
        return
    assert ".." not in path.split("/")
