"""Which library reads the views of a video the fastest? Same frame numbers, same size, same output.

    python -m bench.readers SOURCE --work DIR --out readers.json [--rounds 3]

Every reader opens the file, reads the frames of 10 views (T=13, stride 6, as X3D-S) at a short side of 182 into one
array, and closes it. The readers take turns within a round, so a machine that drifts does not decide; the median over
rounds counts. SSIM is the least over all frames, of the luma, against a whole decode by PyAV that leaves nothing out,
resized at once to the same size.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
from cliplane.decoder.pyav_reader import PyavReader
from cliplane.decoder.reader import load_reader
from cliplane.policy.sampling import Sampling, plan_views, scaled_size
from numpy.lib.stride_tricks import sliding_window_view

from bench import arguments, videos
from bench.bare import LIMITS

X3D_S = Sampling(13, 6, 182, 182, 182, clips=10, crops=1)
THREADS = (1, 2, 4)

Frames = dict[int, np.ndarray]
Read = Callable[[Path, list[int], int, int, int], Iterable[tuple[int, np.ndarray]]]


def ours(name: str) -> Read:
    def read(path: Path, numbers: list[int], width: int, height: int, threads: int) -> Iterable[tuple[int, np.ndarray]]:
        with path.open("rb") as file:
            reader = load_reader(name)(file.fileno(), None, LIMITS, threads)
            if isinstance(reader, PyavReader):
                reader._stream.codec_context.thread_count = threads  # just so many, as the others have
            yield from reader.frames(numbers, width, height)
            reader.close()

    return read


def without_loop_filter(
    path: Path, numbers: list[int], width: int, height: int, threads: int
) -> Iterable[tuple[int, np.ndarray]]:
    with path.open("rb") as file:
        reader = PyavReader(file.fileno(), None, LIMITS, threads)
        reader._stream.codec_context.thread_count = threads
        reader._stream.codec_context.options = {"skip_loop_filter": "all"}
        yield from reader.frames(numbers, width, height)
        reader.close()


def pyav_plain(
    path: Path, numbers: list[int], width: int, height: int, threads: int
) -> Iterable[tuple[int, np.ndarray]]:
    """As most examples do it: decode all from the start, keep what is wanted."""
    wanted = set(numbers)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", threads
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                yield number, frame.reformat(width, height, "rgb24", interpolation="BILINEAR").to_ndarray()
            if number == numbers[-1]:
                return


def opencv(path: Path, numbers: list[int], width: int, height: int, threads: int) -> Iterable[tuple[int, np.ndarray]]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    wanted, at = set(numbers), 0
    while at <= numbers[-1]:
        if not capture.grab():
            break
        if at in wanted:
            _, frame = capture.retrieve()
            yield at, cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)[:, :, ::-1]
        at += 1
    capture.release()


def torchcodec(
    path: Path, numbers: list[int], width: int, height: int, threads: int
) -> Iterable[tuple[int, np.ndarray]]:
    if path.stem.startswith("av1"):
        raise RuntimeError("a segmentation fault on AV1 with Debian 12's FFmpeg 5.1")
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(
        str(path),
        dimension_order="NHWC",
        num_ffmpeg_threads=threads,
        seek_mode="approximate",
        transforms=[Resize((height, width))],
    )
    yield from zip(numbers, decoder.get_frames_at(numbers).data.numpy(), strict=True)


READERS: dict[str, Read] = {
    "decord": ours("decord"),
    "pyav, whole decode": pyav_plain,
    "pyav (ours)": ours("pyav"),
    "ours, no loop filter": without_loop_filter,
    "opencv": opencv,
    "torchcodec": torchcodec,
}


def luma(frame: np.ndarray) -> np.ndarray:
    return frame @ np.array([0.299, 0.587, 0.114])


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures' luma (Wang et al., 2004), windows of 8 × 8 at steps of 4."""
    one, other = (sliding_window_view(luma(x), (8, 8))[::4, ::4] for x in (a, b))
    m, n = one.mean((2, 3)), other.mean((2, 3))
    covariance = (one * other).mean((2, 3)) - m * n
    c, d = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * m * n + c) * (2 * covariance + d) / ((m**2 + n**2 + c) * (one.var((2, 3)) + other.var((2, 3)) + d))
    return float(index.mean())


def plan(path: Path) -> tuple[list[int], int, int]:
    with path.open("rb") as file:
        reader = PyavReader(file.fileno(), None, LIMITS, 1)
        numbers = sorted({number for view in plan_views(reader.info.frame_count, X3D_S) for number in view.frames})
        size = scaled_size(reader.info.width, reader.info.height, X3D_S)
        reader.close()
    return numbers, *size


def read_all(read: Read, path: Path, threads: int) -> tuple[float, Frames]:
    numbers, width, height = plan(path)
    began = time.perf_counter()
    frames = {number: np.array(frame) for number, frame in read(path, numbers, width, height, threads)}
    return time.perf_counter() - began, frames


def compare(path: Path, readers: list[str], rounds: int, *, with_ssim: bool = True) -> dict[str, dict[str, object]]:
    """Milliseconds with each number of threads, and the least SSIM, of each reader."""
    times: dict[tuple[str, int], list[float]] = {}
    result: dict[str, dict[str, object]] = {name: {} for name in readers}
    reference = read_all(pyav_plain, path, 2)[1] if with_ssim else {}
    for round_ in range(rounds):
        for name in readers:
            if "error" in result[name]:
                continue
            for threads in THREADS:
                try:
                    seconds, frames = read_all(READERS[name], path, threads)
                except Exception as error:  # a library that is not here, or cannot read this
                    result[name]["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
                    break
                times.setdefault((name, threads), []).append(seconds * 1000)
                if round_ == 0 and threads == 1 and with_ssim:
                    worst, number = min((ssim(frames[n], reference[n]), n) for n in reference)
                    result[name] |= {"ssim_min": round(worst, 4), "ssim_at": number}
    for (name, threads), values in times.items():
        result[name][f"ms_{threads}_threads"] = round(statistics.median(values), 1)
    return result


def _read_times(arguments: tuple[str, Path, int]) -> None:
    name, path, times = arguments
    for _ in range(times):
        read_all(READERS[name], path, 1)


def lanes(path: Path, readers: list[str], rounds: int) -> dict[str, dict[int, float]]:
    """Videos a second, by so many processes at once, of one thread each."""
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in (1, 2, 3, 4):
            for name in readers:
                with multiprocessing.get_context("spawn").Pool(count) as pool:
                    pool.map(_read_times, [(name, path, 1)] * count)  # warm
                    began = time.perf_counter()
                    pool.map(_read_times, [(name, path, 4)] * count, chunksize=1)
                    rates.setdefault((name, count), []).append(4 * count / (time.perf_counter() - began))
    table: dict[str, dict[int, float]] = {}
    for (name, count), values in rates.items():
        table.setdefault(name, {})[count] = round(statistics.median(values), 2)
    return table


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codecs", nargs="*", default=list(videos.CODECS))
    parser.add_argument("--sizes", nargs="*", default=list(videos.SIZES))
    parser.add_argument("--long", type=int, default=600, help="seconds of the long video")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    done = json.loads(args.out.read_text()) if args.out.exists() else {"files": {}}  # a run that was cut off goes on
    files: dict[str, dict[str, object]] = done["files"]

    def add(path: Path, readers: list[str], rounds: int, *, with_ssim: bool = True) -> None:
        if path.stem not in files:
            files[path.stem] = {"rounds": rounds, "readers": compare(path, readers, rounds, with_ssim=with_ssim)}
            print(path.stem, json.dumps(files[path.stem]), flush=True)
            args.out.write_text(json.dumps({"files": files}, indent=1) + "\n")

    for codec in args.codecs:
        for size in args.sizes:
            for gop in (12, 250):
                add(videos.encoded(args.source, args.work, size, codec, gop), list(READERS), args.rounds)
    for codec in sorted({"h264", "hevc"} & set(args.codecs)):
        low_rate = videos.encoded(args.source, args.work, "256p", codec, 250, low_rate=True)
        add(low_rate, ["pyav (ours)", "ours, no loop filter"], args.rounds)
    short = videos.encoded(args.source, args.work, "720p" if "720p" in args.sizes else args.sizes[0], "h264", 250)
    long = videos.repeated(short, args.work, args.long)
    add(long, ["decord", "pyav (ours)", "torchcodec"], 1, with_ssim=False)
    rates = lanes(short, ["decord", "pyav (ours)"], args.rounds)
    print(json.dumps(rates))
    args.out.write_text(json.dumps({"files": files, "videos_per_s": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
