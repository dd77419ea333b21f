"""The worked examples use three tokens: p = (0.5, 0.3, 0.2) under the positive prompt, n = (0.2, 0.3, 0.5)."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tightlip.guidance.combine import combine
from tightlip.table_rows import Guidance, Space

SPACES: tuple[Space, Space] = ("log", "prob")
INF = math.inf
P, N = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)


def logits(*probabilities: float) -> Tensor:
    """Logits of a distribution; a constant is added, since logits need not be normalised."""
    return torch.tensor([probabilities]).log() + 3


def guided(positive: Tensor, negative: Tensor, scale: float, space: Space) -> list[float]:
    """The guided probabilities of the first row."""
    probabilities: list[float] = combine(positive, negative, Guidance(scale, space)).exp()[0].tolist()
    return probabilities


def test_log_space_is_equation_2() -> None:
    # γ = 2: n · (p/n)² = p²/n = (1.25, 0.3, 0.08), of sum 1.63.
    assert guided(logits(*P), logits(*N), 2, "log") == pytest.approx([1.25 / 1.63, 0.3 / 1.63, 0.08 / 1.63], abs=1e-6)


def test_prob_space_is_equation_6() -> None:
    # γ = 1.5: n + 1.5 (p − n) = (0.2 + 0.45, 0.3, 0.5 − 0.45).
    assert guided(logits(*P), logits(*N), 1.5, "prob") == pytest.approx([0.65, 0.3, 0.05], abs=1e-6)


def test_prob_space_clips_at_0_and_normalises() -> None:
    # γ = 3: (0.2 + 0.9, 0.3, 0.5 − 0.9) = (1.1, 0.3, −0.4), clipped and divided by 1.4.
    result = combine(logits(*P), logits(*N), Guidance(3, "prob"))[0]
    assert result.exp().tolist() == pytest.approx([1.1 / 1.4, 0.3 / 1.4, 0], abs=1e-6)
    assert result[2] == -INF


@pytest.mark.parametrize("space", SPACES)
def test_scale_0_returns_the_negative_distribution(space: Space) -> None:
    assert guided(logits(*P), logits(*N), 0, space) == pytest.approx(N, abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_scale_1_returns_the_positive_distribution(space: Space) -> None:
    assert guided(logits(*P), logits(*N), 1, space) == pytest.approx(P, abs=1e-6)


def test_a_scale_below_1_lies_between_the_branches() -> None:
    # γ = 0.5 in log space: √(p n) = (√0.1, 0.3, √0.1).
    root, total = math.sqrt(0.1), 2 * math.sqrt(0.1) + 0.3
    expected = [root / total, 0.3 / total, root / total]
    assert guided(logits(*P), logits(*N), 0.5, "log") == pytest.approx(expected, abs=1e-6)
    assert guided(logits(*P), logits(*N), 0.5, "prob") == pytest.approx([0.35, 0.3, 0.35], abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_rows_are_independent(space: Space) -> None:
    both = combine(torch.cat([logits(*P), logits(*N)]), torch.cat([logits(*N), logits(*P)]), Guidance(2, space))
    torch.testing.assert_close(both[:1], combine(logits(*P), logits(*N), Guidance(2, space)))
    torch.testing.assert_close(both[1:], combine(logits(*N), logits(*P), Guidance(2, space)))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("scale", [0, 0.5, 1, 1.5, 3])
@pytest.mark.parametrize("in_branch", ["positive", "negative", "both"])
def test_a_banned_token_stays_banned_and_never_gives_nan(space: Space, scale: float, in_branch: str) -> None:
    positive, negative = logits(*P), logits(*N)
    if in_branch != "negative":
        positive[0, 2] = -INF
    if in_branch != "positive":
        negative[0, 2] = -INF
    result = combine(positive, negative, Guidance(scale, space))[0]
    assert not result.isnan().any()
    assert result.exp().sum() == pytest.approx(1, abs=1e-6)
    if scale != 1 or in_branch != "negative":  # scale 1 is the positive branch alone
        assert result[2] == -INF


def test_a_ban_in_one_branch_leaves_the_other_tokens_a_distribution() -> None:
    # Without token 0: p = (1, 0), n = (0.5, 0.5); γ = 2 gives (1.5, −0.5), clipped to (1, 0).
    assert guided(logits(0.9, 0.1, 0), logits(0, 0.5, 0.5), 2, "prob") == pytest.approx([0, 1, 0], abs=1e-6)


def test_half_precision_logits_are_combined_in_float32() -> None:
    low = combine(logits(*P).bfloat16(), logits(*N).bfloat16(), Guidance(3, "log"))
    assert low.dtype == torch.float32
    torch.testing.assert_close(
        low, combine(logits(*P).bfloat16().float(), logits(*N).bfloat16().float(), Guidance(3, "log"))
    )


def test_the_logits_given_stay_as_they_are() -> None:
    positive, negative = logits(*P), logits(*N)
    for space in SPACES:
        combine(positive, negative, Guidance(3, space))
    assert torch.equal(positive, logits(*P))
    assert torch.equal(negative, logits(*N))


@pytest.mark.parametrize("space", SPACES)
def test_branches_of_different_shape_and_negative_scales_are_errors(space: Space) -> None:
    with pytest.raises(ValueError, match=r"branches differ in shape: \(1, 3\) and \(1, 2\)"):
        combine(logits(*P), logits(0.5, 0.5), Guidance(2, space))
    with pytest.raises(ValueError, match="at least 0, not -1"):
        combine(logits(*P), logits(*N), Guidance(-1, space))


rows = st.lists(st.floats(-30, 30, width=32), min_size=5, max_size=5)


@settings(deadline=None)
@given(positive=rows, negative=rows, scale=st.floats(0, 20), space=st.sampled_from(SPACES))
def test_the_result_is_a_distribution(positive: Any, negative: Any, scale: float, space: Space) -> None:
    result = combine(torch.tensor([positive]), torch.tensor([negative]), Guidance(scale, space))
    assert not result.isnan().any()
    assert (result <= 1e-6).all()
    assert result.exp().sum() == pytest.approx(1, abs=1e-4)


@settings(deadline=None)
@given(positive=rows, negative=rows, space=st.sampled_from(SPACES))
def test_a_token_that_only_the_positive_prompt_favours_gains_with_the_scale(
    positive: Any, negative: Any, space: Space
) -> None:
    pos, neg = torch.tensor([positive]), torch.tensor([negative])
    ratio = pos.log_softmax(-1) - neg.log_softmax(-1)
    best = int(ratio.argmax())
    low, high = (combine(pos, neg, Guidance(scale, space))[0, best] for scale in (1.0, 2.0))
    assert high >= low - 1e-4


@pytest.mark.parametrize("space", ["log", "prob"])
def test_tokens_that_the_positive_branch_finds_implausible_are_dropped(space: Any) -> None:
    positive = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    negative = torch.tensor([[0.4, 0.5, 0.0999, 0.0001]]).log()
    guided = combine(positive, negative, Guidance(3.0, space, 0.2))
    assert guided.isneginf().tolist()[0][3]
    assert not combine(positive, negative, Guidance(3.0, space))[0, 3].isneginf()
    assert guided.exp().sum() == pytest.approx(1)
    kept = combine(positive[:, :3], negative[:, :3], Guidance(3.0, space))
    torch.testing.assert_close(guided[:, :3], kept)


def test_plausibility_is_a_share() -> None:
    with pytest.raises(ValueError, match="plausibility"):
        combine(torch.zeros(1, 2), torch.ones(1, 2), Guidance(2.0, "log", 1.5))
