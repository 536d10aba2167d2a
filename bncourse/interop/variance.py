"""Which variance is kept: with n, or with n - 1."""

from bncourse import checks


def as_kept(var, kept, wanted, count):
    """``var``, one of ``"unbiased"`` and ``"biased"``, as the other, if ``count`` says of how many.

    Without ``count`` it is returned as it is: what a batch norm divides by in evaluation.
    """
    if count is None:
        return var
    count = checks.integer("count", count, 2)
    if kept == wanted:
        return var
    factor = count / (count - 1) if wanted == "unbiased" else (count - 1) / count
    return (var * factor).astype(var.dtype)
