"""Transposed convolution: the gradient of a convolution, used as a layer of its own."""

from typing import Any, NamedTuple

from bncourse import arrays
from bncourse.functional.conv import (
    add_bias,
    bias_gradient,
    check_arrays,
    check_bias,
    check_groups,
    dtypes,
)
from bncourse.functional.correlation import correlate, spread, weigh
from bncourse.functional.windows import per_axis


class ConvTransposeCache(NamedTuple):
    """Input, weights and bias of :func:`conv_transpose_forward`, not copied, and its options.

    Attributes
    ----------
    x, w, b : array
        As they were given; ``b`` may be ``None``.
    stride, padding, output_padding : tuple of int
        One number per spatial axis.
    groups : int
    """

    x: Any
    w: Any
    b: Any
    stride: tuple
    padding: tuple
    output_padding: tuple
    groups: int


def conv_transpose_forward(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1):
    r"""Transposed convolution: each input element lays the weights, scaled by it, on the output.

    .. math::

        y_{n,o,h,v} = b_o + \sum_{c,\,(p,i) \to h,\,(q,j) \to v}
        x_{n,c,p,q}\; w_{c,o,i,j}

    where :math:`(p, i) \to h` says :math:`p s + i - a = h`, for stride :math:`s` and padding
    :math:`a`. It is the ``dx`` of :func:`conv_backward` with ``x`` in place of ``dy``: it does
    not undo a convolution, but it undoes what that does to the shape.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Real floating point input. It is not changed. One or three spatial axes will do too.
    w : array, shape (C, O/groups, kh, kw)
        Weights. The channels of the *input* come first.
    b : array, shape (O,), optional
        One number added to each output channel.
    stride, padding : int or tuple of int
        Those of the convolution of which this is the gradient: a larger stride makes the output
        larger, and ``padding`` cuts the border of the output.
    output_padding : int or tuple of int
        Rows more at the *end* of the output, less than ``stride``: several input shapes of the
        convolution lead to one output shape, and this says which is meant.
    groups : int
        A divisor of C.

    Returns
    -------
    y : array, shape (N, O, P, Q)
        ``P = (H - 1) stride - 2 padding + kh + output_padding``, and likewise Q. In the dtype
        that ``x``, ``w`` and ``b`` promote to; float16 is summed in float32.
    cache : ConvTransposeCache
        For :func:`conv_transpose_backward`.

    Raises
    ------
    TypeError
        If the arrays live in different libraries or are not real floating point, or an option is
        no whole number.
    ValueError
        If shapes do not fit each other or ``groups``, nothing is left of the output, or an
        option is out of range.

    Notes
    -----
    The layout of ``w`` and the meaning of all options are PyTorch's. Source: Zeiler et al.
    (2010).
    """
    check_arrays(x, w, b)
    rank = w.ndim - 2
    stride = per_axis("stride", stride, rank, 1)
    padding = per_axis("padding", padding, rank)
    output_padding = per_axis("output_padding", output_padding, rank)
    groups = check_groups(groups, w.shape[0], "the channels of x, the first axis of w")
    if x.shape[1] != w.shape[0]:
        raise ValueError(
            f"x has {x.shape[1]} channels, but w of shape {tuple(w.shape)} asks for {w.shape[0]}"
        )
    if any(o >= s for o, s in zip(output_padding, stride, strict=True)):
        raise ValueError(
            f"output_padding must be less than stride, {stride}, but it is {output_padding}: "
            "rows beyond that would be out of reach of any window"
        )
    out = w.shape[1] * groups
    check_bias(b, out)
    cache = ConvTransposeCache(x, w, b, stride, padding, output_padding, groups)
    size = _size(cache)
    if min(size) < 1 or min(x.shape[2:]) < 1:
        raise ValueError(
            f"x of spatial shape {tuple(x.shape[2:])} gives an output of {size}: nothing is left; "
            "use a smaller padding or a larger input"
        )
    dtype, wide = dtypes(x, w, b)
    xp = arrays.namespace(x=x)
    x, w = xp.astype(x, wide, copy=False), xp.astype(w, wide, copy=False)
    y = add_bias(spread(x, w, stride, padding, groups, size), b)
    return xp.astype(y, dtype, copy=False), cache


def conv_transpose_backward(dy, cache):
    r"""Gradients of :func:`conv_transpose_forward`: ``dx`` is a convolution of ``dy``.

    .. math::

        \mathrm{dx}_{n,c,p,q} = \sum_{o,i,j} w_{c,o,i,j}\;
        \mathrm{dy}_{n,\,o,\,p s + i - a,\,q s + j - a}, \qquad
        \mathrm{dw}_{c,o,i,j} = \sum_{n,p,q} x_{n,c,p,q}\;
        \mathrm{dy}_{n,\,o,\,p s + i - a,\,q s + j - a}, \qquad
        \mathrm{db}_o = \sum_{n,h,v} \mathrm{dy}_{n,o,h,v}

    Parameters
    ----------
    dy : array, shape (N, O, P, Q)
        Upstream gradient, in the shape of ``y``; real floating point. It is not changed.
    cache : ConvTransposeCache
        From :func:`conv_transpose_forward`. It is not changed and may be used again.

    Returns
    -------
    dx, dw, db : array
        In the shape and dtype of ``x``, ``w`` and ``b``; ``db`` is ``None`` if there was none.

    Raises
    ------
    TypeError, ValueError
        If ``dy`` is not real floating point, or not of the library and shape of ``y``, or
        ``cache`` is none.
    """
    arrays.check_cache(cache, ConvTransposeCache, "conv_transpose_forward")
    x, w, b, stride, padding, _, groups = cache
    shape = (x.shape[0], w.shape[1] * groups, *_size(cache))
    xp = arrays.check_upstream(dy, shape, x)
    _, wide = dtypes(x, w, b)
    x_wide, w_wide, dy = (xp.astype(a, wide, copy=False) for a in (x, w, dy))
    dx = correlate(dy, w_wide, stride, padding, groups)
    dw = weigh(dy, x_wide, tuple(w.shape[2:]), stride, padding, groups)
    return (
        xp.astype(dx, x.dtype, copy=False),
        xp.astype(dw, w.dtype, copy=False),
        bias_gradient(dy, b),
    )


def _size(cache):
    """Spatial shape of the output."""
    terms = cache.x.shape[2:], cache.w.shape[2:], cache.stride, cache.padding, cache.output_padding
    return tuple((n - 1) * s - 2 * p + k + o for n, k, s, p, o in zip(*terms, strict=True))
