"""The corpus: one entry a file, how it is made, what is right, and why it is here.

`SEQ` is a camera that pans to the left for 4 s, then tilts up for 4 s, at 25 frames a second: a part that is not looked
at, or looked at twice, shows in the views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests import media
from tests.corpus import rewriting as re
from tests.corpus.makers import (
    FAST,
    HEIGHT,
    PAN,
    SEQ,
    TILT,
    TURN,
    WIDTH,
    anamorphic,
    browser,
    copied_from_raw,
    damaged_stream,
    dv,
    field_rate_avi,
    gif_size,
    half_fast,
    hevc,
    joined_browser,
    joined_dvd,
    made,
    mpeg_1,
    part,
    phone,
    pictures,
    seq,
    time_damaged,
    turned,
    uneven_gif,
    vp9,
)


@dataclass(frozen=True)
class File:
    """`labels` of the four views in order; `seconds`, `frames` (None: whatever a damaged file has left) and `size` as
    answered; `warnings` that must be there, and no others may."""

    name: str
    why: str
    make: Callable[[], bytes]
    labels: tuple[str, ...] = SEQ
    seconds: float = 8
    frames: int | None = 200
    size: tuple[int, int] = (WIDTH, HEIGHT)
    warnings: tuple[str, ...] = ()


HALF: dict[str, Any] = {"seconds": 4, "frames": 100}
LATE: dict[str, Any] = {"seconds": 7.52, "frames": 188, "warnings": ("late-start",)}

FILES: tuple[File, ...] = (
    File("plain.mp4", "the yardstick", seq),
    # The packets outrank the headers
    File(
        "browser_vp8.webm",
        "MediaRecorder: seen as 1000 fps",
        lambda: browser("libvpx", "webm", **FAST),
        warnings=("rate-contradicted",),
    ),
    File(
        "browser_vp9.webm",
        "MediaRecorder of Firefox",
        lambda: browser("libvpx-vp9", "webm", **FAST),
        warnings=("rate-contradicted",),
    ),
    File(
        "browser_h264.mkv",
        "MediaRecorder of Chromium",
        lambda: browser("libx264", "matroska", bf="0", preset="veryfast"),
        warnings=("rate-contradicted",),
    ),
    File(
        "h264.avi",
        "copied into AVI by FFmpeg: the field rate, no times of showing",
        field_rate_avi,
    ),
    File(
        "mdhd_short.mp4",
        "mdhd's duration in the movie's timescale",
        lambda: re.with_media_duration(seq(), 8000),
        warnings=("duration-contradicted",),
    ),
    File(
        "absurd_duration.mkv",
        "refused as 9200000 s long",
        lambda: re.with_duration(seq("matroska"), 9.2e9),
        warnings=("duration-contradicted",),
    ),
    File(
        "fragmented.mp4",
        "a streaming recorder's: the index is in its fragments",
        lambda: re.remuxed(seq(), "mp4", muxer={"movflags": "frag_keyframe+empty_moov"}),
    ),
    # Time
    File(
        "joined.ts",
        "two recordings: the times start again",
        lambda: part(0, 100, "mpegts") + part(100, 200, "mpegts"),
        warnings=("clock-leapt",),
    ),
    File(
        "joined.flv",
        "a server's recording that was resumed",
        lambda: re.remuxed(part(0, 100), "flv") + re.remuxed(part(100, 200), "flv")[13:],
        warnings=("clock-leapt",),
    ),
    File("joined.mpg", "two parts of a DVD", joined_dvd, warnings=("clock-leapt",)),
    File(
        "joined.webm",
        "two recordings of a browser: FFmpeg's index leads to the second",
        joined_browser,
        warnings=("clock-leapt",),
    ),
    File(
        "joined.mkv",
        "two files, both with an index and B-frames",
        lambda: part(0, 100, "matroska") + part(100, 200, "matroska"),
        warnings=("clock-leapt",),
    ),
    File("time_damaged.ts", "one bit of a time: the video was 375 s long", time_damaged),
    File(
        "gap.ts",
        "a camera that was away for a minute",
        lambda: part(0, 100, "mpegts") + re.remuxed(part(100, 200), "mpegts", change=re.shifted(12800 * 60)),
        warnings=("clock-leapt",),
    ),
    File(
        "wraps.ts",
        "the clock of 33 bits ends after 26.5 hours",
        lambda: re.remuxed(seq(), "mpegts", change=re.shifted(round((2**33 / 90000 - 3) * 12800))),
    ),
    File(
        "late.ts",
        "joined in the middle of a GOP of 4 s",
        lambda: re.from_picture(seq("mpegts", gop=100, b_frames=0), 10),
        labels=TILT,
        **HALF,
        warnings=("late-start",),
    ),
    File(
        "late.mp4",
        "the first sample is no keyframe",
        lambda: re.remuxed(seq(gop=100, b_frames=0), "mp4", change=re.without(range(10))),
        labels=TILT,
        **HALF,
        warnings=("late-start",),
    ),
    File(
        "late_second.ts",
        "the second of two recordings begins in the middle of a GOP",
        lambda: part(0, 100, "mpegts") + re.from_picture(part(50, 200, "mpegts"), 10),
        warnings=("clock-leapt",),
    ),
    File(
        "slow_motion.mp4",
        "240 frames a second of a slow pan",
        lambda: media.encode((p for q in pictures(0, 50) for p in [q] * 9), fps=240, options={"preset": "veryfast"}),
        labels=PAN,
        seconds=1.875,
        frames=450,
    ),
    File(
        "time_lapse.mp4",
        "5 frames a second",
        lambda: media.encode(pictures(step=5), fps=5, options={"preset": "veryfast"}),
        seconds=8,
        frames=40,
    ),
    File("day_and_night.mp4", "a rate that changes: 100, then 5", half_fast, frames=420, seconds=7.81),
    File("copied.mp4", "a raw stream copied into MP4: times of decoding for those of showing", copied_from_raw),
    # As displayed
    *(
        File(f"turned_{k}.mp4", "a display matrix, one of eight", turned(matrix), labels=TILT, **HALF)
        for k, matrix in enumerate(
            [
                (1, 0, 0, 1),
                (0, 1, -1, 0),
                (-1, 0, 0, -1),
                (0, -1, 1, 0),
                (-1, 0, 0, 1),
                (0, 1, 1, 0),
                (1, 0, 0, -1),
                (0, -1, -1, 0),
            ]
        )
    ),
    File(
        "sei_mirror.ts",
        "H.264's own display orientation: mirrored",
        lambda: re.remuxed(
            part(0, 100),
            "mpegts",
            codec_filter="h264_mp4toannexb,h264_metadata=display_orientation=insert:flip=horizontal",
        ),
        labels=("pan_right",) * 4,
        **HALF,
    ),
    File(
        "roll.mkv",
        "Matroska's projection roll",
        turned(TURN, "matroska"),
        labels=TILT,
        **HALF,
    ),
    File(
        "sei_mirror.hevc",
        "HEVC's display orientation: mirrored",
        lambda: re.mirrored_hevc(hevc()),
        labels=("pan_right", "pan_right", "tilt_up", "tilt_up"),
        warnings=("rate-assumed",),
    ),
    File(
        "anamorphic_turned.mp4",
        "turned, and pixels that are not square",
        turned(TURN, pixel_aspect=Fraction(4, 3)),
        labels=TILT,
        size=(256, 256),
        **HALF,
    ),
    File(
        "anamorphic.mp4",
        "pixels that are not square",
        anamorphic,
        labels=PAN,
        size=(341, HEIGHT),
        **HALF,
    ),
    # Damage
    File(
        "cut.avi",
        "a camera without power: no index, all that is there is a video",
        lambda: re.cut_before(made("avi", "libx264", g="50", bf="0", preset="veryfast")(), b"idx1"),
    ),
    File(
        "bad_packet.mp4",
        "one packet of 200 is zeros: refused",
        lambda: re.with_packet_of_zeros(seq(), 60),
        warnings=("damaged",),
    ),
    File(
        "bad_keyframe.mp4",
        "the second keyframe of four is zeros",
        lambda: re.with_packet_of_zeros(seq(), 50),
        warnings=("damaged",),
    ),
    File("lost_packets.ts", "a stream that lost packets on its way", damaged_stream, warnings=("damaged",)),
    File(
        "lost.webm",
        "ten packets of VP9 are missing: the decoder shows others, and says nothing",
        lambda: re.remuxed(vp9("webm"), "webm", change=re.without(range(30, 40))),
        frames=190,
        warnings=("pause", "damaged"),
    ),
    File(
        "hole.flv",
        "a part is zeros",
        lambda: re.with_hole(re.remuxed(seq(b_frames=0), "flv"), 4000),
        frames=None,
        warnings=("pause",),
    ),
    File(
        "broken_index.avi",
        "a dash cam's: its index leads nowhere",
        lambda: re.with_index_of_noise(made("avi", "mjpeg", "yuvj420p")()),
    ),
    File(
        "other_pids.ts",
        "two cameras, joined: the second one's stream has another number",
        lambda: part(0, 100, "mpegts") + re.with_other_pids(part(100, 200, "mpegts"), 0x200),
        labels=PAN,
        **HALF,
        warnings=("ends-early",),
    ),
    # What may come in
    File(
        "every_frame.mp4",
        "a browser's, a fragment for each picture",
        lambda: re.remuxed(seq(b_frames=0), "mp4", muxer={"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
    ),
    File("sidx.mp4", "made for streaming", lambda: re.remuxed(seq(), "mp4", muxer={"movflags": "dash+global_sidx"})),
    File("old.mov", "QuickTime's, pictures first and no ftyp", lambda: re.without_head(seq())),
    File(
        "negative.mov",
        "times of showing before those of decoding",
        lambda: re.remuxed(seq(), "mov", muxer={"movflags": "negative_cts_offsets"}),
    ),
    File("alpha.webm", "VP8 with alpha", made("webm", "libvpx", "yuva420p", **FAST, **{"auto-alt-ref": "0"})),
    File("screen.mkv", "a screen's, 4:4:4", made("matroska", "libx264", "yuv444p", preset="ultrafast")),
    File(
        "recorder.asf",
        "H.264 in ASF: it says when a picture is sent, not when it is shown",
        lambda: re.remuxed(seq(), "asf", codec_filter="h264_mp4toannexb"),
    ),
    File(
        "cut.mpg",
        "begins in the middle of a pack",
        lambda: made("vob", "mpeg2video", b="2000k", g="12")()[700:],
        **LATE,
    ),
    File("packets.mpg", "without the header of a pack", lambda: re.from_first(mpeg_1(), b"\x00\x00\x01\xe0")),
    File("phone.3gp", "H.263", phone, size=(192, 144)),
    File("avchd.mts", "a camcorder's: packets of 192 bytes", lambda: re.in_packets_of(192, seq("mpegts"))),
    File("dvb.ts", "packets of 204 bytes", lambda: re.in_packets_of(204, seq("mpegts"))),
    File("cut.ts", "begins in the middle of a packet", lambda: seq("mpegts")[100:]),
    File("cover_first.mkv", "a cover stored before the video", lambda: re.cover_first(seq())),
    File("field_recorder.mov", "16 mono tracks", lambda: re.with_audio_tracks(seq(), 16)),
    File("h264.flv", "a screen recorder's", lambda: re.remuxed(seq(), "flv")),
    File("old.flv", "Sorenson's H.263", made("flv", "flv", b="1500k")),
    File("dvd.mpg", "MPEG-2 in MPEG-PS", made("vob", "mpeg2video", b="2000k")),
    File("windows.wmv", "WMV 2 in ASF", made("asf", "wmv2", b="2000k")),
    File("vp8.ogg", "VP8 in Ogg", made("ogg", "libvpx", **FAST)),
    File("editor.mxf", "MPEG-2 in MXF", made("mxf", "mpeg2video", b="2000k")),
    File("camera.dv", "DV, PAL", dv, labels=SEQ, seconds=2, frames=50, size=(768, 576)),
    File(
        "raw.h264",
        "no container: no times at all",
        lambda: re.remuxed(seq(), "h264", codec_filter="h264_mp4toannexb"),
        warnings=("rate-assumed",),
    ),
    File(
        "raw.hevc",
        "no container",
        hevc,
        warnings=("rate-assumed",),
    ),
    File("vp9.ivf", "IVF", made("ivf", "libvpx-vp9", **FAST)),
    File(
        "moving.gif",
        "GIF, 12.5 a second",
        lambda: media.encode(gif_size(), container="gif", codec="gif", pixels="rgb8", fps=Fraction(25, 2)),
        frames=100,
        size=(128, 96),
    ),
    File("uneven.gif", "each picture has its own delay", uneven_gif, frames=100, size=(128, 96)),
    File(
        "moving.png",
        "animated PNG",
        lambda: media.encode(gif_size(), container="apng", codec="apng", pixels="rgb24", fps=Fraction(25, 2)),
        frames=100,
        size=(128, 96),
    ),
    File(
        "moving.webp",
        "animated WebP",
        lambda: media.encode(gif_size(), container="webp", codec="libwebp_anim", fps=Fraction(25, 2)),
        frames=100,
        size=(128, 96),
    ),
    File("lossless.mkv", "FFV1", made("matroska", "ffv1")),
    File("huffyuv.avi", "HuffYUV", made("avi", "huffyuv", "yuv422p")),
    File("mjpeg.avi", "Motion JPEG", made("avi", "mjpeg", "yuvj420p")),
    File("b_frames.avi", "MPEG-4 with B-frames: AVI has no times of showing", made("avi", "mpeg4", bf="2", b="2000k")),
    File("edit.mov", "ProRes", made("mov", "prores_ks", "yuv422p10le")),
    File("dnxhr.mov", "DNxHR", made("mov", "dnxhd", "yuv422p", profile="dnxhr_lb")),
)
