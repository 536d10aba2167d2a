"""Exercises of the chapter *Building the layer: parameters, state, training and evaluation*."""

CHAPTER = "transform/layer"


def _update(running_mean, running_var, x, momentum):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).sum(axis=0) / (len(x) - 1)
    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var = (1 - momentum) * running_var + momentum * var
    return running_mean, running_var


def _weights(momentum):
    """Of the old value and of the new one."""
    return 1 - momentum, momentum


def _reversed(momentum):
    return momentum, 1 - momentum


def _unbiased(x, axis, running_mean, moved):
    return x.var(axis=axis, ddof=1)


def _biased(x, axis, running_mean, moved):
    return x.var(axis=axis)


def _std(x, axis, running_mean, moved):
    return x.std(axis=axis, ddof=1)


def _mixture(x, axis, running_mean, moved):
    mean = x.mean(axis=axis)
    return x.var(axis=axis, ddof=1) + (mean - running_mean) * (mean - moved)


def _sum_over(m):
    return lambda old, new, running, var, rows: m(old, new, running, var, rows)


def _blend(old, new, running_var, var, m):
    return old * running_var + new * var


def _made_update(
    running_mean,
    running_var,
    x,
    momentum,
    weights=_weights,
    var_weights=None,
    axis=0,
    spread=_unbiased,
    blend=_blend,
):
    """The update in parts that can be replaced; right as it stands."""
    old, new = weights(momentum)
    moved = old * running_mean + new * x.mean(axis=axis)
    old, new = (var_weights or weights)(momentum)
    var = spread(x, axis, running_mean, moved)
    return moved, blend(old, new, running_var, var, len(x))
