"""Which frames are seen: as recorded from the public code, and as the policies promise."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.media.frame_policy import FramePolicy, frame_indices
from harness.models import open_model
from harness.types import ModelSettings
from tests.helpers.mmeb_files import shared

policies = st.one_of(
    st.just(FramePolicy("all")),
    st.builds(FramePolicy, st.just("uniform"), st.integers(1, 64), padded=st.booleans()),
    st.builds(FramePolicy, st.just("fps"), st.integers(0, 64), st.sampled_from([0.5, 1.0, 3.0, 12.5])),
)


def test_the_choice_is_that_of_the_public_code() -> None:
    """Where that code fails, on videos slower than half the rate wanted, every frame is seen, up to the limit."""
    cases = json.loads(shared("golden", "frame_sampling.json").read_text())
    failing = 0
    for case in cases:
        total, rate, most, force = (case[k] for k in ("total_frames", "avg_fps", "frames_upbound", "force_sample"))
        found = frame_indices(total, rate, case["video_fps"], most, resample=force)
        if isinstance(case["frame_idx"], str):
            failing += 1
            assert round(rate / case["video_fps"]) == 0
            assert len(found) == (most if force and most else min(total, most or total))
        else:
            assert found == case["frame_idx"]
            if not force:
                assert FramePolicy("fps", most, case["video_fps"]).choose(total, rate) == found
    assert 0 < failing < len(cases)


@given(policies, st.integers(1, 2000), st.floats(0, 240))
def test_frames_are_there_ascend_and_begin_with_the_first(policy: FramePolicy, total: int, rate: float) -> None:
    chosen = policy.choose(total, rate)
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == len(chosen) or policy.padded
    assert chosen[0] == 0
    assert chosen[-1] < total
    assert len(chosen) <= (policy.most or total)
    assert len(set(chosen)) == min(policy.most, total) or policy.kind != "uniform"


@given(st.integers(1, 64), st.integers(1, 2000))
def test_padding_only_repeats_the_last_frame_of_a_shorter_video(most: int, total: int) -> None:
    plain, padded = (FramePolicy("uniform", most, padded=each).choose(total, 0.0) for each in (False, True))
    assert len(padded) == most
    assert padded[: len(plain)] == plain
    assert set(padded[len(plain) :]) <= {total - 1}


@given(policies)
def test_a_policy_is_read_as_it_is_written(policy: FramePolicy) -> None:
    assert FramePolicy.parse(str(policy)) == policy


@pytest.mark.parametrize("text", ["", "8", "uniform", "uniform:0", "fps:0", "fps:-3", "fps:3:0", "every", "fps:3:32:1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="uniform:8"):
        FramePolicy.parse(text)


@pytest.mark.parametrize("rate", [0.0, math.nan, math.inf])
def test_a_rate_that_is_not_told_means_every_frame_up_to_the_limit(rate: float) -> None:
    assert frame_indices(5, rate, 3, 32) == [0, 1, 2, 3, 4]
    assert frame_indices(100, rate, 3, 4) == [0, 33, 66, 99]


def test_the_policy_is_part_of_a_models_identity() -> None:
    specs = [
        open_model("classical", ModelSettings(options=options)).spec.options["frames"]
        for options in (
            {},
            {"frames": "uniform:8"},
            {"frames": "all"},
            {"frames": "fps:3:32"},
            {"frames": "fps:3.0:32"},
        )
    ]
    assert specs == ["uniform:8", "uniform:8", "all", "fps:3:32", "fps:3:32"]
    with pytest.raises(UserError, match="frames"):
        open_model("classical", ModelSettings(options={"frame": "all"}))
