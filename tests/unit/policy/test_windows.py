"""Windows over a whole video: at their times, on the clip's own frames, in memory that does not grow."""

from __future__ import annotations

from cliplane.policy.sampling import Sampling, plan_views
from cliplane.policy.windows import Windows, plan_windows, window_frames
from hypothesis import given
from hypothesis import strategies as st

SAMPLINGS = st.builds(
    lambda length, stride, mode: Sampling(length, stride, 64, 64, 64, 1, 1, mode=mode),
    st.integers(1, 20),
    st.integers(1, 8),
    st.sampled_from(["stride", "uniform", "segments"]),
)
PLANS = st.tuples(st.integers(1, 3000), st.floats(1, 120), SAMPLINGS, st.floats(0.01, 20), st.floats(0.05, 30))

Asked = tuple[int, float, Sampling, float, float]


@given(PLANS)
def test_each_window_has_a_clip_s_frames_and_lies_in_the_video(asked: Asked) -> None:
    frame_count, _, sampling, *_ = asked
    plan = plan_windows(*asked)
    starts = [plan.start(k) for k in range(plan.count)]
    assert starts == sorted(set(starts))
    for k in {0, plan.count // 2, plan.count - 1}:
        frames = plan.frames(k)
        assert len(frames) == sampling.clip_length
        assert list(frames) == sorted(frames)
        assert 0 <= frames[0] <= frames[-1] < frame_count


@given(PLANS)
def test_less_than_a_stride_at_the_end_is_in_no_window(asked: Asked) -> None:
    frame_count, frame_rate, sampling, stride_s, window_s = asked
    plan = plan_windows(*asked)
    end = plan.start(plan.count - 1) + window_frames(frame_rate, sampling, window_s)
    assert frame_count - end < max(1, stride_s * frame_rate) + plan.grid


@given(PLANS)
def test_a_window_begins_at_its_time_but_for_half_a_step_of_the_grid(asked: Asked) -> None:
    plan = plan_windows(*asked)
    hop = max(1.0, asked[3] * asked[1])
    assert all(abs(plan.start(k) - k * hop) <= plan.grid / 2 + 1e-6 for k in range(plan.count))


@given(PLANS)
def test_every_frame_is_shown_once_in_order_to_all_its_windows(asked: Asked) -> None:
    plan = plan_windows(*asked)
    seen: dict[int, list[int]] = {}
    last = -1
    for frame, windows in plan.shown():
        assert frame > last, "a frame comes again, or before its turn"
        last = frame
        for window, places in windows:
            for place in places:
                assert plan.frames(window)[place] == frame
            seen.setdefault(window, []).extend(places)
    assert set(seen) == set(range(plan.count))
    assert all(sorted(places) == list(range(asked[2].clip_length)) for places in seen.values())


@given(PLANS)
def test_no_more_windows_overlap_than_the_plan_says(asked: Asked) -> None:
    plan = plan_windows(*asked)
    missing: dict[int, int] = {}
    most = 0
    for _, windows in plan.shown():
        for window, places in windows:
            missing[window] = missing.get(window, asked[2].clip_length) - len(places)
        most = max(most, len(missing))
        missing = {window: left for window, left in missing.items() if left}
    assert most <= plan.overlap()


@given(st.integers(1, 20), st.integers(1, 8), st.integers(1, 2000))
def test_a_video_of_one_window_is_classify_s_only_view(length: int, stride: int, frame_count: int) -> None:
    sampling = Sampling(length, stride, 64, 64, 64, 1, 1)
    span = (length - 1) * stride + 1
    plan = plan_windows(min(frame_count, span), 25, sampling, stride_s=1000)
    assert plan.count == 1
    assert plan.frames(0) == plan_views(min(frame_count, span), sampling)[0].frames


def test_an_hour_takes_no_more_memory_than_a_minute() -> None:
    hour = plan_windows(90_000, 25, Sampling(13, 6, 182, 182, 182, 1, 1), stride_s=1)
    assert hour == Windows(3597, 25.0, 6, tuple(range(0, 78, 6)))
