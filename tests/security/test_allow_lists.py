"""No file reaches a demuxer or a decoder but those of the lists, not even while it is opened: neither in the decoder
child, nor in the client, nor in the exporter, which reads the videos of a folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from cliplane.decoder.container import LIBRARY_ERRORS, open_container
from cliplane.decoder.media import HEAD_BYTES, Limits, sniff
from cliplane.errors import CliplaneError
from cliplane_client.source import open_video
from exporter import clips

from tests import media

LIMITS = Limits(4096 * 2304, 7200.0, 1_000_000, 16, 0.0, "h264")


def by_decoder(path: Path) -> None:
    with path.open("rb") as file:
        open_container(file.fileno(), None, LIMITS)[0].close()


def by_client(path: Path) -> None:
    open_video(path)[0].close()


def by_exporter(path: Path) -> None:
    with path.open("rb") as file:
        open_container(file.fileno(), None, clips.LIMITS)[0].close()


OPENERS = {"decoder": by_decoder, "client": by_client, "exporter": by_exporter}
REFUSED = (*LIBRARY_ERRORS, CliplaneError)


@pytest.fixture
def messages() -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """What FFmpeg says meanwhile: (who, what). A decoder that is given nonsense says so."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    with av.logging.Capture(local=False) as captured:
        yield lambda: [(name, text) for _, name, text in captured]
    av.logging.set_level(before)


def of_codec(codec: str, pixels: str, container: str) -> bytes:
    """A video of a codec that is on no list, with nonsense in its packets: whoever decodes one complains."""
    whole = media.encode(media.moving_camera("static", frames=3), container=container, codec=codec, pixels=pixels)
    with av.open(io.BytesIO(whole), "r") as read:
        packets = [bytes(packet) for packet in read.demux(video=0) if packet.size > 64]
    for packet in packets:
        whole = whole.replace(packet, packet[:16] + b"\xa5" * (len(packet) - 16))
    return whole


CODECS = {
    "JPEG 2000": ("jpeg2000", "rgb24", "mov"),
    "TIFF": ("tiff", "rgb24", "mov"),
    "FFV1": ("ffv1", "yuv420p", "avi"),
}


@pytest.mark.parametrize(
    ("opener", "codec"),
    # The exporter's list has FFV1.
    [(opener, codec) for opener in OPENERS for codec in CODECS if (opener, codec) != ("exporter", "FFV1")],
)
def test_a_codec_of_no_list_is_not_decoded_to_look_at_it(
    tmp_path: Path, messages: Callable[[], list[tuple[str, str]]], opener: str, codec: str
) -> None:
    name, pixels, container = CODECS[codec]
    path = tmp_path / "video"
    path.write_bytes(of_codec(name, pixels, container))
    said_before = len(messages())
    with pytest.raises(REFUSED):
        OPENERS[opener](path)
    said = [text for who, text in messages()[said_before:] if who == name]
    assert all("not on whitelist" in text for text in said), said


PLAYLISTS = {
    "HLS": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
    "DASH": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "SDP": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
}
HEADS = {
    "none": b"",
    "Matroska": b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska\x42\x87\x81\x02\x42\x85\x81\x02",
    "AVI": b"RIFF\xff\x00\x00\x00AVI LIST",
    "MP4": b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp41",
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("playlist", PLAYLISTS)
@pytest.mark.parametrize("opener", OPENERS)
def test_a_list_of_other_files_is_read_by_nobody(
    tmp_path: Path, messages: Callable[[], list[tuple[str, str]]], opener: str, playlist: str, head: str
) -> None:
    path = tmp_path / "video"
    path.write_bytes(HEADS[head] + PLAYLISTS[playlist])
    with pytest.raises(REFUSED):
        OPENERS[opener](path)
    others = {"hls", "dash", "concat", "sdp", "tcp", "http", "rtp", "udp"}
    said = [text for who, text in messages() if who in others]
    assert all("not on whitelist" in text for text in said), said


SEQUENCE = b"\0\0\0\1\x67\x42\x00\x1e\xab\x40\x50\x1e\xd0\0\0\0\1\x68\xce\x3c\x80\0\0\0\1\x65\x88\x84" + b"\x11" * 60
OTHERS = {
    "sdp": (b"\nv=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", b"\n"),
    "mxf": (bytes.fromhex("060e2b34020501010d010201010204008300000058"), b"\0"),
    "h264": (SEQUENCE * 20, b"\0"),
}
"""What FFmpeg takes for a file of each of these demuxers, whatever the first byte is."""


@pytest.mark.parametrize("demuxer", OTHERS)
@pytest.mark.parametrize("opener", OPENERS)
def test_the_first_bytes_of_one_container_do_not_open_another_s_demuxer(
    tmp_path: Path, messages: Callable[[], list[tuple[str, str]]], opener: str, demuxer: str
) -> None:
    content, filler = OTHERS[demuxer]
    packet, packets = 188, 12
    file = bytearray((b"G" + content).ljust(packet * packets, filler))
    file[::packet] = b"G" * packets  # to whom looks at the first bytes, an MPEG transport stream
    assert sniff(bytes(file[:HEAD_BYTES])) == "mpegts"
    path = tmp_path / "video"
    path.write_bytes(file)
    av.logging.set_level(av.logging.DEBUG)  # also that which says by which demuxer, and how probable it is
    with pytest.raises(REFUSED):
        OPENERS[opener](path)
    said = [text for who, text in messages() if who == demuxer]
    assert not said or any("not on whitelist" in text for text in said), said
