"""What the client opens of this machine's files: no more than the server would, and one file at a time."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from cliplane.decoder.media import CONTAINERS
from cliplane.settings import Settings
from cliplane_client.shrinking import choose
from cliplane_client.source import CODECS, DEMUXERS, open_video

from tests import media


def test_the_client_opens_nothing_that_the_server_would_not() -> None:
    assert set(DEMUXERS) <= set(CONTAINERS)
    assert set(CODECS) <= set(Settings().codecs.split(","))


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts"])
def test_a_video_is_opened(tmp_path: Path, container: str) -> None:
    path = tmp_path / "clip"
    path.write_bytes(media.encode(media.moving_camera("pan_left", frames=10), container=container, codec="mpeg4"))
    source, stream = open_video(path)
    with source:
        assert len(list(source.decode(stream))) == 10


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_a_file_that_names_another_is_not_followed(tmp_path: Path, text: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(media.clip("pan_left", frames=10))
    path = tmp_path / "list.mp4"
    path.write_text(text.format(tmp_path / "clip.mp4"))
    with pytest.raises(av.FFmpegError):
        open_video(path)
    assert choose(path, 64, "on", tmp_path, lambda: 0.0).path == path


def test_a_name_is_a_file_s_name_and_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(media.clip("pan_left", frames=10))
    for name in ("concat:clip.mp4", "file:clip.mp4", "subfile,,start,0,end,9,,:clip.mp4"):
        with pytest.raises(av.FFmpegError):
            open_video(Path(name))
    (tmp_path / "concat:clip.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes())
    open_video(Path("concat:clip.mp4"))[0].close()


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    path.write_bytes(
        media.encode(media.moving_camera("static", frames=1), container="image2pipe", codec="png", pixels="rgb24")
    )
    with pytest.raises(av.FFmpegError):
        open_video(path)
