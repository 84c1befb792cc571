"""Several models look at one video: whatever happens, each view of each is delivered once, in order."""

from __future__ import annotations

import pytest
from cliplane.errors import BadQuery
from cliplane.lane.comparison import offsets
from cliplane.policy.sampling import Sampling
from cliplane.policy.schedule import MAX_CALLS, Call
from cliplane.policy.schedules import Schedules
from hypothesis import given
from hypothesis import strategies as st

Counts = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)), min_size=2, max_size=4)


@given(Counts, st.booleans(), st.data())
def test_every_view_of_each_model_is_delivered_once_and_in_order(
    counts: list[tuple[int, int, int]], is_shared: bool, data: st.DataObject
) -> None:
    planned = [max(views, more) for views, more, _ in counts]
    schedule = Schedules(planned, [most for _, _, most in counts], is_shared=is_shared)
    there = [min(views, more) for views, more, _ in counts]
    for one, views in zip(schedule.models, there, strict=True):
        one.plan(views)
    to_decode = [model for model, views in enumerate(there) for _ in range(views)]
    calls: list[Call] = []
    delivered: list[list[int]] = [[] for _ in counts]
    losses, is_decoding = 0, True
    while not schedule.is_done():
        while call := schedule.next_call():
            calls.append(call)
            assert len(calls) <= MAX_CALLS
            model, own = schedule.place(call.first)
            assert schedule.place(call.first + call.views - 1)[0] == model, "a call is of one model"
            assert call.views <= counts[model][2]
            assert own + call.views <= schedule.models[model].decoded
        assert schedule.is_calling() == bool(calls)
        if schedule.is_stranded():
            schedule.resume()
            continue
        steps = ["decode"] * is_decoding + ["answer"] * bool(calls)
        assert steps, "nothing is under way, and the end is not reached"
        if data.draw(st.sampled_from(steps)) == "decode":
            if to_decode:
                model = to_decode.pop(data.draw(st.integers(0, len(to_decode) - 1)))
                schedule.models[model].view_decoded()
            else:
                schedule.decoding_ended()
                is_decoding = False
            continue
        call = calls.pop(data.draw(st.integers(0, len(calls) - 1)))
        if losses < 3 and data.draw(st.booleans()):
            losses += 1
            schedule.lost(call.first)
            assert schedule.next_call() is None
            continue
        found = schedule.inferred(call.first)
        delivered[found.model] += found.slots
    assert delivered == [list(range(views)) for views in there]


def test_the_models_take_turns() -> None:
    schedule = Schedules([4, 4], [2, 2])
    for model in schedule.models:
        for _ in range(4):
            model.view_decoded()
    assert [schedule.next_call(), schedule.next_call()] == [Call(0, 2), Call(4, 2)]
    assert schedule.next_call() is None
    schedule.inferred(4)
    assert schedule.next_call() == Call(2, 2)


SAMPLINGS = st.builds(
    Sampling,
    clip_length=st.integers(1, 8),
    temporal_stride=st.just(1),
    short_side=st.just(8),
    crop_height=st.integers(1, 8),
    crop_width=st.integers(1, 8),
    clips=st.integers(1, 5),
    crops=st.sampled_from([1, 3]),
)


@given(st.lists(SAMPLINGS, min_size=1, max_size=8), st.integers(0, 20000))
def test_the_models_parts_of_the_region_do_not_overlap_nor_reach_beyond_it(cuts: list[Sampling], region: int) -> None:
    needed = sum(cut.views * cut.view_bytes for cut in cuts)
    if needed > region:
        with pytest.raises(BadQuery, match=f"{needed} bytes, CLIPLANE_REGION_BYTES={region}"):
            offsets(cuts, region)
        return
    starts = offsets(cuts, region)
    ends = [start + cut.views * cut.view_bytes for start, cut in zip(starts, cuts, strict=True)]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] <= region
