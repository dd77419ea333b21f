"""Intervals and tests for answers that come in groups: the samples of one dialogue are not independent.

Shapes: I items (answers, questions), C clusters (dialogues), S trained seeds.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, permutation_test, t  # type: ignore[import-untyped,unused-ignore]
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95
RESAMPLES = 2000
PERMUTATIONS = 9999


class Interval(NamedTuple):
    """A metric with its 95% interval; without bounds where the data say nothing about them."""

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, unit: float) -> "Interval":
        """Return the interval in another unit; 100 makes percent of a share."""
        low, high = (None if bound is None else unit * bound for bound in self[1:])
        return Interval(unit * self.value, low, high)


def wilson(successes: int | Sequence[int], n: int) -> Interval:
    """Share of successes among independent items, with its Wilson interval (Wilson 1927).

    Args:
        successes: their number; of several trainings, one number each. The interval is then of the mean, see `total`.
        n: items.

    Raises:
        ValueError: no items.
    """
    if n < 1:
        raise ValueError("a share of no items; raise the number of prompts or questions")
    shares_S = np.atleast_1d(np.asarray(successes, dtype=float)) / n
    mean = float(shares_S.mean())
    low, high = proportion_confint(mean * n, n, alpha=1 - LEVEL, method="wilson")
    return _across(Interval(mean, max(0.0, float(low)), min(1.0, float(high))), shares_S)


def total(counts: ArrayLike, clusters: Sequence[Hashable], seed: int) -> Interval:
    """Sum of counts with its interval: whole clusters are drawn anew, every draw scaled to the same number of items.

    Bias-corrected and accelerated (BCa, Efron 1987), since totals of few leaking dialogues are skewed, and wider than
    that as far as Student's t with C − 1 degrees of freedom is wider than the normal, since a bootstrap of few clusters
    is too narrow (Hesterberg 2015, section 4.3). Of several trainings it is the interval of their mean: the bootstrap
    of the mean counts, joined with Student's interval of the sums of the S trainings (MOVER, Zou and Donner 2008). A
    handful of seeds drawn with replacement would give intervals far too narrow.

    Args:
        counts: one per item, shape (I,), or of several trainings (S, I); of a difference between two rows, the
            differences item by item.
        clusters: what each item belongs to.
        seed: of the draws.

    Returns:
        The sum, of several trainings their mean; no bounds where every count is 0 or there is one cluster only.
    """
    counts_SI = np.atleast_2d(np.asarray(counts, dtype=float))
    return _across(_total(counts_SI.mean(axis=0), clusters, seed), counts_SI.sum(axis=1))


def _across(interval: Interval, values_S: NDArray[np.float64]) -> Interval:
    """Join the interval of a mean over trainings with the spread between them."""
    seeds = len(values_S)
    if seeds < 2 or interval.low is None or interval.high is None:
        return interval
    reach = t.ppf((1 + LEVEL) / 2, seeds - 1) * values_S.std(ddof=1) / math.sqrt(seeds)
    value, low, high = interval.value, interval.low, interval.high
    return Interval(value, value - math.hypot(value - low, reach), value + math.hypot(high - value, reach))


def _total(counts: NDArray[np.float64], clusters: Sequence[Hashable], seed: int) -> Interval:
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    numbers = [names[name] for name in clusters]
    sums_C, sizes_C = np.bincount(numbers, weights=counts), np.bincount(numbers)
    if not counts.any() or len(names) < 2:
        return Interval(float(counts.sum()))
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums_C[drawn].sum(axis=1) / sizes_C[drawn].sum(axis=1)
    without_C = (sums_C.sum() - sums_C) / (sizes_C.sum() - sizes_C)
    low, high = np.quantile(means, _bca(means, sums_C.sum() / sizes_C.sum(), without_C)) * len(counts)
    return Interval(float(counts.sum()), float(low), float(high))


def _bca(drawn: NDArray[np.float64], mean: float, without_C: NDArray[np.float64]) -> tuple[float, float]:
    """Shares of the draws at which the bounds lie.

    Args:
        drawn: means of the draws.
        mean: the mean itself.
        without_C: the mean without each cluster.
    """
    count = len(without_C)
    bias = norm.ppf(((drawn < mean).mean() + (drawn <= mean).mean()) / 2)
    pull_C = without_C.mean() - without_C
    spread = (pull_C**2).sum()
    acceleration = (pull_C**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    reach = math.sqrt(count / (count - 1)) * t.ppf((1 + LEVEL) / 2, count - 1)
    shares = [norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (-reach, reach)]
    return float(shares[0]), float(shares[1])


def paired_test(differences: Sequence[float], clusters: Sequence[Hashable], seed: int) -> float:
    """Two-sided p-value that two rows differ on the same items: signs of whole clusters are flipped at random.

    Exact where there are few clusters; of correct and wrong answers to independent questions it is McNemar's exact
    test.
    """
    sums: dict[Hashable, float] = {}
    for cluster, difference in zip(clusters, differences, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + difference
    sums_C: NDArray[np.float64] = np.array([each for each in sums.values() if each])
    if len(sums_C) < 2:
        return 1.0
    result = permutation_test(
        (sums_C,), lambda each, axis: each.sum(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=PERMUTATIONS, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of a grid of comparisons (Holm 1979)."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def non_inferior(difference: Interval, margin: float) -> bool:
    """Say whether a loss of `margin` or more is ruled out: the 95% interval of new − old lies above −margin.

    Where nothing differs on any item, the difference is 0 and has no interval; it is not inferior.
    """
    return (difference.value if difference.low is None else difference.low) > -margin
