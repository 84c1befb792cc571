"""Changes a file as cameras, browsers and careless tools do: without encoding it anew."""

from __future__ import annotations

import random
import struct
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests import media

Packet = Any
ONE = 1 << 16  # in a display matrix
Change = Callable[[int, Packet], Packet | None]
"""Of packet n of the video; None: it is left out."""


def remuxed(
    data: bytes,
    container: str,
    *,
    change: Change = lambda _, packet: packet,
    matrix: tuple[int, ...] | None = None,
    codec_filter: str = "",
    muxer: dict[str, str] | None = None,
) -> bytes:
    """The video of a file in another container. `matrix`: FFmpeg's display matrix; `codec_filter`: a bitstream
    filter."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(data)
        with av.open(str(source)) as read, av.open(str(target), "w", format=container, options=muxer or {}) as written:
            stream: Any = read.streams.video[0]
            output: Any = written.add_stream_from_template(stream)
            output.time_base = stream.time_base
            if matrix:
                output.set_display_matrix(matrix)
            filter_: Any = av.bitstream.BitStreamFilterContext(codec_filter, in_stream=stream) if codec_filter else None
            number = 0
            for packet in read.demux(stream):
                if packet.dts is None:
                    continue
                for ready in filter_.filter(packet) if filter_ else [packet]:
                    ready.is_keyframe = packet.is_keyframe
                    kept = change(number, ready)
                    number += 1
                    if kept is not None:
                        kept.stream = output
                        written.mux(kept)
        return target.read_bytes()


def shifted(by: int, after: int = 0) -> Change:
    """Times are later by so many units of the time base, from packet `after` on."""

    def change(number: int, packet: Packet) -> Packet:
        if number >= after:
            packet.pts, packet.dts = packet.pts + by, packet.dts + by
        return packet

    return change


def without(numbers: range) -> Change:
    """Some packets are missing."""
    return lambda number, packet: None if number in numbers else packet


def with_packet_of_zeros(data: bytes, number: int) -> bytes:
    """One packet of the video overwritten."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with av.open(file.name) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
    packet = packets[number]
    assert packet.pos is not None
    return data[: packet.pos] + bytes(packet.size) + data[packet.pos + packet.size :]


def _with_box(data: bytes, kind: bytes, place: Callable[[bytes], int], value: bytes) -> bytes:
    changed = bytearray(data)
    for start, end in media.boxes(data):
        if data[start + 4 : start + 8] == kind:
            at = start + place(data[start:end])
            changed[at : at + len(value)] = value
    return bytes(changed)


def with_media_duration(mp4: bytes, units: int) -> bytes:
    """mdhd says another duration (ISO/IEC 14496-12, 8.4.2)."""
    return _with_box(mp4, b"mdhd", lambda _: 24, units.to_bytes(4, "big"))


def with_duration(matroska: bytes, milliseconds: float) -> bytes:
    """The Segment's Duration, an element of 8 bytes, says another one (RFC 9559, 5.1.2.10)."""
    at = matroska.index(b"\x44\x89\x88") + 3
    return matroska[:at] + struct.pack(">d", milliseconds) + matroska[at + 8 :]


def without_rate(matroska: bytes) -> bytes:
    """As browsers write it: DefaultDuration, an element of 4 bytes at most, becomes a Void."""
    at = matroska.find(b"\x23\xe3\x83")
    if at < 0:
        return matroska
    size = 4 + (matroska[at + 3] & 0x7F)
    return matroska[:at] + bytes([0xEC, 0x80 | size - 2]) + bytes(size - 2) + matroska[at + size :]


def cover_first(mp4: bytes) -> bytes:
    """A cover in front of the video, both as streams: the video's is the second."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(mp4)
        with av.open(str(source)) as read, av.open(str(target), "w", format="matroska") as written:
            stream: Any = read.streams.video[0]
            cover: Any = written.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            output: Any = written.add_stream_from_template(stream)
            written.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
            for packet in read.demux(stream):
                if packet.dts is not None:
                    packet.stream = output
                    written.mux(packet)
        return target.read_bytes()


def with_audio_tracks(mp4: bytes, count: int) -> bytes:
    """So many mono tracks beside the video, as field recorders write them."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(mp4)
        with av.open(str(source)) as read, av.open(str(target), "w", format="mov") as written:
            stream: Any = read.streams.video[0]
            output: Any = written.add_stream_from_template(stream)
            tracks: list[Any] = [written.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(count)]
            for packet in read.demux(stream):
                if packet.dts is not None:
                    packet.stream = output
                    written.mux(packet)
            for track in tracks:
                frame = av.AudioFrame(format="s16", layout="mono", samples=800)
                frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
                written.mux(track.encode(frame))
        return target.read_bytes()


def mirrored_hevc(stream: bytes) -> bytes:
    """A raw stream with a display orientation SEI message before each keyframe: mirrored left to right (ITU-T H.265,
    D.2.17 and D.3.17)."""
    bits = 1 << 22 | 1 << 4 | 1 << 3  # mirrored, persistent, the trailing bit
    message = bytes([39 << 1, 1, 47, 3]) + bits.to_bytes(3, "big") + b"\x80"
    first, *units = stream.split(b"\x00\x00\x01")
    for number, unit in enumerate(units):
        if unit[0] >> 1 & 0x3F in (19, 20, 21):  # IDR, CRA
            units[number] = message + b"\x00\x00\x01" + unit
    return b"\x00\x00\x01".join([first, *units])


def with_hole(data: bytes, size: int) -> bytes:
    """So many bytes in the middle are zeros."""
    middle = len(data) // 2
    return data[:middle] + bytes(size) + data[middle + size :]


def from_first(data: bytes, first: bytes) -> bytes:
    """From where these bytes are for the first time."""
    return data[data.index(first) :]


def cut_before(data: bytes, last: bytes) -> bytes:
    """Cut off where these bytes are for the last time."""
    return data[: data.rindex(last)]


def in_packets_of(size: int, transport_stream: bytes) -> bytes:
    """A transport stream's packets of 188 bytes as 192 (a time stamp before each) or 204 (a check sum behind each)."""
    before, behind = (bytes(4), b"") if size == 192 else (b"", bytes(16))
    starts = range(0, len(transport_stream), 188)
    return b"".join(before + transport_stream[k : k + 188] + behind for k in starts)


def from_picture(transport_stream: bytes, number: int) -> bytes:
    """The stream as somebody finds it who tunes in at picture `number`: from its packet on (video at PID 0x100)."""
    starts = [
        k
        for k in range(0, len(transport_stream), 188)
        if transport_stream[k + 1 : k + 3] == b"\x41\x00"  # the start of a unit of PID 0x100
    ]
    return transport_stream[starts[number] :]


def with_index_of_noise(avi: bytes) -> bytes:
    """The index's places lead nowhere (AVI's idx1: kind, flags, place, size, of four bytes each)."""
    changed, rng = bytearray(avi), random.Random(1)
    for at in range(avi.rindex(b"idx1") + 8, len(avi) - 15, 16):
        changed[at + 8 : at + 12] = rng.randrange(len(avi)).to_bytes(4, "little")
    return bytes(changed)


def with_other_pids(transport_stream: bytes, by: int) -> bytes:
    """As another encoder numbers its packets; its tables, which are checked by sums, are written anew."""
    return remuxed(
        transport_stream, "mpegts", muxer={"mpegts_start_pid": str(by), "mpegts_pmt_start_pid": str(by + 512)}
    )


def without_head(mp4: bytes) -> bytes:
    """As QuickTime wrote it before there was an `ftyp`: the pictures come first, their places are told in `stco`."""
    parts = {mp4[start + 4 : start + 8]: mp4[start:end] for start, end in media.boxes(mp4)}
    before = mp4.index(parts[b"mdat"])
    moov = bytearray(parts[b"moov"])
    for start, _ in media.boxes(parts[b"moov"]):
        if moov[start + 4 : start + 8] == b"stco":
            for k in range(int.from_bytes(moov[start + 12 : start + 16], "big")):
                at = start + 16 + 4 * k
                moov[at : at + 4] = (int.from_bytes(moov[at : at + 4], "big") - before).to_bytes(4, "big")
    return parts[b"mdat"] + bytes(moov)
