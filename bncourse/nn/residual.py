"""Residual connections: what a branch computes is added to what it was given."""

from bncourse import arrays
from bncourse.nn.module import Module


class Identity(Module):
    """Nothing at all: :math:`y = x`, as a layer."""

    def forward(self, x):
        """``x`` itself, and the cache."""
        arrays.check_real("x", x)
        return x, x

    def backward(self, dy, cache):
        """Gradient with respect to ``x``: ``dy`` itself."""
        arrays.check_real("cache", cache)
        arrays.check_upstream(dy, cache.shape, cache)
        return dy


class Residual(Module):
    r"""Residual block :math:`y = f(x) + g(x)`, with a branch f and a shortcut g.

    The gradient reaches ``x`` on both ways, :math:`\mathrm{dx} = f'^\top \mathrm{dy} +
    g'^\top \mathrm{dy}`, and on the shortcut undiminished.

    Parameters
    ----------
    branch : Module
        What is learned, e.g. convolutions with batch norm.
    shortcut : Module, optional
        By default :class:`Identity`; where ``branch`` changes the shape, a layer that changes it
        likewise, e.g. a convolution of kernel 1.

    Raises
    ------
    TypeError
        If one of them is no :class:`~bncourse.nn.Module`.
    ValueError
        From :meth:`forward`, if the two give different shapes.

    Notes
    -----
    Source: He et al. (2016), equations 1 and 2; there is no ReLU after the sum unless you add
    one.
    """

    def __init__(self, branch, shortcut=None):
        super().__init__()
        shortcut = Identity() if shortcut is None else shortcut
        for name, layer in (("branch", branch), ("shortcut", shortcut)):
            if not isinstance(layer, Module):
                raise TypeError(f"{name} must be a Module, not {type(layer).__name__}")
        self.branch = branch
        self.shortcut = shortcut

    def children(self):
        """``branch`` and ``shortcut``."""
        return {"branch": self.branch, "shortcut": self.shortcut}

    def forward(self, x):
        """Sum of the two, and both caches."""
        y, branch_cache = self.branch.forward(x)
        short, shortcut_cache = self.shortcut.forward(x)
        if tuple(y.shape) != tuple(short.shape):
            raise ValueError(
                f"the branch gives shape {tuple(y.shape)}, the shortcut {tuple(short.shape)}: "
                "they must agree; give a shortcut that changes the shape as the branch does"
            )
        return y + short, (branch_cache, shortcut_cache)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``: the sum over both ways."""
        if not isinstance(cache, tuple) or len(cache) != 2:
            raise ValueError("cache must be the pair that forward() returned beside y")
        branch_cache, shortcut_cache = cache
        return self.branch.backward(dy, branch_cache) + self.shortcut.backward(dy, shortcut_cache)
