"""Which frames and crops a view has."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from cliplane.policy.sampling import Sampling, View, coarse_to_fine, crop_offset, plan_views, scaled_size, split_views
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
spread = st.builds(replace, samplings, mode=st.sampled_from(["uniform", "segments"]))


@given(frame_count=st.integers(1, 5000), sampling=samplings | spread)
def test_every_view_has_t_frames_that_exist_in_order(frame_count: int, sampling: Sampling) -> None:
    views = plan_views(frame_count, sampling)
    assert 1 <= len(views) <= sampling.views
    for view in views:
        assert len(view.frames) == sampling.clip_length
        assert list(view.frames) == sorted(view.frames)
        assert view.frames[0] >= 0
        assert view.frames[-1] < frame_count


@given(frame_count=st.integers(1, 5000), sampling=samplings | spread)
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


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), side=st.integers(64, 300))
def test_a_square_fit_makes_any_picture_a_square(width: int, height: int, side: int) -> None:
    sampling = Sampling(1, 1, side, 64, 64, 1, 1, fit="square")
    assert scaled_size(width, height, sampling) == (side, side)
    assert crop_offset(side, side, View((), 0, 1), sampling) == ((side - 63) // 2, (side - 63) // 2)


def test_three_crops_lie_along_the_long_side() -> None:
    sampling = Sampling(1, 1, 64, 64, 64, 1, 3)
    assert [crop_offset(100, 64, View((), k, 3), sampling) for k in range(3)] == [(0, 0), (18, 0), (36, 0)]
    assert [crop_offset(64, 100, View((), k, 3), sampling) for k in range(3)] == [(0, 0), (0, 18), (0, 36)]
