"""A real lane in this process: its decoder, its region in the shared /dev/shm, the real Triton."""

from __future__ import annotations

import dataclasses
import os
import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cliplane.decoder.media import HEAD_BYTES, sniff
from cliplane.errors import CliplaneError, RegionLost, SharedMemoryTooSmall
from cliplane.lane.classification import classify as classify_with
from cliplane.lane.lane import Lane
from cliplane.lane.requests import Job
from cliplane.settings import Settings
from cliplane.triton import region as regions
from cliplane.triton.client import Triton
from tritonclient.grpc import InferInput

from tests import media
from tests.integration.conftest import triton_client, wait_until

SETTINGS = Settings(lanes=1, region_bytes=8 * 2**20)


@pytest.fixture
def triton() -> Iterator[Triton]:
    triton = Triton(SETTINGS.triton_grpc)
    yield triton
    triton.close()


def classify(lane: Lane, path: Path, **more: object) -> dict[str, object]:
    container = sniff(path.read_bytes()[:HEAD_BYTES])
    job = Job(path=str(path), container=container, model="camera_motion", request_id="test", top=9)
    *_, last = classify_with(lane, dataclasses.replace(job, **more))  # type: ignore[arg-type]
    assert last.name == "result"
    return last.data


def answers(result: dict[str, object]) -> object:
    return {key: result[key] for key in ("predictions", "views", "video", "model", "version")}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(media.clip("roll_ccw", frames=120))
    return path


def test_the_answer_is_the_same_to_the_bit_by_shared_memory_and_by_payload(triton: Triton, clip: Path) -> None:
    by_memory, by_payload = (
        Lane(SETTINGS, triton),
        Lane(dataclasses.replace(SETTINGS, shared_memory=False), triton),
    )
    try:
        for path in [clip, *(p for p in sorted(Path("/videos").glob("*.m*")) if p.name != "corrupted.mp4")]:
            one, other = classify(by_memory, path), classify(by_payload, path)
            assert (one["handoff"], other["handoff"]) == ("system_shm", "grpc")
            assert answers(one) == answers(other)
    finally:
        by_memory.close()
        by_payload.close()


MANY = 32
"""Views of one call that take the engine much longer than a round trip."""


class Call:
    """`MANY` views of a region under way."""

    def __init__(self, triton: Triton, region: regions.Region) -> None:
        self.answers: queue.Queue[tuple[object, str, CliplaneError | None]] = queue.Queue()
        spec = triton.spec("camera_motion")
        triton.infer(spec, region, 0, MANY, shared=True, request_id="test", on_inferred=lambda *a: self.answers.put(a))


@pytest.fixture
def region(triton: Triton) -> Iterator[regions.Region]:
    region = regions.create_region(MANY * triton.spec("camera_motion").sampling.view_bytes, 1)
    triton.register(region)
    yield region
    triton.unregister(region)
    region.close()


def inferred(triton: Triton) -> int:
    """Views that the model has inferred so far, in calls that were answered."""
    with triton_client() as client:
        return sum(one.inference_count for one in client.get_inference_statistics("camera_motion").model_stats)


def test_triton_keeps_a_region_while_an_inference_reads_it(triton: Triton, region: regions.Region) -> None:
    """The frames are read in place: unmapped, as a sweep after a dead lane wants it, they would crash the server."""
    refused = 0
    for _ in range(20):
        call = Call(triton, region)
        refused += not triton.unregister(region)
        probabilities, _, error = call.answers.get(timeout=60)
        assert error is None or isinstance(error, RegionLost)  # by the time that the call came it was unmapped
        if error is None:
            assert np.asarray(probabilities).sum(axis=1) == pytest.approx(np.ones(MANY), abs=1e-5)
        # The answer comes a moment before Triton lets go.
        wait_until(lambda: triton.unregister(region), what="the region unmapped")
        triton.register(region)
    assert refused > 0


def test_calls_of_a_turn_that_is_over_are_not_inferred_to_their_end(triton: Triton, region: regions.Region) -> None:
    before = inferred(triton)
    calls = [Call(triton, region) for _ in range(10)]
    region.end_turn()
    errors = [call.answers.get(timeout=60)[2] for call in calls]
    assert errors[-1] is not None
    assert Call(triton, region).answers.get(timeout=60)[2] is None
    assert inferred(triton) - before < 10 * MANY


@pytest.mark.parametrize("name", ["", "cliplane-gone-1-1", "../../etc/passwd", ".", "a" * 5000], ids=lambda n: n[:20])
def test_a_call_of_a_turn_that_cannot_be_read_is_wanted(triton: Triton, region: regions.Region, name: str) -> None:
    """Whatever a request says of itself, it only says it for itself, and Triton lives."""
    spec = triton.spec("camera_motion")
    frames = InferInput(spec.input_name, [1, 8, 64, 64, 3], "UINT8")
    frames.set_shared_memory(region.name, spec.sampling.view_bytes, 0)
    region.end_turn()
    with triton_client() as client:
        for more in ({"cliplane_region": name, "cliplane_turn": 0}, {"cliplane_region": region.name}, {}):
            assert client.infer(spec.name, [frames], parameters=more).as_numpy(spec.output_name).shape == (1, 9)


def test_views_that_differ_get_different_answers(triton: Triton, tmp_path: Path) -> None:
    """All views of a batch once came back as copies of its first: the backend's numpy did not fit its stub."""
    path = tmp_path / "two.mp4"
    frames = [*media.moving_camera("pan_right", frames=50), *media.moving_camera("zoom_in", frames=50)]
    path.write_bytes(media.encode(iter(frames)))
    lane = Lane(SETTINGS, triton)
    try:
        result = classify(lane, path, views=2)
        labels = [view["predictions"][0]["label"] for view in result["views"]]  # type: ignore[attr-defined]
        assert labels == ["pan_right", "zoom_in"]
    finally:
        lane.close()


def test_a_lane_that_ends_leaves_nothing(triton: Triton, clip: Path) -> None:
    before = {entry.name for entry in regions.SHM.iterdir()}
    lane = Lane(SETTINGS, triton)
    classify(lane, clip)
    assert {entry.name for entry in regions.SHM.iterdir()} != before
    lane.close()
    assert {entry.name for entry in regions.SHM.iterdir()} == before


def test_a_lane_without_room_in_shared_memory_says_so_and_uses_the_payload(triton: Triton, clip: Path) -> None:
    size = os.statvfs(regions.SHM)
    too_much = size.f_blocks * size.f_frsize + 4096
    with pytest.raises(SharedMemoryTooSmall):
        regions.create_region(too_much, 1)
    lane = Lane(dataclasses.replace(SETTINGS, region_bytes=too_much), triton)
    try:
        assert classify(lane, clip)["handoff"] == "grpc"
    finally:
        lane.close()
