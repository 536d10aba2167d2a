"""Independent oracles for what slides over images: loops over windows, in the dtype of the input.

They take longdouble and complex numbers, any number of spatial axes, and nothing of the package.
"""

import numpy as np


def frame(x, padding, value=0):
    wide = [(0, 0), (0, 0), *((p, p) for p in padding)]
    return np.pad(x, wide, constant_values=value)


def positions(size, kernel, stride):
    """Pairs of window number and index of its elements, for a padded array."""
    count = [(n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True)]
    for p in np.ndindex(*count):
        yield p, tuple(slice(i * s, i * s + k) for i, s, k in zip(p, stride, kernel, strict=True))


def group(channel, out, inputs, groups):
    """The input channels that output ``channel`` sees."""
    g = channel // (out // groups)
    return slice(g * inputs // groups, (g + 1) * inputs // groups)


def conv(x, w, b, stride, padding, groups):
    framed, kernel, out = frame(x, padding), w.shape[2:], w.shape[0]
    windows = list(positions(framed.shape[2:], kernel, stride))
    b = np.zeros(out, w.dtype) if b is None else b
    y = np.zeros((len(x), out, *(i + 1 for i in windows[-1][0])), np.result_type(x, w, b))
    for n in range(len(x)):
        for o in range(out):
            seen = group(o, out, x.shape[1], groups)
            for p, window in windows:
                y[(n, o, *p)] = (framed[(n, seen, *window)] * w[o]).sum() + b[o]
    return y


def conv_gradients(dy, x, w, stride, padding, groups):
    """dx, dw, db: each product of the forward loop, differentiated where it stands."""
    framed, kernel, out = frame(x, padding), w.shape[2:], w.shape[0]
    dx, dw = np.zeros_like(framed), np.zeros_like(w)
    for n in range(len(x)):
        for o in range(out):
            seen = group(o, out, x.shape[1], groups)
            for p, window in positions(framed.shape[2:], kernel, stride):
                dx[(n, seen, *window)] += dy[(n, o, *p)] * w[o]
                dw[o] += dy[(n, o, *p)] * framed[(n, seen, *window)]
    inside = tuple(slice(p, p + m) for p, m in zip(padding, x.shape[2:], strict=True))
    return dx[(..., *inside)], dw, dy.sum(axis=(0, *range(2, dy.ndim)))


def conv_transpose(x, w, b, stride, padding, output_padding, groups):
    channels, per_group, *kernel = w.shape
    out = per_group * groups
    sizes = zip(x.shape[2:], stride, kernel, output_padding, strict=True)
    full = [(m - 1) * s + k + o for m, s, k, o in sizes]
    b = np.zeros(out, w.dtype) if b is None else b
    y = np.zeros((len(x), out, *full), np.result_type(x, w, b))
    for n in range(len(x)):
        for c in range(channels):
            seen = group(c, channels, out, groups)
            for p in np.ndindex(*x.shape[2:]):
                window = [
                    slice(i * s, i * s + k) for i, s, k in zip(p, stride, kernel, strict=True)
                ]
                y[(n, seen, *window)] += x[(n, c, *p)] * w[c]
    y += b.reshape(-1, *[1] * len(kernel))
    return y[(..., *(slice(p, m - p) for p, m in zip(padding, full, strict=True)))]


def max_pool(x, kernel, stride, padding):
    return _pool(frame(x, padding, -np.inf), kernel, stride, lambda window: window.max())


def avg_pool(x, kernel, stride, padding):
    return _pool(frame(x, padding), kernel, stride, lambda window: window.sum() / window.size)


def _pool(framed, kernel, stride, reduce):
    windows = list(positions(framed.shape[2:], kernel, stride))
    y = np.zeros((*framed.shape[:2], *(i + 1 for i in windows[-1][0])), framed.dtype)
    for n, c in np.ndindex(*framed.shape[:2]):
        for p, window in windows:
            y[(n, c, *p)] = reduce(framed[(n, c, *window)])
    return y


def max_pool_gradient(dy, x, kernel, stride, padding):
    """To the first of the largest, in the order of reading."""
    framed = frame(x, padding, -np.inf)
    dx = np.zeros_like(framed)
    for n, c in np.ndindex(*x.shape[:2]):
        for p, window in positions(framed.shape[2:], kernel, stride):
            values = framed[(n, c, *window)]
            first = np.unravel_index(values.argmax(), values.shape)
            dx[(n, c, *window)][first] += dy[(n, c, *p)]
    return dx[(..., *(slice(p, p + m) for p, m in zip(padding, x.shape[2:], strict=True)))]
