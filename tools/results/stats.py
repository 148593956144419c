"""The statistics of the result tables, in plain Python (no packages), each with its source.

tests/docs/test_stats.py holds them against known values, and against SciPy where it is installed.
"""

import math
from statistics import NormalDist, fmean, stdev

Z95 = NormalDist().inv_cdf(0.975)


def mean_sd(values):
    """Mean and standard deviation of the sample (n − 1); sd is 0 for one value."""
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def wilson(right, n):
    """95 % score interval of a share (Wilson 1927)."""
    p, z2 = right / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return middle - half, middle + half


def _incomplete_beta(a, b, x):
    """Regularised I_x(a, b) by Lentz' continued fraction (Numerical Recipes, §6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = (
        math.exp(
            a * math.log(x)
            + b * math.log1p(-x)
            + math.lgamma(a + b)
            - math.lgamma(a)
            - math.lgamma(b)
        )
        / a
    )
    f, c, d = 1.0, 1.0, 0.0
    for i in range(400):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 + term * d
        d = 1 / (d if abs(d) > 1e-300 else 1e-300)
        c = 1 + term / c
        c = c if abs(c) > 1e-300 else 1e-300
        f *= c * d
        if abs(1 - c * d) < 1e-15:
            break
    return front * (f - 1)


def t_two_sided(t, freedom):
    """P(|T| ≥ |t|) of Student's t."""
    return (
        _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) if math.isfinite(t) else 0.0
    )


def t_quantile(p, freedom):
    """The t with P(T ≤ t) = p, p > ½, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - t_two_sided(middle, freedom) / 2 < p else (low, middle)
    return (low + high) / 2


def paired_t(a, b, overlap=0.0):
    """Two-sided test of mean(a − b) = 0, with its 95 % interval.

    `overlap` is (test rows)/(training rows) when the pairs are random splits of one data set: their results are not
    independent, and the variance of the mean is then sd² (1/n + overlap) instead of sd²/n (Nadeau & Bengio 2003, eq. 9).
    """
    difference = [x - y for x, y in zip(a, b, strict=True)]
    mean, sd = mean_sd(difference)
    error = sd * math.sqrt(1 / len(difference) + overlap)
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    half = t_quantile(0.975, len(difference) - 1) * error
    return {
        "mean": mean,
        "sd": sd,
        "t": t,
        "p": t_two_sided(t, len(difference) - 1),
        "n": len(difference),
        "low": mean - half,
        "high": mean + half,
    }


def wilcoxon(a, b):
    """Two-sided signed-rank test, exact for any ties: every sign pattern of the ranks is counted (n ≤ 1,000).
    Differences of 0 are left out (Wilcoxon 1945)."""
    difference = [x - y for x, y in zip(a, b, strict=True) if x != y]
    n = len(difference)
    if n == 0:
        return {"w": 0.0, "p": 1.0, "n": 0}
    sizes = [round(abs(d), 12) for d in difference]  # 0.8 − 0.7 and 0.7 − 0.6 are ties
    doubled = [
        2 * sum(s < size for s in sizes) + sum(s == size for s in sizes) + 1 for size in sizes
    ]  # 2 × mid-rank
    positive = sum(r for r, d in zip(doubled, difference) if d > 0)
    counts = {0: 1}  # doubled rank sum -> number of sign patterns
    for rank in doubled:
        after = dict(counts)
        for total, patterns in counts.items():
            after[total + rank] = after.get(total + rank, 0) + patterns
        counts = after
    smaller = min(positive, sum(doubled) - positive)
    tail = sum(patterns for total, patterns in counts.items() if total <= smaller)
    return {"w": smaller / 2, "p": min(1.0, 2 * tail / 2**n), "n": n}


def mcnemar(only_a, only_b):
    """Exact two-sided test on the rows that exactly one of two models gets right (McNemar 1947)."""
    n, k = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def detectable(accuracy, n, power=0.8, disagreement=None):
    """The smallest difference of accuracy that a two-sided 5 % test finds with this power.

    Two models on rows of their own: (z₉₇.₅ + z_power) √(2 p(1 − p)/n). On the same n rows, differing on the share
    `disagreement` of them: δ with δ = (z₉₇.₅ √d + z_power √(d − δ²))/√n (Connor 1987)."""
    z = NormalDist().inv_cdf(power)
    if disagreement is None:
        return (Z95 + z) * math.sqrt(2 * accuracy * (1 - accuracy) / n)
    delta = 0.0
    for _ in range(100):
        delta = (
            Z95 * math.sqrt(disagreement) + z * math.sqrt(max(0.0, disagreement - delta**2))
        ) / math.sqrt(n)
    return delta
