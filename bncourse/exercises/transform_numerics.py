"""Exercises of the chapter on finite precision: one pass, running and merged moments."""

from functools import partial

import numpy as np

from bncourse.exercises.attempt import WrongForm
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, far_from_zero, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "transform/numerics"

one_pass_by_hand = Quantity(
    name="one_pass_by_hand",
    chapter=CHAPTER,
    question="The variance of 10.00 and 10.03 as mean(x**2) - mean(x)**2, where every single "
    "result is rounded to four digits (a 5 is rounded up). What comes out?",
    answer=-0.1,
    tolerance=1e-3,
    absolute=1e-6,
    mistakes=(
        Mistake(
            "that is the true variance",
            0.015**2,
            "The deviations are 0.015 each way. But the squares of x have four digits only, 100.0 "
            "and 100.6: what is left of 0.0002 there?",
        ),
        Mistake(
            "that is the true variance, divided by m - 1",
            2 * 0.015**2,
            "Nothing is that small here: with four digits, numbers near 100 are 0.1 apart.",
        ),
        Mistake(
            "the mean keeps a fifth digit",
            0.0,
            "20.03 / 2 = 10.015 has five digits. Rounded, it is 10.02.",
        ),
        Mistake(
            "the mean is rounded down",
            0.1,
            "10.015 lies in the middle of 10.01 and 10.02, and a 5 is rounded up. Or is it the "
            "sign? The square of the mean is subtracted.",
        ),
        Mistake(
            "the sums are not divided",
            -0.2,
            "200.6 - 2 * 100.4 is twice what is asked: a variance is a mean.",
        ),
        Mistake(
            "the last square keeps all of its digits",
            -0.1004,
            "10.02 squared is 100.4004. Four digits of that are 100.4.",
        ),
    ),
    hints=(
        "10.03 squared is 100.6009, rounded 100.6. The mean of the squares is 200.6 / 2 = 100.3.",
        "The mean is 20.03 / 2 = 10.015, rounded 10.02. Square that, and round again.",
    ),
    working="(100.0 + 100.6) / 2 = 100.3; 10.02 squared is 100.4; 100.3 - 100.4 = -0.1. The true "
    "variance, 0.000225, is far below 0.1, the spacing of such numbers near 100.",
)

no_digit_left = Quantity(
    name="no_digit_left",
    chapter=CHAPTER,
    question="One pass in float64, where u = 2.2e-16. From what ratio of mean to spread on is the "
    "spacing of numbers near mean(x**2) as large as the variance, however few values there are?",
    answer=6.71e7,
    tolerance=0.01,
    absolute=0.0,
    mistakes=(
        Mistake(
            "that is float32",
            2.9e3,
            "In float64 u is 2.2e-16, so that there are 16 digits to lose and not 7.",
        ),
        Mistake(
            "the ratio is not squared",
            4.5e15,
            "From 1 / u on, x itself cannot hold its deviation. One pass holds x**2: the *square* "
            "of the ratio counts.",
        ),
        Mistake(
            "that is u kappa**2 at a ratio of 1",
            2.2e-16,
            "Asked is the ratio at which u kappa**2 has grown to 1.",
        ),
        Mistake(
            "the root is taken, but not the inverse",
            1.5e-8,
            "u kappa**2 = 1 gives kappa = 1 / sqrt(u), a large number.",
        ),
        Mistake(
            "that is where half of the digits are left",
            8.2e3,
            "At u**(-1/4), u kappa**2 is sqrt(u): half of the digits are still there.",
        ),
        Mistake(
            "that is the condition number squared",
            6.7e7**2 * 2.0,
            "kappa**2 = 1 / u. Take the root once more.",
        ),
    ),
    hints=(
        "Numbers near M are about u M apart, and mean(x**2) is kappa**2 variances.",
        "u kappa**2 = 1, and kappa is nearly the ratio of mean to spread.",
    ),
    working="u kappa**2 = 1 at kappa = 1 / sqrt(2.2e-16) = 6.7e7. In float32 it is 2.9e3; the "
    "figure shows all digits lost near 1000 already, for its loop makes 4096 roundings of that "
    "size, and not one.",
)

averaged_variance = Quantity(
    name="averaged_variance",
    chapter=CHAPTER,
    question="One worker has 30 values with mean 0 and variance 1, another has 10 values with mean "
    "4 and variance 5, both biased. What is the biased variance of all 40?",
    answer=5.0,
    tolerance=2e-3,
    mistakes=(
        Mistake(
            "the two variances are averaged",
            3.0,
            "The workers differ in size, so that each must count by its number of values. And "
            "their means differ, which spreads the 40 values further.",
        ),
        Mistake(
            "the distance of the means is missing",
            2.0,
            "(30 * 1 + 10 * 5) / 40 is the mean of the variances *within*. Values that lie around "
            "0 and around 4 are further apart than that.",
        ),
        Mistake(
            "the distance counts as if both workers had equally many values",
            6.0,
            "delta**2 / 4 belongs to halves. For 30 and 10 of 40 the factor is 3/4 * 1/4.",
        ),
        Mistake(
            "the distance counts in full",
            18.0,
            "delta**2 = 16 is multiplied by the two shares, 3/4 and 1/4.",
        ),
        Mistake(
            "the distance is not squared",
            2.75,
            "A variance has squared units: the term is 3/4 * 1/4 * delta**2.",
        ),
        Mistake(
            "the shares are swapped",
            7.0,
            "The variance 1 belongs to 30 values, and 5 to 10.",
        ),
        Mistake("that is M2, the sum", 200.0, "Divide it by 40."),
        Mistake("the variance is unbiased", 200 / 39, "Divide by 40, not by 39."),
        Mistake("that is the standard deviation", 5**0.5, "Asked is the variance."),
    ),
    hints=(
        "First the mean of the variances within, each weighted by its count.",
        "Then the spread of the means: 3/4 of the values sit 1 below the common mean, 1/4 sit 3 "
        "above it.",
    ),
    working="(30 * 1 + 10 * 5) / 40 = 2 within, and 3/4 * 1/4 * 16 = 3 between: together 5. Who "
    "averages the variances loses three fifths.",
)


def _welford(count, mean, m2, row):
    count = count + 1
    d = row - mean
    mean = mean + d / count
    return count, mean, m2 + d * (row - mean)


def _made_step(
    count,
    mean,
    m2,
    row,
    raised=lambda count: count + 1,
    move=lambda d, n, row: d / n,
    square=lambda d, after, n, row: d * after,
    keep=lambda m2, new, n: m2 + new,
):
    """Welford's step in parts that can be replaced; right as it stands."""
    n, d = raised(count), row - mean
    mean = mean + move(d, count + 1, row)
    return n, mean, keep(m2, square(d, row - mean, count + 1, row), count + 1)


def _stuck(count, mean, m2, row):
    return count, *_made_step(count, mean, m2, row)[1:]


def _through(update, rows):
    """Drive ``update`` through the rows, as a stream that is seen once."""
    count, mean, m2 = 0, 0 * rows[0], 0 * rows[0]
    for row in rows:
        state = update(count, mean, m2, row.copy())
        if state is None or state is ...:
            return None
        if not isinstance(state, list | tuple) or len(state) != 3:
            raise WrongForm("return three values, count, mean and m2.")
        count, mean, m2 = state
    return count, mean, m2


def _streams(rng):
    """Whole numbers first, then rows at random."""
    cases = [(np.array([[2.0, 1.0], [4.0, 1.0], [9.0, 4.0]]),)]
    for _ in range(3):
        cases.append((units(rng) * columns(rng, rng.integers(6, 20), rng.integers(2, 6)),))
    return cases


SQUARES = (
    "somewhere sums of x**2 are kept and the square of a mean is taken off, and where the mean is "
    "large beside the spread the two agree in all their digits. Add up products of deviations."
)

welford = Exercise(
    name="welford",
    chapter=CHAPTER,
    question="One step of Welford's method: count rows have been seen, with mean and m2, the sum "
    "of the squared deviations from that mean, each of shape (D,); count may be 0. Now comes one "
    "more row. f(count, mean, m2, row) -> (count, mean, m2).",
    reference=_welford,
    use=_through,
    inputs=_streams,
    outputs=("count", "mean", "m2"),
    hostile=lambda rng, eps: [(far_from_zero(rng, eps),)],
    fragile=SQUARES,
    mistakes=(
        Mistake(
            "both deviations are from the old mean",
            partial(_made_step, square=lambda d, after, n, row: d * d),
            "d * d is too much: the new row has drawn the mean towards itself. One deviation is "
            "from the old mean, the other from the new one.",
        ),
        Mistake(
            "both deviations are from the new mean",
            partial(_made_step, square=lambda d, after, n, row: after * after),
            "That is too little: the other rows are further from the new mean than from the old "
            "one. Take one deviation before the mean moves, and one after.",
        ),
        Mistake(
            "d * d is divided by count",
            partial(_made_step, square=lambda d, after, n, row: d * d / n),
            "The product of the two deviations is d * d * (count - 1) / count, with the new count.",
        ),
        Mistake(
            "the deviation from the new mean stands alone",
            partial(_made_step, square=lambda d, after, n, row: after),
            "m2 is a sum of squares: d * (row - mean), before and after.",
        ),
        Mistake(
            "the squares of x are added",
            partial(_made_step, square=lambda d, after, n, row: row * row),
            "m2 is about the mean, not about 0.",
        ),
        Mistake(
            "m2 is kept as a variance",
            partial(_made_step, keep=lambda m2, new, n: m2 + (new - m2) / n),
            "m2 is the sum of the squares. Divide by count when all rows are in, not before.",
        ),
        Mistake(
            "m2 is overwritten",
            partial(_made_step, keep=lambda m2, new, n: new),
            "Add to the m2 that was passed.",
        ),
        Mistake(
            "the mean moves all the way",
            partial(_made_step, move=lambda d, n, row: d),
            "mean + d is the new row. Of count rows it is one: move by d / count.",
        ),
        Mistake(
            "the mean is a sum",
            partial(_made_step, move=lambda d, n, row: row / n),
            "Move by the deviation, divided by the new count, not by the row.",
        ),
        Mistake(
            "the rows are added up",
            partial(_made_step, move=lambda d, n, row: row),
            "mean + row is a running sum. Move by the deviation, divided by the new count.",
        ),
        Mistake(
            "the mean moves the wrong way",
            partial(_made_step, move=lambda d, n, row: -d / n),
            "d = row - mean points to the new row. Add d / count.",
        ),
        Mistake(
            "the mean moves by the old count",
            partial(_made_step, move=lambda d, n, row: d / np.float64(n - 1)),
            "The new row counts as well: raise count first, then divide. At the first row the old "
            "count is 0.",
        ),
        Mistake(
            "the mean is a moving average",
            partial(_made_step, move=lambda d, n, row: 0.1 * d),
            "0.1 forgets. Here all rows weigh alike: 1 / count.",
        ),
        Mistake(
            "count is not raised",
            _stuck,
            "One more row has been seen: return count + 1.",
        ),
        Mistake(
            "count is raised twice",
            lambda count, mean, m2, row: _welford(count + 1, mean, m2, row),
            "After one row, count is 1.",
        ),
    ),
    hints=(
        "Raise count. Then let d be the distance of the row from the old mean.",
        "The mean moves by d / count. Now there is a second distance, that from the new mean.",
        "m2 + d * (row - mean), with the new mean.",
    ),
    praise="Half of the rows are seen by another worker. Can two such states be made one?",
)


def _merged(m_a, mean_a, m2_a, m_b, mean_b, m2_b):
    m = m_a + m_b
    delta = mean_b - mean_a
    mean = mean_a + delta * m_b / m
    return m, mean, m2_a + m2_b + delta**2 * m_a * m_b / m


def _made_merged(
    m_a,
    mean_a,
    m2_a,
    m_b,
    mean_b,
    m2_b,
    count=lambda a, b: a + b,
    weight=lambda a, b: b / (a + b),
    within=lambda a, b, m2_a, m2_b: m2_a + m2_b,
    between=lambda delta, a, b: delta**2 * a * b / (a + b),
    form=lambda m2, a, b: m2,
):
    """Chan's formula in parts that can be replaced; right as it stands."""
    delta = mean_b - mean_a
    m2 = within(m_a, m_b, m2_a, m2_b) + between(delta, m_a, m_b)
    mean = mean_a + delta * weight(m_a, m_b)
    return count(m_a, m_b), mean, form(m2, m_a, m_b)


def _moments(x):
    mean = x.mean(axis=0)
    return len(x), mean, ((x - mean) ** 2).sum(axis=0)


def _two_parts(rng):
    """Whole numbers first; then two parts of different sizes whose means differ."""
    cases = [(2, np.array([1.0]), np.array([2.0]), 6, np.array([5.0]), np.array([10.0]))]
    for _ in range(3):
        d, m, unit = rng.integers(2, 6), rng.integers(4, 9), units(rng)
        sizes = rng.permutation([m, m + rng.integers(3, 9)])
        a, b = (unit * (columns(rng, n, d) + rng.normal(0, 2, d)) for n in sizes)
        cases.append((*_moments(a), *_moments(b)))
    return cases


def _far_parts(rng, eps):
    x = far_from_zero(rng, eps)
    return [(*_moments(x[:7]), *_moments(x[7:]))]


merged = Exercise(
    name="merged",
    chapter=CHAPTER,
    question="Two workers have m_a and m_b values (both above 0), their means, and the sums m2 of "
    "squared deviations, the arrays of shape (D,). What holds for all values together? "
    "f(m_a, mean_a, m2_a, m_b, mean_b, m2_b) -> (m, mean, m2).",
    reference=_merged,
    inputs=_two_parts,
    outputs=("m", "mean", "m2"),
    hostile=_far_parts,
    fragile=SQUARES,
    mistakes=(
        Mistake(
            "the distance of the means is missing",
            partial(_made_merged, between=lambda delta, a, b: 0 * delta),
            "m2_a and m2_b are about two means. Unless these agree, the values spread further: "
            "delta**2 * m_a * m_b / m is missing.",
        ),
        Mistake(
            "delta**2 has no factor",
            partial(_made_merged, between=lambda delta, a, b: delta**2),
            "Each of the m_a + m_b values moves by its part of delta. The squares add up to "
            "delta**2 * m_a * m_b / m.",
        ),
        Mistake(
            "the factor is not divided by m",
            partial(_made_merged, between=lambda delta, a, b: delta**2 * a * b),
            "m_a * m_b is the number of pairs. The factor is m_a * m_b / m.",
        ),
        Mistake(
            "the factor is that of a variance",
            partial(_made_merged, between=lambda delta, a, b: delta**2 * a * b / (a + b) ** 2),
            "m_a * m_b / m**2 belongs to the variance. m2 is a sum, m times as large.",
        ),
        Mistake(
            "the factor is that of equal halves",
            partial(_made_merged, between=lambda delta, a, b: delta**2 * (a + b) / 4),
            "m / 4 is m_a * m_b / m where m_a = m_b.",
        ),
        Mistake(
            "delta is not squared",
            partial(_made_merged, between=lambda delta, a, b: delta * a * b / (a + b)),
            "A sum of squares has squared units, and cannot fall when delta is negative.",
        ),
        Mistake(
            "the distance is subtracted",
            partial(_made_merged, between=lambda delta, a, b: -(delta**2) * a * b / (a + b)),
            "Different means spread the values further: add the term.",
        ),
        Mistake(
            "only the values of a move",
            partial(_made_merged, between=lambda delta, a, b: a * (delta * b / (a + b)) ** 2),
            "The m_b values of b move to the common mean as well, by delta * m_a / m each.",
        ),
        Mistake(
            "only the values of b move",
            partial(_made_merged, between=lambda delta, a, b: b * (delta * a / (a + b)) ** 2),
            "The m_a values of a move to the common mean as well, by delta * m_b / m each.",
        ),
        Mistake(
            "the distances from the common mean are not counted",
            partial(
                _made_merged,
                between=lambda delta, a, b: delta**2 * (a**2 + b**2) / (a + b) ** 2,
            ),
            "Each mean stands for all values of its part: (mean_a - mean)**2 belongs m_a times, "
            "(mean_b - mean)**2 m_b times.",
        ),
        Mistake(
            "m2_a and m2_b are averaged",
            partial(
                _made_merged,
                within=lambda a, b, m2_a, m2_b: (a * m2_a + b * m2_b) / (a + b),
            ),
            "Variances are averaged with the counts as weights. m2 is a sum: add the two.",
        ),
        Mistake(
            "m2_a and m2_b are averaged without their counts",
            partial(_made_merged, within=lambda a, b, m2_a, m2_b: (m2_a + m2_b) / 2),
            "m2 is a sum: add the two, without dividing.",
        ),
        Mistake(
            "the variances are averaged",
            partial(
                _made_merged,
                within=lambda a, b, m2_a, m2_b: (m2_a / a + m2_b / b) / 2,
                between=lambda delta, a, b: 0 * delta,
            ),
            "An average of m2 / count forgets that one worker has more values, and how far the "
            "means are apart. And m2 is a sum: start from m2_a + m2_b.",
        ),
        Mistake(
            "m2 is divided by m",
            partial(_made_merged, form=lambda m2, a, b: m2 / (a + b)),
            "That is the variance. Asked is m2, so that the next one can merge with it.",
        ),
        Mistake(
            "m2 is divided by m - 1",
            partial(_made_merged, form=lambda m2, a, b: m2 / (a + b - 1)),
            "That is the unbiased variance. Asked is m2, so that the next one can merge with it.",
        ),
        Mistake(
            "the means are averaged without their counts",
            partial(_made_merged, weight=lambda a, b: 0.5),
            "The worker with more values counts for more: mean_a + delta * m_b / m.",
        ),
        Mistake(
            "the counts are swapped in the mean",
            partial(_made_merged, weight=lambda a, b: a / (a + b)),
            "From mean_a, move towards mean_b by the share of *b*.",
        ),
        Mistake(
            "the mean moves the wrong way",
            partial(_made_merged, weight=lambda a, b: -b / (a + b)),
            "With delta = mean_b - mean_a, move from mean_a by + delta * m_b / m.",
        ),
        Mistake(
            "the mean is divided by the other count",
            partial(_made_merged, weight=lambda a, b: b / a),
            "The share of b is m_b / (m_a + m_b).",
        ),
        Mistake(
            "the counts are multiplied",
            partial(_made_merged, count=lambda a, b: a * b),
            "Together there are m_a + m_b values.",
        ),
    ),
    hints=(
        "The common mean lies between the two, nearer to that of the larger part.",
        "About any point c, the squares add up to m2 + m * (mean - c)**2. Take the common mean "
        "for c, for each part.",
        "m_a * (delta * m_b / m)**2 + m_b * (delta * m_a / m)**2 = delta**2 * m_a * m_b / m.",
    ),
    praise="Put m_b = 1 and m2_b = 0: which method is that?",
)


def _far_variance(x):
    wide = x.astype(np.float64)
    d = wide - wide.mean(axis=0)
    return (d * d).mean(axis=0)


def _made_variance(
    x,
    center=lambda x: x.mean(axis=0),
    measure=lambda d: d * d,
    average=lambda a: a.mean(axis=0),
    form=lambda var: var,
):
    """The variance in parts that can be replaced; right as it stands."""
    wide = x.astype(np.float64)
    return form(average(measure(wide - center(wide))))


def _in_float32(rng):
    cases = [(np.array([[1.0, 4.0], [3.0, 4.0], [8.0, 10.0]], dtype=np.float32),)]
    for _ in range(3):
        x = units(rng) * columns(rng, rng.integers(6, 20), rng.integers(2, 6))
        cases.append((x.astype(np.float32),))
    return cases


def _a_million_off(rng, eps):
    return [((rng.standard_normal((20000, 3)) + 1e6).astype(np.float32),)]


far_variance = Exercise(
    name="far_variance",
    chapter=CHAPTER,
    question="The biased variance of each column of a float32 array x of shape (m, D), m large: "
    "f(x) -> var. It is tried where the mean is a million and the spread is one, too.",
    reference=_far_variance,
    inputs=_in_float32,
    outputs=("var",),
    hostile=_a_million_off,
    fragile="where the mean is a million spreads away, so much is lost in the squares of x, or in "
    "a float32 sum of so many x. Near 1e12 even float64 numbers are 1e-4 apart, and a float32 sum "
    "of 20 000 values near 1e6 holds none of their deviations. So subtract before you square, and "
    "add up in float64, x.mean(axis=0, dtype=float); or subtract one of the values first.",
    mistakes=(
        Mistake(
            "it is divided by m - 1",
            partial(_made_variance, average=lambda a: a.sum(axis=0) / (len(a) - 1)),
            "Batch norm divides by the biased variance, with m.",
        ),
        Mistake(
            "it is not divided",
            partial(_made_variance, average=lambda a: a.sum(axis=0)),
            "That is m2, the sum. Divide by m, len(x).",
        ),
        Mistake(
            "it is divided by m twice",
            partial(_made_variance, average=lambda a: a.mean(axis=0) / len(a)),
            "mean has divided already.",
        ),
        Mistake(
            "that is the standard deviation",
            partial(_made_variance, form=np.sqrt),
            "Take no root: asked is the variance.",
        ),
        Mistake(
            "the mean is not subtracted",
            partial(_made_variance, center=lambda x: 0),
            "That is the mean square, the variance plus the square of the mean.",
        ),
        Mistake(
            "the first row stands for the mean",
            partial(_made_variance, center=lambda x: x[0]),
            "Subtracting it is a good start, for what is left has short numbers. But its own "
            "distance from the mean is still in there: take off mean(d)**2.",
        ),
        Mistake(
            "the median stands for the mean",
            partial(_made_variance, center=lambda x: np.median(x, axis=0)),
            "The squares are smallest about the mean; about the median they are larger.",
        ),
        Mistake(
            "one mean serves all columns",
            partial(_made_variance, center=lambda x: x.mean()),
            "Each feature has its own mean: axis=0.",
        ),
        Mistake(
            "the means run along each row",
            partial(_made_variance, center=lambda x: x.mean(axis=1, keepdims=True)),
            "The examples are the rows: average down the columns, axis=0.",
        ),
        Mistake(
            "the deviations are not squared",
            partial(_made_variance, measure=np.abs),
            "That is the mean distance from the mean. Square the deviations.",
        ),
        Mistake(
            "the square of the mean is added",
            lambda x: (x.astype(float) ** 2).mean(axis=0) + x.astype(float).mean(axis=0) ** 2,
            "mean(x**2) - mean(x)**2, with a minus. And even so it is the fragile formula.",
        ),
    ),
    hints=(
        "Where the mean is a million, what is the spacing of float32 numbers? And where the sum "
        "of 20 000 of them is?",
        "x.astype(float) has room for both.",
        "Subtract the mean before you square.",
    ),
    praise="What if the first row is a stray value, a billion away from all others?",
)
