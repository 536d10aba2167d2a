"""The exercises on finite precision: right answers in many styles, wrong and fragile ones."""

import numpy as np
import pytest

from bncourse.exercises.transform_numerics import far_variance, merged, welford
from bncourse.experiments.variance_methods import METHODS
from bncourse.moments import Moments, merge

SEEDS = range(20)


def in_one_weight(count, mean, m2, row):
    n = count + 1
    d = row - mean
    return n, (count * mean + row) / n, m2 + d * d * count / n


def in_place(count, mean, m2, row):
    count += 1
    d = row - mean
    mean += d / count
    m2 += d * (row - mean)
    return [count, mean, m2]


def entry_by_entry(count, mean, m2, row):
    mean, m2 = mean.copy(), m2.copy()
    for j, value in enumerate(row):
        before = value - mean[j]
        mean[j] += before / (count + 1)
        m2[j] += before * (value - mean[j])
    return count + 1, mean, m2


def a_merge_with_one(count, mean, m2, row):
    return tuple(merge(Moments(count, mean, m2), Moments(1, row, 0 * row)))


def step_in_float32(count, mean, m2, row):
    d = np.float32(row) - np.float32(mean)
    after = np.float32(mean) + d / np.float32(count + 1)
    return count + 1, after, np.float32(m2) + d * (np.float32(row) - after)


@pytest.mark.parametrize(
    "answer", [in_one_weight, in_place, entry_by_entry, a_merge_with_one, step_in_float32]
)
def test_welford_takes_any_style(answer):
    for seed in SEEDS:
        report = welford.check(answer, seed)
        assert report.outcome == "right", report


def test_a_running_mean_of_squares_is_right_and_fragile():
    def squares(count, mean, m2, row):
        total = m2 + count * mean**2 + row**2
        after = mean + (row - mean) / (count + 1)
        return count + 1, after, total - (count + 1) * after**2

    report = welford.check(squares)
    assert report.passed and report.outcome == "fragile"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (lambda count, mean, m2, row: (mean, m2), "wrong form"),
        (lambda count, mean, m2, row: mean, "wrong form"),
        (lambda count, mean, m2, row: None, "not attempted"),
    ],
)
def test_what_is_no_step_is_told_so(answer, outcome):
    assert welford.check(answer).outcome == outcome


def from_sums(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    m = m_a + m_b
    mean = (m_a * mean_a + m_b * mean_b) / m
    return m, mean, m2_a + m2_b + m_a * (mean_a - mean) ** 2 + m_b * (mean_b - mean) ** 2


def harmonic(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    weight = 1 / (1 / m_a + 1 / m_b)
    share = m_a / (m_a + m_b)
    mean = share * mean_a + (1 - share) * mean_b
    return m_a + m_b, mean, m2_a + m2_b + weight * (mean_a - mean_b) ** 2


def by_merge(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    return tuple(merge(Moments(m_b, mean_b, m2_b), Moments(m_a, mean_a, m2_a)))


def by_stand_ins(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    """Two values a worker stand for it if they have its mean and, weighted, its squares."""
    spread_a, spread_b = np.sqrt(m2_a / m_a), np.sqrt(m2_b / m_b)
    values = np.stack([mean_a - spread_a, mean_a + spread_a, mean_b - spread_b, mean_b + spread_b])
    weights = np.array([m_a, m_a, m_b, m_b]) / 2
    mean = np.average(values, axis=0, weights=weights)
    return m_a + m_b, mean, np.einsum("k,kd->d", weights, (values - mean) ** 2)


def merged_in_float32(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    given = (np.float32(v) for v in (mean_a, m2_a, mean_b, m2_b))
    mean_a, m2_a, mean_b, m2_b = given
    m, delta = m_a + m_b, mean_b - mean_a
    mean = mean_b - delta * np.float32(m_a / m)
    return m, mean, m2_a + m2_b + delta * delta * np.float32(m_a * m_b / m)


@pytest.mark.parametrize("answer", [from_sums, harmonic, by_merge, by_stand_ins, merged_in_float32])
def test_merged_takes_any_style(answer):
    for seed in SEEDS:
        report = merged.check(answer, seed)
        assert report.outcome == "right", report


def test_merging_through_sums_of_squares_is_fragile():
    def through_squares(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
        m = m_a + m_b
        mean = (m_a * mean_a + m_b * mean_b) / m
        squares = m2_a + m_a * mean_a**2 + m2_b + m_b * mean_b**2
        return m, mean, squares - m * mean**2

    assert merged.check(through_squares).outcome == "fragile"


def python_floats(x):
    columns = [[float(v) for v in column] for column in x.T]
    means = [sum(c) / len(c) for c in columns]
    pairs = zip(columns, means, strict=True)
    return np.array([sum((v - mean) ** 2 for v in c) / len(c) for c, mean in pairs])


def by_dtype(x):
    return x.var(axis=0, dtype=np.float64)


def by_moments(x):
    return Moments.of(x).var


def shifted_in_float32(x):
    d = x - x[0]
    return (d * d).mean(axis=0) - d.mean(axis=0) ** 2


def in_extended_precision(x):
    d = x.astype(np.longdouble)
    d = d - d.mean(axis=0)
    return np.einsum("md,md->d", d, d) / len(x)


@pytest.mark.parametrize(
    "answer", [python_floats, by_dtype, by_moments, shifted_in_float32, in_extended_precision]
)
def test_far_variance_takes_any_style(answer):
    for seed in range(5):
        report = far_variance.check(answer, seed)
        assert report.outcome == "right", report


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x.var(axis=0),
        lambda x: (x * x).mean(axis=0) - x.mean(axis=0) ** 2,
        lambda x: (x.astype(float) ** 2).mean(axis=0, dtype=np.float32) - x.mean(axis=0) ** 2,
        METHODS["two passes"],
    ],
)
def test_far_variance_knows_float32_sums(answer):
    for seed in range(5):
        assert far_variance.check(answer, seed).outcome == "fragile"


def test_far_variance_does_not_send_to_float64_who_is_there():
    def squares_in_float64(x):
        x = x.astype(float)
        return (x * x).mean(axis=0) - x.mean(axis=0) ** 2

    for seed in range(5):
        report = far_variance.check(squares_in_float64, seed)
        assert report.outcome == "fragile"
        assert "subtract before you square" in " ".join(report.message.split())


def test_merged_knows_who_averages_variances():
    """The forms in which it is done: with m2 or with variances, with counts or without."""

    def plain(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
        m, mean, _ = from_sums(m_a, mean_a, m2_a, m_b, mean_b, m2_b)
        return m, mean, (m2_a / m_a + m2_b / m_b) / 2

    def halves(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
        m, mean, _ = from_sums(m_a, mean_a, m2_a, m_b, mean_b, m2_b)
        return m, mean, (m2_a + m2_b) / 2

    def by_count(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
        m, mean, _ = from_sums(m_a, mean_a, m2_a, m_b, mean_b, m2_b)
        return m, mean, (m2_a + m2_b) / m

    missing = "the distance of the means is missing"
    for answer, named in (
        (plain, {"the variances are averaged"}),
        (halves, {missing, "m2_a and m2_b are averaged without their counts"}),
        (by_count, {missing, "m2 is divided by m"}),
    ):
        for seed in SEEDS:
            assert set(merged.check(answer, seed).mistakes) == named


def test_merged_knows_distances_that_are_not_counted():
    def uncounted(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
        m, mean, _ = from_sums(m_a, mean_a, m2_a, m_b, mean_b, m2_b)
        return m, mean, m2_a + m2_b + (mean_a - mean) ** 2 + (mean_b - mean) ** 2

    for seed in SEEDS:
        report = merged.check(uncounted, seed)
        assert report.mistakes == ("the distances from the common mean are not counted",)


def test_welford_knows_sums_that_are_not_divided():
    def sums(count, mean, m2, row):
        return count + 1, mean + row, m2 + row**2

    for seed in SEEDS:
        known = welford.check(sums, seed).mistakes
        assert set(known) == {"the rows are added up", "the squares of x are added"}
