import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from tightlip.tables.statistics import Interval, holm, non_inferior, paired_test, total, wilson


def test_wilson_interval_is_the_textbook_formula() -> None:
    k, n, z = 7, 50, 1.959964
    centre, half = k / n + z**2 / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + z**2 / (4 * n**2))
    expected = [(centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    value, low, high = wilson(k, n)
    assert value == k / n
    assert [low, high] == pytest.approx(expected, abs=1e-6)


def test_a_share_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no items"):
        wilson(0, 0)


def test_a_total_has_no_bounds_where_the_data_say_nothing() -> None:
    assert total([0, 0, 0], "abc", seed=0) == Interval(0, None, None)
    assert total([1, 2, 3], "aaa", seed=0) == Interval(6, None, None)


def test_items_of_one_cluster_count_as_one_draw() -> None:
    """Ten items of two clusters vary as two draws do: the total is 0, 10 or 20."""
    value, low, high = total([2] * 5 + [0] * 5, "aaaaabbbbb", seed=0)
    assert (value, low, high) == (10, 0, 20)


def test_draws_are_scaled_to_the_same_number_of_items() -> None:
    # aa: 6 in 2 items, scaled to 4 items 12; ab: 3 in 4 items; bb: 0 in 6 items.
    assert total([3, 0, 0, 0], "abbb", seed=1) == (3, 0, 12)


def test_an_interval_repeats_with_the_seed() -> None:
    counts, clusters = list(range(40)), [number // 3 for number in range(40)]
    assert total(counts, clusters, seed=5) == total(counts, clusters, seed=5) != total(counts, clusters, seed=6)


def simulated(rng: np.random.Generator, rows: int) -> tuple[list[list[int]], list[int]]:
    """Counts of rows on the same items: few or many per dialogue, dialogues unlike one another."""
    sizes = rng.integers(1, 5, size=40)
    clusters = np.repeat(np.arange(40), sizes)
    rates = rng.gamma(1.0, 2.0, size=40)[clusters]
    return [rng.poisson(rates * share).tolist() for share in (1.0, 0.6)[:rows]], clusters.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2])
def test_95_percent_intervals_cover_the_truth_in_93_to_97_percent(rows: int) -> None:
    rng, covered, runs = np.random.default_rng(1), 0, 800
    for run in range(runs):
        counts, clusters = simulated(rng, rows)
        differences = counts[0] if rows == 1 else [a - b for a, b in zip(*counts, strict=True)]
        truth = (2.0 if rows == 1 else 0.8) * len(clusters)
        _, low, high = total(differences, clusters, seed=run)
        covered += low is not None and high is not None and low <= truth <= high
    assert 0.93 <= covered / runs <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_of_repeated_trainings_cover_the_truth(seeds: int) -> None:
    """Trainings leak 0 to 3 times the mean; the truth is the mean over all trainings and dialogues."""
    rng, covered, runs = np.random.default_rng(3), 0, 800
    for run in range(runs):
        (_, clusters), effects_S = simulated(rng, 1), rng.gamma(4.0, 0.25, size=seeds)
        rates = rng.gamma(1.0, 2.0, size=40)[clusters]
        _, low, high = total(rng.poisson(rates * effects_S[:, None]), clusters, seed=run)
        covered += low is not None and high is not None and low <= 2.0 * len(clusters) <= high
    assert 0.93 <= covered / runs <= 0.97


def test_trainings_that_agree_add_nothing_to_an_interval() -> None:
    counts, clusters = [3, 0, 2, 5], "abcd"
    assert total([counts, counts], clusters, seed=0) == total(counts, clusters, seed=0)
    assert wilson([7, 7, 7], 50) == pytest.approx(wilson(7, 50))


def test_of_several_trainings_the_mean_is_given() -> None:
    value, low, high = wilson([0, 10], 50)
    assert value == pytest.approx(0.1)
    assert low is not None
    assert high is not None
    assert low < 0 < 0.2 < high  # two trainings say next to nothing: t with one degree of freedom is 12.7


@pytest.mark.slow
def test_a_true_null_is_rejected_in_5_percent_of_cases() -> None:
    rng, rejected, runs = np.random.default_rng(2), 0, 300
    for run in range(runs):
        sizes = rng.integers(1, 5, size=15)
        clusters = np.repeat(np.arange(15), sizes)
        rates = rng.gamma(1.0, 2.0, size=15)[clusters]
        differences = rng.poisson(rates) - rng.poisson(rates)
        rejected += paired_test(differences.tolist(), clusters.tolist(), seed=run) < 0.05
    assert 0.02 <= rejected / runs <= 0.08


@pytest.mark.parametrize(("better", "worse"), [(9, 1), (5, 3), (4, 4), (0, 6)])
def test_of_questions_the_paired_test_is_mcnemars(better: int, worse: int) -> None:
    differences = [1] * better + [-1] * worse + [0] * 7
    n = better + worse
    expected = min(1.0, 2 * binom.cdf(min(better, worse), n, 0.5))
    assert paired_test(differences, range(len(differences)), seed=0) == pytest.approx(expected)


def test_rows_that_never_differ_do_not_differ() -> None:
    assert paired_test([0, 0], "ab", seed=0) == 1.0
    assert paired_test([5, 5], "aa", seed=0) == 1.0


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
    assert all(a <= b for a, b in itertools.pairwise(holm([0.01, 0.02, 0.2])))


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(Interval(-2, -6, 2), False), (Interval(-2, -4.9, 1), True), (Interval(0, None, None), True)],
)
def test_a_loss_is_ruled_out_by_the_lower_bound(difference: Interval, verdict: bool) -> None:
    assert non_inferior(difference, margin=5) is verdict
