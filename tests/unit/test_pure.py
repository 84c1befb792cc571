"""Sampling, averaging, media and settings: no file, no network."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import numpy as np
import pytest
from cliplane.averaging import average, top_predictions
from cliplane.early_stop import is_decided
from cliplane.errors import BadBody, NotAVideo, by_type
from cliplane.media import CONTAINERS, multipart_file, sniff
from cliplane.sampling import Sampling, View, coarse_to_fine, crop_offset, plan_views, scaled_size, split_views
from cliplane.settings import Settings, SettingsError, read_settings
from hypothesis import given
from hypothesis import strategies as st

samplings = st.builds(
    Sampling,
    clip_length=st.integers(1, 32),
    temporal_stride=st.integers(1, 12),
    short_side=st.integers(64, 320),
    crop_height=st.just(64),
    crop_width=st.just(64),
    clips=st.integers(1, 12),
    crops=st.sampled_from([1, 3]),
)


@given(frame_count=st.integers(1, 5000), sampling=samplings)
def test_every_view_has_t_frames_that_exist_in_order(frame_count: int, sampling: Sampling) -> None:
    views = plan_views(frame_count, sampling)
    assert 1 <= len(views) <= sampling.views
    for view in views:
        assert len(view.frames) == sampling.clip_length
        assert list(view.frames) == sorted(view.frames)
        assert view.frames[0] >= 0
        assert view.frames[-1] < frame_count


@given(frame_count=st.integers(1, 5000), sampling=samplings)
def test_no_view_is_there_twice(frame_count: int, sampling: Sampling) -> None:
    views = plan_views(frame_count, sampling)
    assert len(set(views)) == len(views)


@given(frame_count=st.integers(400, 5000), sampling=samplings)
def test_clips_reach_from_the_first_frame_to_the_last_stride(frame_count: int, sampling: Sampling) -> None:
    clips = plan_views(frame_count, sampling)[:: sampling.crops]
    if sampling.clips > 1:
        assert clips[0].frames[0] == 0
        assert clips[-1].frames[-1] > frame_count - 1 - sampling.temporal_stride
    for clip in clips:
        steps = {b - a for a, b in zip(clip.frames, clip.frames[1:], strict=False)}
        assert steps <= {sampling.temporal_stride}


@given(frame_count=st.integers(400, 5000), sampling=samplings)
def test_starts_are_spread_evenly_and_lie_on_the_grid(frame_count: int, sampling: Sampling) -> None:
    starts = [view.frames[0] for view in plan_views(frame_count, sampling)[:: sampling.crops]]
    if len(starts) > 1:
        assert {start % sampling.temporal_stride for start in starts} == {0}
        steps = [b - a for a, b in pairwise(starts)]
        assert max(steps) - min(steps) <= sampling.temporal_stride


def test_overlapping_clips_share_their_frames() -> None:
    sampling = Sampling(13, 6, 182, 182, 182, clips=10, crops=1)
    frames = {number for view in plan_views(300, sampling) for number in view.frames}
    assert len(frames) <= 50


@given(count=st.integers(1, 40))
def test_coarse_to_fine_takes_every_view_once_and_the_first_ones_are_spread(count: int) -> None:
    order = coarse_to_fine(count)
    assert sorted(order) == list(range(count))
    for taken in (1, 3, 7):
        edges = [-1, *sorted(order[:taken]), count]
        assert max(b - a for a, b in pairwise(edges)) <= (count + 1) / (taken + 1) + 1


def scores(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, np.float32) for row in rows]


def test_views_that_agree_are_soon_enough() -> None:
    assert is_decided(scores([0.97, 0.02, 0.01], [0.95, 0.03, 0.02], [0.96, 0.02, 0.02]), planned=10)
    assert not is_decided(scores([0.40, 0.35, 0.25]), planned=10)


def test_views_that_contradict_each_other_are_not_enough() -> None:
    assert not is_decided(scores([0.9, 0.1], [0.1, 0.9], [0.8, 0.2]), planned=10)
    assert is_decided(scores([0.9, 0.1], [0.1, 0.9], [0.8, 0.2]), planned=3)


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=4, max_size=4), min_size=1, max_size=10))
def test_all_views_always_decide(rows: list[list[float]]) -> None:
    assert is_decided(scores(*rows), planned=len(rows))


def test_a_single_clip_is_centred_and_a_short_video_is_spread() -> None:
    sampling = Sampling(4, 2, 64, 64, 64, clips=1, crops=1)
    assert plan_views(17, sampling) == [View((5, 7, 9, 11), 0, 1)]
    assert plan_views(3, sampling) == [View((0, 1, 1, 2), 0, 1)]


@pytest.mark.parametrize(
    ("views", "crops", "expected"), [(30, 3, (10, 3)), (10, 3, (10, 1)), (1, 1, (1, 1)), (3, 3, (1, 3))]
)
def test_views_are_split_into_clips_and_crops(views: int, crops: int, expected: tuple[int, int]) -> None:
    assert split_views(views, crops) == expected


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), sampling=samplings, crop=st.integers(0, 2))
def test_a_crop_lies_inside_the_scaled_frame(width: int, height: int, sampling: Sampling, crop: int) -> None:
    w, h = scaled_size(width, height, sampling)
    x, y = crop_offset(w, h, View((), crop, 3), sampling)
    assert 0 <= x <= w - sampling.crop_width
    assert 0 <= y <= h - sampling.crop_height


def test_three_crops_lie_along_the_long_side() -> None:
    sampling = Sampling(1, 1, 64, 64, 64, 1, 3)
    assert [crop_offset(100, 64, View((), k, 3), sampling) for k in range(3)] == [(0, 0), (18, 0), (36, 0)]
    assert [crop_offset(64, 100, View((), k, 3), sampling) for k in range(3)] == [(0, 0), (0, 18), (0, 36)]


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), min_size=1, max_size=9))
def test_scores_are_sorted_and_never_sum_to_more_than_one(rows: list[list[float]]) -> None:
    views = [np.array(row, np.float32) / np.float32(sum(row)) for row in rows]
    found = top_predictions(average(views), "abcde", 5)
    scores = [prediction["score"] for prediction in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) <= 1 + 1e-9


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    assert [p["label"] for p in top_predictions(np.full(4, 0.25), "wxyz", 3)] == ["w", "x", "y"]


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom" + bytes(20), "mp4"),
        (b"\0\0\0\x14ftypqt  " + bytes(20), "mov"),
        (b"\0\0\0\x08wide\0\0\0\0", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
    ],
)
def test_containers_are_known_by_their_first_bytes(head: bytes, container: str) -> None:
    assert sniff(head) == container
    assert container in CONTAINERS


@given(st.binary(max_size=600))
def test_other_bytes_are_refused_and_nothing_else_happens(head: bytes) -> None:
    with contextlib.suppress(NotAVideo):
        assert sniff(head) in CONTAINERS


@given(st.binary(min_size=1, max_size=300), st.booleans(), st.booleans())
def test_a_file_in_a_form_is_found_to_the_byte(data: bytes, before: bool, after: bool) -> None:
    boundary = "b0undary-that-is-nowhere-in-the-data"
    other = f'--{boundary}\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'.encode()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="a;b.mp4"\r\nA: b\r\n\r\n'.encode()
    body = other * before + head + data + b"\r\n" + other * after + f"--{boundary}--\r\n".encode()
    span = multipart_file(body, f'multipart/form-data; boundary="{boundary}"', "video")
    assert body[span.start : span.end] == data


@given(st.binary(max_size=300))
def test_any_other_body_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBody):
        multipart_file(body, "multipart/form-data; boundary=zzzzzz", "video")


def test_settings_have_defaults_and_are_read() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"CLIPLANE_LANES": "3", "CLIPLANE_SHARED_MEMORY": "false", "PATH": "/"}).lanes == 3
    assert read_settings({"CLIPLANE_LANES": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLIPLANE_LANEZ", "1"),
        ("CLIPLANE_LANES", "0"),
        ("CLIPLANE_LANES", "two"),
        ("CLIPLANE_REQUEST_TIMEOUT_S", "nan"),
        ("CLIPLANE_REQUEST_TIMEOUT_S", "inf"),
        ("CLIPLANE_SHARED_MEMORY", "maybe"),
        ("CLIPLANE_LOG_LEVEL", "loud"),
        ("CLIPLANE_READER", "vlc"),
        ("CLIPLANE_CONTAINERS", "mp4,flv"),
        ("CLIPLANE_INFER_TIMEOUT_S", "600"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_every_error_is_found_by_its_type() -> None:
    assert by_type("over-limit").status == 422
    with pytest.raises(KeyError):
        by_type("no-such-type")
