"""The backend of GPU hosts, on ONNX Runtime's CPU provider, in a stack of its own: `make test-backend`.

The same backend.cc and onnxruntime.cc, the same server; of CUDA nothing is run here.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import queue
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from cliplane.errors import CliplaneError, InferenceFailed, NotReady, UnknownModel
from cliplane.settings import Settings
from cliplane.triton.client import Triton
from cliplane.triton.region import Region, create_region

from tests.integration.conftest import Stack, classify, ready, stack, video, wait_until

__all__ = ["ready", "stack"]  # fixtures

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "services/triton/models"
MODEL = "camera_motion"
VIEWS = 64
VIEW_BYTES = 8 * 64 * 64 * 3


@pytest.fixture
def triton(ready: Stack) -> Iterator[Triton]:
    triton = Triton(Settings().triton_grpc)
    yield triton
    triton.close()


@pytest.fixture
def region(triton: Triton) -> Iterator[Region]:
    """`VIEWS` views of noise, all different."""
    region = create_region(VIEWS * VIEW_BYTES, 1)
    region.memory[: region.byte_size] = np.random.default_rng(1).bytes(region.byte_size)
    triton.register(region)
    yield region
    wait_until(lambda: triton.unregister(region), what="no inference has the region any more")
    region.close()


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """(VIEWS, classes): what ONNX Runtime makes of each view alone."""
    session = onnxruntime.InferenceSession(MODELS / MODEL / "1/model.onnx", providers=["CPUExecutionProvider"])
    noise = np.frombuffer(np.random.default_rng(1).bytes(VIEWS * VIEW_BYTES), np.uint8).reshape(VIEWS, 1, 8, 64, 64, 3)
    return np.concatenate([session.run(None, {"frames": view})[0] for view in noise])


def infer(triton: Triton, region: Region, first: int, views: int, model: str = MODEL) -> np.ndarray:
    answers: queue.SimpleQueue[tuple[object, str, CliplaneError | None]] = queue.SimpleQueue()
    spec = triton.spec(model)
    triton.infer(
        spec,
        region,
        first * spec.sampling.view_bytes,
        views,
        shared=True,
        request_id="test",
        on_inferred=lambda *answer: answers.put(answer),
    )
    probabilities, _, error = answers.get(timeout=60)
    if error is not None:
        raise error
    return np.asarray(probabilities)


def server_kb(stack: Stack) -> int:
    """Memory of the server."""
    (server,) = [pid for pid, (_, command) in stack.processes("triton").items() if "bin/tritonserver" in command]
    return int(stack.exec("triton", "grep", "RssAnon", f"/proc/{server}/status").split()[1])


def test_the_stack_answers_by_onnx_runtime(ready: Stack) -> None:
    assert "ONNX Runtime: /models/camera_motion/1/model.onnx" in ready.raw_log("triton")
    answer = classify(video("zoom_in"), views=4).json()
    assert answer["predictions"][0]["label"] == "zoom_in"
    assert answer["handoff"] == "system_shm"


def test_answers_are_plain_onnx_runtime_s_to_the_bit_in_any_batch(
    triton: Triton, region: Region, expected: np.ndarray
) -> None:
    for views in (1, 2, 3, 8, 31, 32):
        np.testing.assert_array_equal(infer(triton, region, 5, views), expected[5 : 5 + views])


def test_views_of_many_requests_share_batches_and_keep_their_answers(
    triton: Triton, region: Region, expected: np.ndarray
) -> None:
    rng = random.Random(2)
    places = [(first, rng.randrange(1, min(9, VIEWS - first + 1))) for first in rng.choices(range(VIEWS), k=60)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda place: infer(triton, region, *place), places))
    for (first, views), answer in zip(places, answers, strict=True):
        np.testing.assert_array_equal(answer, expected[first : first + views])


@contextlib.contextmanager
def another(name: str, views: int | None = None, **parameters: str) -> Iterator[Path]:
    """The folder of a model like ours, with these parameters of the engine's.

    `views`: its graph takes so many and no others, as an export without dynamic axes does.
    """
    folder, new = MODELS / name, MODELS / f".{name}"  # Triton must not see it before it is whole
    try:
        shutil.copytree(MODELS / MODEL, new)
        more = "".join(
            f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}\n' for key, text in parameters.items()
        )
        for config in (new / "config.pbtxt", new / "configs/onnxruntime.pbtxt"):
            config.write_text(config.read_text().replace(f'name: "{MODEL}"', f'name: "{name}"') + more)
        if views:
            fix_batch(new / "1/model.onnx", views)
        new.rename(folder)
        yield folder
    finally:
        for path in (new, folder):
            shutil.rmtree(path, ignore_errors=True)


def fix_batch(graph: Path, views: int) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_free_dimension_override_by_name("views", views)
    options.optimized_model_filepath = str(graph.with_suffix(".fixed"))
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    graph.with_suffix(".fixed").rename(graph)


def wait_for(triton: Triton, name: str) -> None:
    def is_loaded() -> bool:
        try:
            return triton.spec(name) is not None
        except (UnknownModel, NotReady):
            return False

    wait_until(is_loaded, seconds=60, what="the model loaded")


def test_batches_of_several_streams_keep_their_answers(
    ready: Stack, triton: Triton, region: Region, expected: np.ndarray
) -> None:
    """As on a GPU, where one batch is copied while another is computed; and an option that makes no sense is named."""
    with another("two_streams", streams="2"), another("no_streams", streams="two"):
        wait_for(triton, "two_streams")
        assert "batches of up to 32, 2 at once" in ready.raw_log("triton")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            places = [(first, 1 + first % 5) for first in range(0, 56, 2)] * 2
            answers = list(pool.map(lambda place: infer(triton, region, place[0], place[1], "two_streams"), places))
        for (first, views), answer in zip(places, answers, strict=True):
            np.testing.assert_array_equal(answer, expected[first : first + views])
        words = "streams is 'two', and not a number from 1 to 16"
        wait_until(lambda: words in ready.raw_log("triton"), what="the refusal in the log")


def test_a_graph_for_one_view_is_called_with_one_and_another_fixed_number_is_refused(
    ready: Stack, triton: Triton, region: Region, expected: np.ndarray
) -> None:
    with another("one_view", views=1), another("four_views", views=4):
        wait_for(triton, "one_view")
        # Not to the bit: ONNX Runtime folds more of a graph whose shape it knows.
        np.testing.assert_allclose(infer(triton, region, 0, 9, "one_view"), expected[:9], atol=1e-6)
        words = "its batch is fixed at 4: export it for any number, or for one view"
        wait_until(lambda: words in ready.raw_log("triton"), what="the refusal in the log")


def test_a_model_is_taken_away_under_load(ready: Stack, triton: Triton, region: Region, expected: np.ndarray) -> None:
    name, restarts = "taken_away", ready.restarts("triton")
    with another(name) as folder:
        wait_for(triton, name)
        answered, gone = itertools.count(), threading.Event()

        def load() -> None:
            while not gone.is_set():
                try:
                    np.testing.assert_array_equal(infer(triton, region, 0, 4, name), expected[:4])
                    next(answered)
                except (UnknownModel, NotReady, InferenceFailed):
                    gone.set()

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            wait_until(lambda: next(answered) > 20, what="load")
            shutil.rmtree(folder)
            for one in loads:
                one.result(timeout=60)
    np.testing.assert_array_equal(infer(triton, region, 0, 8), expected[:8])
    assert ready.restarts("triton") == restarts


def test_the_server_s_memory_does_not_grow(ready: Stack, triton: Triton, region: Region) -> None:
    rng = random.Random(3)

    def some(_: int) -> None:
        first = rng.randrange(VIEWS - 8)
        infer(triton, region, first, rng.randrange(1, 9))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(some, range(80)))  # every size of a batch has been seen
        before_kb = server_kb(ready)
        list(pool.map(some, range(160)))
    assert server_kb(ready) - before_kb < 20_000
