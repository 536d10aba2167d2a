"""Six ways to a variance, in the arithmetic of the array they are given.

The textbook's formula and its cures, as the chapter :doc:`/book/transform/numerics` compares them.
Rows are added in a loop, one after the other, so that the result is the same on every machine; the
columns are computed side by side. For statistics that are to be *used*, take
:class:`bncourse.moments.Moments`.

Each function takes ``x`` of shape (n, D), n > 0, in float16, float32 or float64, and returns the
biased variance of each column, shape (D,), in the same dtype. Overflow gives inf or NaN.
"""


def _sum(rows):
    total = 0 * rows[0]
    for row in rows:
        total = total + row
    return total


def one_pass(x):
    """Mean of the squares less the square of the mean: one pass, and the most fragile."""
    n = len(x)
    return _sum(x * x) / n - (_sum(x) / n) ** 2


def shifted(x):
    """One pass over the distances to the first row, which stands for the mean."""
    return one_pass(x - x[0])


def two_pass(x):
    """First the mean, then the mean of the squared deviations."""
    n = len(x)
    d = x - _sum(x) / n
    return _sum(d * d) / n


def corrected(x):
    """Two passes, less the square of what the mean was off; Chan, Golub and LeVeque (1983)."""
    n = len(x)
    d = x - _sum(x) / n
    return _sum(d * d) / n - (_sum(d) / n) ** 2


def welford(x):
    """A running mean and a running sum of squares, row by row; Welford (1962)."""
    mean, m2 = 0 * x[0], 0 * x[0]
    for k, row in enumerate(x, start=1):
        d = row - mean
        mean = mean + d / k
        m2 = m2 + d * (row - mean)
    return m2 / len(x)


def pairwise(x):
    """Halves, merged; and halves of halves, down to single rows; Chan, Golub and LeVeque (1983)."""
    _, m2 = _mean_and_m2(x)
    return m2 / len(x)


def _mean_and_m2(x):
    n, half = len(x), len(x) // 2
    if n == 1:
        return x[0], 0 * x[0]
    mean_a, m2_a = _mean_and_m2(x[:half])
    mean_b, m2_b = _mean_and_m2(x[half:])
    delta = mean_b - mean_a
    mean = mean_a + delta * ((n - half) / n)
    return mean, m2_a + m2_b + delta * delta * (half * (n - half) / n)


METHODS = {
    "one pass": one_pass,
    "shifted": shifted,
    "two passes": two_pass,
    "corrected": corrected,
    "Welford": welford,
    "pairwise": pairwise,
}
