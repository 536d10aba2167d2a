"""Max pooling as loops for Numba: each does the planes ``first`` to ``last``.

``x`` is of shape (planes, D, H, W), ``y``, and ``index`` in it, of (planes, P, Q, R); ``kernel``,
``stride`` and ``padding`` are three numbers each.
"""

import numpy as np

from bncourse.kernels.jit import jit


@jit()
def forward(x, kernel, stride, padding, y, index, first, last):
    """The largest of each window, and which of its elements that is, in row-major order.

    A plane in its frame is one long row, and windows begin everywhere in it. The few that are
    asked for are taken at the end: many short loops take longer than one over all.
    """
    height, width = x.shape[2] + 2 * padding[1], x.shape[3] + 2 * padding[2]
    plane = (x.shape[1] + 2 * padding[0]) * height * width
    steps = stride[0] * height * width, stride[1] * width, stride[2]
    reach = 1
    for i in range(3):
        reach += (y.shape[i + 1] - 1) * steps[i]
    room = np.full(plane, -np.inf, x.dtype)
    flat, framed = x.reshape(-1), padding[0] + padding[1] + padding[2] > 0
    best, which = np.empty(reach, x.dtype), np.empty(reach, np.int32)
    for c in range(first, last):
        if framed:
            _put(x[c], padding, height, width, room)
            values = room
        else:
            values = flat[c * plane : (c + 1) * plane]
        for i in range(reach):
            best[i], which[i] = values[i], 0
        for k in range(1, kernel[0] * kernel[1] * kernel[2]):
            line, right = k // kernel[2], k % kernel[2]
            at = (line // kernel[1] * height + line % kernel[1]) * width + right
            _compare(values[at : at + reach], np.int32(k), best, which)
        _take(best, steps, y[c])
        _take(which, steps, index[c])


@jit()
def _compare(values, k, best, which):
    """Puts what is larger than the best, or the first that is NaN, in its place."""
    for q in range(best.size):
        value, before = values[q], best[q]
        larger = (not value <= before) & (before == before)
        best[q] = value if larger else before
        which[q] = k if larger else which[q]


@jit()
def _put(x, padding, height, width, room):
    for d in range(x.shape[0]):
        for h in range(x.shape[1]):
            at = ((padding[0] + d) * height + padding[1] + h) * width + padding[2]
            line = room[at : at + x.shape[2]]
            for w in range(x.shape[2]):
                line[w] = x[d, h, w]


@jit()
def _take(found, steps, y):
    for d in range(y.shape[0]):
        for h in range(y.shape[1]):
            line = found[d * steps[0] + h * steps[1] :]
            for w in range(y.shape[2]):
                y[d, h, w] = line[w * steps[2]]


@jit()
def backward(dy, index, kernel, stride, padding, dx, first, last):
    """Adds each ``dy`` to what it came from; what came from the frame is left out."""
    places = np.empty((kernel[0] * kernel[1] * kernel[2], 3), np.int64)
    for k in range(len(places)):
        line, places[k, 2] = k // kernel[2], k % kernel[2]
        places[k, 0], places[k, 1] = line // kernel[1], line % kernel[1]
    for c in range(first, last):
        for a in range(dx.shape[1]):
            for b in range(dx.shape[2]):
                for i in range(dx.shape[3]):
                    dx[c, a, b, i] = 0
        for d in range(dy.shape[1]):
            for h in range(dy.shape[2]):
                for w in range(dy.shape[3]):
                    here = places[index[c, d, h, w]]
                    a = d * stride[0] - padding[0] + here[0]
                    b = h * stride[1] - padding[1] + here[1]
                    i = w * stride[2] - padding[2] + here[2]
                    if 0 <= a < dx.shape[1] and 0 <= b < dx.shape[2] and 0 <= i < dx.shape[3]:
                        dx[c, a, b, i] += dy[c, d, h, w]
