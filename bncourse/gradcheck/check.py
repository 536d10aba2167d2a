"""The check itself: is this the gradient of that function?"""

import numpy as np

from bncourse import checks
from bncourse.gradcheck.complex import by_complex_step
from bncourse.gradcheck.function import Function, finite_array, real_array
from bncourse.gradcheck.judgment import judge
from bncourse.gradcheck.measured import central
from bncourse.gradcheck.noise import rounding
from bncourse.gradcheck.obstacles import obstacle
from bncourse.gradcheck.report import METHODS, GradientReport

TOLERANCES = {8: 1e-6, 4: 5e-3, 2: 0.1}  # by the bytes of a number


def gradcheck(
    f, x, dx=None, dy=None, *, backward=None, seed=0, entries=None, method="central", tol=None
):
    r"""Hold a gradient against a numerical one, and say what is wrong with it.

    Checks whether ``dx`` is the gradient of :math:`L(x) = \langle \mathrm{dy}, f(x) \rangle`,

    .. math::

        \mathrm{dx}_j = \sum_k \mathrm{dy}_k \frac{\partial f_k}{\partial x_j} .

    The deviation in an entry is relative to :math:`\sum_k |\mathrm{dy}_k\,\partial f_k /
    \partial x_j|`, what adds up to it; to ``dx`` if that is larger; and at least to a thousandth
    of the largest entry. If all of the true gradient is zero, the scale is the size of the loss
    over that of ``x``. The entry is *wrong* if it deviates by more than ``tol`` however far the
    numerical gradient may be off, and *right* if by less. In between one *cannot tell*, unless
    the others are so much larger that it does not matter. Entries at a kink are left out.

    How far the numerical gradient may be off is estimated from two steps and from the scatter of
    ``f`` by rounding (Moré and Wild 2011). The chapter *How do you know that your gradient is
    right?* builds up to it.

    >>> gradcheck(np.sin, x, backward=lambda dy: dy * np.cos(x))     # draws a random dy
    >>> gradcheck(lambda x: (x**3).sum(), x, 3 * x**2)               # f gives a number
    >>> gradcheck(np.sin, x, dy * np.cos(x), dy)                     # this dy

    Parameters
    ----------
    f : callable
        From an array like ``x`` to an array or a number; called with copies. What it has to
        cache for the way back does not belong to its result.
    x : numpy.ndarray or number
        Where to check. It keeps its dtype, if that is a floating one, and is not changed.
    dx : numpy.ndarray or number
        The gradient to check, in the shape of ``x``. Give either this or ``backward``.
    dy : numpy.ndarray or number, optional
        Upstream gradient, in the shape of ``f(x)``. By default a random one if there is
        ``backward``, and 1 if ``f`` gives a number.
    backward : callable, optional
        From ``dy`` to ``dx``.
    seed : int
        Of the random ``dy``, and of the choice of ``entries``.
    entries : int, optional
        How many entries to check, drawn at random; by default, all of them.
    method : {"central", "complex"}
        Centered differences, or complex steps: exact, but only for an analytic ``f`` that takes
        complex numbers. Whether it is analytic is tried out along one direction.
    tol : float, optional
        Relative error to allow: by default 1e-6, but 5e-3 if ``f`` or ``dx`` is of float32,
        and 0.1 for float16.

    Returns
    -------
    GradientReport
        Its ``passed`` is true if the verdict is "right".

    Raises
    ------
    TypeError
        If an argument is no array of real NumPy numbers, if ``f`` gives a tuple, or if both or
        none of ``dx`` and ``backward`` are given.
    ValueError
        If shapes do not fit, if ``x`` or ``dy`` is not finite, or if ``f`` gives an array and no
        ``dy`` is known.
    """
    if (dx is None) == (backward is None):
        raise TypeError("give either dx, the gradient, or backward, a function from dy to dx")
    if method not in METHODS:
        raise ValueError(f"method must be 'central' or 'complex', not {method!r}")
    x = finite_array("x", x)
    function = Function(f, x)
    rng = stream(seed)
    function.dy = _upstream(dy, function.y, backward, rng)
    claimed = _claimed(dx, backward, function)
    chosen = _chosen(x.shape, entries, rng)
    eps, noise = rounding(function, rng)
    if tol is None:
        eps_dx = float(np.finfo(claimed.dtype).eps)
        size = next(b for b in (2, 4, 8) if max(eps, eps_dx) >= np.finfo(f"f{b}").eps)
        tol = TOLERANCES[size]
    tol = checks.positive("tol", tol)
    about = {"tol": tol, "method": method, "entries": x.size}
    report = obstacle(function, claimed, method, (eps, noise), rng, about)
    if report is not None:
        return report
    if method == "complex":
        found = by_complex_step(function, chosen)
    else:
        found = central(function, chosen, eps, noise, tol)
    if not function.repeats():
        return GradientReport("cannot tell", "f's answer for the same x drifts.", **about)
    return judge(function, claimed, chosen, found, eps, about)


def stream(seed):
    """Random numbers of a ``seed``, but not those that a user draws from it.

    Otherwise a random ``x`` of the same seed would be a straight line in ``dy``, and the
    gradient of a batch norm would vanish.
    """
    return np.random.default_rng([checks.integer("seed", seed), 1968])


def random_upstream(y, rng):
    """An upstream gradient for the output ``y``."""
    return np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)


def _upstream(dy, y, backward, rng):
    if dy is None and backward is None:
        if y.size != 1:
            raise ValueError(
                f"f(x) has shape {y.shape}, so dx depends on an upstream gradient: give dy, or "
                "backward, a function from dy to dx"
            )
        return np.ones(y.shape)
    if dy is None:
        return random_upstream(y, rng)
    dy = finite_array("dy", dy)
    if dy.ndim and dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, but f(x) has {y.shape}")
    return np.broadcast_to(dy, y.shape).copy()


def _claimed(dx, backward, function):
    name = "dx"
    if backward is not None:
        dx, name = backward(function.dy.copy()), "backward(dy)"
        if isinstance(dx, tuple):
            raise TypeError(
                f"backward returned a tuple of {len(dx)}: the gradient with respect to x is "
                "needed, e.g. lambda dy: backward(dy, cache)[0]"
            )
    dx = real_array(name, dx)
    if dx.shape != function.x.shape:
        turned = ": it is transposed" if dx.ndim > 1 and dx.shape == function.x.T.shape else ""
        raise ValueError(f"{name} has shape {dx.shape}, but x has {function.x.shape}{turned}")
    return dx


def _chosen(shape, entries, rng):
    every = list(np.ndindex(shape))
    if entries is None or checks.integer("entries", entries, 1) >= len(every):
        return every
    return [every[i] for i in np.sort(rng.choice(len(every), entries, replace=False))]
