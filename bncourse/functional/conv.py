"""Convolution: weights that slide over an image, and their gradients."""

from typing import Any, NamedTuple

from bncourse import arrays, checks
from bncourse.functional.correlation import correlate, spread, weigh
from bncourse.functional.windows import counts, per_axis


class ConvCache(NamedTuple):
    """Input, weights and bias of :func:`conv_forward`, not copied, and its options.

    Attributes
    ----------
    x, w, b : array
        As they were given; ``b`` may be ``None``.
    stride, padding : tuple of int
        One number per spatial axis.
    groups : int
    """

    x: Any
    w: Any
    b: Any
    stride: tuple
    padding: tuple
    groups: int


def conv_forward(x, w, b=None, stride=1, padding=0, groups=1):
    r"""Convolution, as deep learning has it: the weights are not mirrored.

    .. math::

        y_{n,o,p,q} = b_o + \sum_{c,i,j} w_{o,c,i,j}\;
        x_{n,\,c,\,p s + i - a,\,q s + j - a}

    with stride :math:`s` and padding :math:`a`; outside of its borders ``x`` is 0. With groups,
    output channels of the g-th group see the input channels of the g-th group only.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Real floating point input. It is not changed. One or three spatial axes will do too.
    w : array, shape (O, C/groups, kh, kw)
        Weights, with as many spatial axes as ``x``. ``groups=C`` makes it depthwise.
    b : array, shape (O,), optional
        One number added to each output channel.
    stride, padding : int or tuple of int
        Step between windows, and zeros on both sides; one number for each spatial axis, or one
        for all.
    groups : int
        A divisor of C and O.

    Returns
    -------
    y : array, shape (N, O, P, Q)
        ``P = (H + 2 padding - kh) // stride + 1``, and likewise Q. In the dtype that ``x``, ``w``
        and ``b`` promote to; float16 is summed in float32.
    cache : ConvCache
        For :func:`conv_backward`.

    Raises
    ------
    TypeError
        If the arrays live in different libraries or are not real floating point, or an option is
        no whole number.
    ValueError
        If shapes do not fit each other or ``groups``, a window does not fit into the padded
        input, or an option is out of range.

    Notes
    -----
    Computed as matrix products, a block of images at a time. Source: LeCun et al. (1998);
    groups: Krizhevsky et al. (2012). A convolution with batch norm after it needs no bias: the
    mean takes it out. See the chapter *The transform* (:doc:`/book/transform/forward`).
    """
    check_arrays(x, w, b)
    rank = w.ndim - 2
    stride = per_axis("stride", stride, rank, 1)
    padding = per_axis("padding", padding, rank)
    groups = check_groups(groups, w.shape[0], "the first axis of w")
    if x.shape[1] != w.shape[1] * groups:
        raise ValueError(
            f"x has {x.shape[1]} channels, but w of shape {tuple(w.shape)} in {groups} groups "
            f"asks for {w.shape[1] * groups}"
        )
    check_bias(b, w.shape[0])
    counts(x.shape, w.shape[2:], stride, padding)
    dtype, wide = dtypes(x, w, b)
    xp = arrays.namespace(x=x)
    cache = ConvCache(x, w, b, stride, padding, groups)
    x, w = xp.astype(x, wide, copy=False), xp.astype(w, wide, copy=False)
    y = add_bias(correlate(x, w, stride, padding, groups), b)
    return xp.astype(y, dtype, copy=False), cache


def conv_backward(dy, cache, input_gradient=True):
    r"""Gradients of :func:`conv_forward`.

    .. math::

        \mathrm{dx}_{n,c,h,v} = \sum_{o,\,(p,i) \to h,\,(q,j) \to v}
        w_{o,c,i,j}\;\mathrm{dy}_{n,o,p,q}, \qquad
        \mathrm{dw}_{o,c,i,j} = \sum_{n,p,q} \mathrm{dy}_{n,o,p,q}\;
        x_{n,\,c,\,p s + i - a,\,q s + j - a}, \qquad
        \mathrm{db}_o = \sum_{n,p,q} \mathrm{dy}_{n,o,p,q}

    where :math:`(p, i) \to h` says :math:`p s + i - a = h`: what a window has read, it gives back.

    Parameters
    ----------
    dy : array, shape (N, O, P, Q)
        Upstream gradient, in the shape of ``y``; real floating point. It is not changed.
    cache : ConvCache
        From :func:`conv_forward`. It is not changed and may be used again.
    input_gradient : bool
        Whether ``dx`` is wanted. Below the first layer of a network nobody asks for it.

    Returns
    -------
    dx, dw, db : array
        In the shape and dtype of ``x``, ``w`` and ``b``; ``db`` is ``None`` if there was none,
        ``dx`` if it is not wanted.

    Raises
    ------
    TypeError, ValueError
        If ``dy`` is not real floating point, or not of the library and shape of ``y``, or
        ``cache`` is none.
    """
    arrays.check_cache(cache, ConvCache, "conv_forward")
    x, w, b, stride, padding, groups = cache
    kernel = tuple(w.shape[2:])
    shape = (x.shape[0], w.shape[0], *counts(x.shape, kernel, stride, padding))
    xp = arrays.check_upstream(dy, shape, x)
    _, wide = dtypes(x, w, b)
    x_wide, w_wide, dy = (xp.astype(a, wide, copy=False) for a in (x, w, dy))
    dx = None
    if input_gradient:
        dx = spread(dy, w_wide, stride, padding, groups, tuple(x.shape[2:]))
        dx = xp.astype(dx, x.dtype, copy=False)
    dw = weigh(x_wide, dy, kernel, stride, padding, groups)
    return dx, xp.astype(dw, w.dtype, copy=False), bias_gradient(dy, b)


def check_arrays(x, w, b):
    """Raise unless the three are real, live together, and have as many spatial axes."""
    arrays.namespace(x=x, w=w, b=b)
    for name, value in (("x", x), ("w", w), ("b", b)):
        if name != "b" or b is not None:
            arrays.check_real(name, value)
    if not 3 <= w.ndim <= 5 or x.ndim != w.ndim:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}: one axis for images or outputs, "
            "one for channels, and one to three spatial axes are needed, as many in x as in w"
        )
    if 0 in w.shape:
        raise ValueError(f"w has shape {tuple(w.shape)}: no axis may be empty")


def check_groups(groups, channels, where):
    """``groups`` as an int that divides ``channels``."""
    groups = checks.integer("groups", groups, 1)
    if channels % groups:
        raise ValueError(f"groups must divide {where}, {channels}, but it is {groups}")
    return groups


def check_bias(b, channels):
    """``ValueError`` unless ``b`` is ``None`` or has one number per output channel."""
    if b is not None and tuple(b.shape) != (channels,):
        raise ValueError(f"b has shape {tuple(b.shape)}, but w asks for {(channels,)}")


def dtypes(x, w, b):
    """Dtype of the output, and the one to compute in: that, or float32 if it is narrower."""
    xp = arrays.namespace(x=x)
    dtype = xp.result_type(*[a.dtype for a in (x, w, b) if a is not None])
    return dtype, xp.result_type(dtype, xp.float32)


def add_bias(y, b):
    """``y`` with one number added to each channel, in place."""
    if b is not None:
        xp = arrays.namespace(y=y)
        y += xp.reshape(xp.astype(b, y.dtype, copy=False), (1, -1, *[1] * (y.ndim - 2)))
    return y


def bias_gradient(dy, b):
    """Sum over all but the channels, in the widest precision, or ``None`` without a bias."""
    if b is None:
        return None
    xp = arrays.namespace(dy=dy)
    axes = (0, *range(2, dy.ndim))
    return xp.astype(xp.sum(dy, axis=axes, dtype=arrays.accumulator(dy)), b.dtype)
