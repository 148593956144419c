"""tools/results/stats.py against known values, and against SciPy where it is installed.

Mutations killed: n for n − 1 in the sd; one-sided for two-sided p (t, Wilcoxon, McNemar); ties ranked by order instead of
mid-rank; zeros kept in Wilcoxon; the overlap term dropped; z² dropped from Wilson's middle; t's freedom off by one.
"""

import math
import os
import pathlib
import random
import sys

import pytest

sys.path.insert(
    0,
    str(
        pathlib.Path(os.environ.get("ATTEND_SOURCE", pathlib.Path(__file__).parents[2]))
        / "tools/results"
    ),
)
import render  # noqa: E402
import stats  # noqa: E402

# Student's sleep data (Biometrika 1908): extra hours under two drugs, ten patients. R: t = -4.0621, df 9, p = 0.002833.
SLEEP_A = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_B = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_paired_t_of_the_sleep_data():
    result = stats.paired_t(SLEEP_A, SLEEP_B)
    assert result["t"] == pytest.approx(-4.0621, abs=1e-4)
    assert result["p"] == pytest.approx(0.002833, abs=1e-6)
    assert (result["low"], result["high"]) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)


def test_overlap_widens_by_nadeau_and_bengio():
    plain, corrected = (stats.paired_t(SLEEP_A, SLEEP_B, overlap=o) for o in (0, 0.25))
    assert corrected["t"] == pytest.approx(plain["t"] / math.sqrt(1 + 10 * 0.25))


def test_equal_lists_show_nothing():
    assert stats.paired_t([1, 2, 3], [1, 2, 3])["p"] == 1
    assert stats.wilcoxon([1, 2], [1, 2]) == {"w": 0.0, "p": 1.0, "n": 0}
    assert stats.mcnemar(0, 0) == 1


def test_critical_values_of_printed_tables():
    assert stats.t_two_sided(2.2621571628, 9) == pytest.approx(0.05, abs=1e-9)
    assert stats.t_quantile(0.975, 9) == pytest.approx(2.2621571628, abs=1e-8)
    # n = 10: W = 8 is the 5 % point, exact p = 50/1024.
    a = list(range(1, 11))
    signs = [-1 if r in (3, 5) else 1 for r in a]
    result = stats.wilcoxon([s * r for s, r in zip(signs, a)], [0] * 10)
    assert result["w"] == 8 and result["p"] == pytest.approx(50 / 1024)


def test_wilcoxon_by_every_sign_pattern():
    difference = [0, 1, -1, 2, 2, -2, 5]  # ties and a zero
    sizes = [abs(d) for d in difference if d]
    ranks = [sum(s < x for s in sizes) + (sum(s == x for s in sizes) + 1) / 2 for x in sizes]
    sums = [sum(r for i, r in enumerate(ranks) if pattern >> i & 1) for pattern in range(2**6)]
    observed = min(1.5 + 4, sum(ranks) - 5.5)
    expected = min(1, 2 * sum(s <= observed for s in sums) / len(sums))
    result = stats.wilcoxon(difference, [0] * 7)
    assert (result["w"], result["p"], result["n"]) == (observed, pytest.approx(expected), 6)


def test_mcnemar_is_the_binomial():
    assert stats.mcnemar(3, 12) == stats.mcnemar(12, 3) == pytest.approx(2 * 576 / 2**15)
    assert stats.mcnemar(5, 5) == 1


def test_wilson_solves_the_score_equation():
    for right, n in ((325, 400), (308, 400), (0, 10), (10, 10)):
        for bound in stats.wilson(right, n):
            assert (right / n - bound) ** 2 == pytest.approx(
                stats.Z95**2 * bound * (1 - bound) / n, abs=1e-15
            )
    assert stats.wilson(325, 400) == pytest.approx((0.7714, 0.8478), abs=1e-4)


def test_detectable_difference_has_the_power_it_says():
    accuracy, n = 0.8, 400
    delta = stats.detectable(accuracy, n)
    assert delta == pytest.approx(2.8015852 * math.sqrt(2 * 0.16 / n), abs=1e-6)
    # Paired: simulate rows of which a share disagrees, and count how often McNemar's test rejects.
    share = 0.15
    delta = stats.detectable(accuracy, n, disagreement=share)
    generator, found, trials = random.Random(1), 0, 2000
    for _ in range(trials):
        draws = [generator.random() for _ in range(n)]
        b = sum(x < (share + delta) / 2 for x in draws)
        c = sum((share + delta) / 2 <= x < share for x in draws)
        found += abs(b - c) >= stats.Z95 * math.sqrt(b + c)
    assert found / trials == pytest.approx(0.8, abs=0.03)


def test_mean_sd():
    assert stats.mean_sd([1, 2, 3, 4]) == (2.5, pytest.approx(math.sqrt(5 / 3)))
    assert stats.mean_sd([7]) == (7, 0)


def test_against_scipy():
    scipy = pytest.importorskip("scipy.stats")
    generator = random.Random(2)
    for _ in range(50):
        n = generator.randrange(3, 15)
        a, b = ([generator.gauss(0, 1) for _ in range(n)] for _ in range(2))
        expected = scipy.ttest_rel(a, b)
        assert stats.paired_t(a, b)["p"] == pytest.approx(expected.pvalue, rel=1e-9)
        assert (stats.paired_t(a, b)["low"], stats.paired_t(a, b)["high"]) == pytest.approx(
            tuple(expected.confidence_interval()), rel=1e-8
        )
        assert stats.wilcoxon(a, b)["p"] == pytest.approx(
            scipy.wilcoxon(a, b, method="exact").pvalue, rel=1e-12
        )
        right = generator.randrange(0, 401)
        interval = scipy.binomtest(right, 400).proportion_ci(method="wilson")
        assert stats.wilson(right, 400) == pytest.approx((interval.low, interval.high), abs=1e-12)
        k = generator.randrange(0, 40)
        assert stats.mcnemar(k, 40 - k) == pytest.approx(
            min(1, scipy.binomtest(k, 40).pvalue), rel=1e-9
        )


def test_markers_are_replaced_once_or_refused():
    text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    assert render.replaced(text, {"x": "new\n"}) == "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n"
    with pytest.raises(SystemExit, match="'y' once, found them 0 times"):
        render.replaced(text, {"y": ""})
