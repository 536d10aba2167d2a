"""Why there may be no point in measuring at all."""

import numpy as np

from bncourse.gradcheck.complex import is_analytic
from bncourse.gradcheck.noise import drowned
from bncourse.gradcheck.report import GradientReport, place


def obstacle(function, claimed, method, precision, rng, about):
    """The report, if it can be given without a numerical gradient, or ``None``.

    ``precision`` is what :func:`~bncourse.gradcheck.noise.rounding` gave, and ``about`` what the
    report says about the check itself.
    """

    def cannot_tell(reason):
        return GradientReport("cannot tell", reason, **about)

    y = function.y
    if function.x.size == 0:
        return cannot_tell("x is empty: there is nothing to check.")
    if not np.all(np.isfinite(y)):
        at = tuple(np.argwhere(~np.isfinite(y))[0])
        return cannot_tell(f"f(x) itself holds {y[at]} at {place(at)}.")
    if not function.repeats():
        return cannot_tell(
            "f gives two different answers for the same x: fix its random numbers and its state."
        )
    if not np.all(np.isfinite(claimed)):
        bad = np.argwhere(~np.isfinite(claimed))
        at = tuple(int(i) for i in bad[0])
        reason = f"dx holds {claimed[at]} at {place(at)}; {len(bad)} of its {claimed.size} entries "
        reason += f"{'is' if len(bad) == 1 else 'are'} not finite."
        return GradientReport("wrong", reason, at, float(claimed[at]), **about)
    if method == "complex" and not is_analytic(function, *precision, rng):
        return cannot_tell(
            "Along one direction the complex step contradicts the centered difference: f is not "
            "analytic (abs, var, max?), or has a kink here. Use method='central'."
        )
    if drowned(function, *precision):
        return cannot_tell(
            "From one number to the next, f(x) changes by as much as it is large: x is too "
            "coarse, or f nothing but rounding."
        )
    return None
