"""Softmax and cross-entropy, fused: apart they lose digits, together they have a short gradient."""

from typing import Any, NamedTuple

from bncourse import arrays


class CrossEntropyCache(NamedTuple):
    """What the forward pass hands to :func:`softmax_cross_entropy_backward`.

    Attributes
    ----------
    probabilities : array, shape (m, K)
        Softmax of the logits.
    one_hot : array, shape (m, K)
        1 in the column of the label, 0 elsewhere; in the dtype of the logits.
    """

    probabilities: Any
    one_hot: Any


def softmax_cross_entropy_forward(logits, labels):
    r"""Mean cross-entropy of softmax predictions.

    .. math::

        L = -\frac1m \sum_{i=1}^m \log p_{i,t_i}, \qquad
        p_{ij} = \frac{e^{z_{ij}}}{\sum_k e^{z_{ik}}}

    Parameters
    ----------
    logits : array, shape (m, K)
        Scores :math:`z`, real floating point. Large ones do not overflow.
    labels : array of int, shape (m,)
        Classes :math:`t_i` from 0 to K - 1.

    Returns
    -------
    loss : array, shape ()
        In nats, averaged over the batch; 0 for an empty batch.
    cache : CrossEntropyCache
        For :func:`softmax_cross_entropy_backward`.

    Raises
    ------
    TypeError
        If ``logits`` are not real floating point or ``labels`` not integers.
    ValueError
        If shapes do not fit, or a label is not a class.
    """
    xp = arrays.namespace(logits=logits, labels=labels)
    arrays.check_real("logits", logits)
    arrays.namespace(labels=labels)  # above, a list would have been passed over
    if not xp.isdtype(labels.dtype, "integral"):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if logits.ndim != 2 or tuple(labels.shape) != (logits.shape[0],):
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}: "
            "(m, K) and (m,) are needed"
        )
    m, classes = logits.shape
    # In the default integer type: that of the labels, uint8 say, may not hold all the columns.
    index = xp.arange(classes, device=arrays.compat.device(logits))
    chosen = index[None, :] == arrays.cast(labels, index.dtype)[:, None]
    if int(xp.count_nonzero(chosen)) != m:
        raise ValueError(f"labels must lie in 0 to {classes - 1}, the columns of logits")
    one_hot = arrays.cast(chosen, logits.dtype)
    if m == 0:
        zero = xp.sum(logits)
        return zero, CrossEntropyCache(logits, one_hot)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    p = xp.exp(shifted)
    total = xp.sum(p, axis=1, keepdims=True)
    p /= total
    # Chosen, not multiplied by 0: -inf times 0, from one hopeless class, would poison the rest.
    surprise = xp.where(chosen, xp.log(total) - shifted, xp.zeros_like(shifted))
    return xp.sum(surprise) / m, CrossEntropyCache(p, one_hot)


def softmax_cross_entropy_backward(cache):
    r"""Gradient of the loss with respect to the logits: :math:`(p_{ij} - [j = t_i]) / m`.

    Parameters
    ----------
    cache : CrossEntropyCache

    Returns
    -------
    dlogits : array, shape (m, K)
        Each row sums to 0: adding a constant to all scores changes nothing.
    """
    arrays.check_cache(cache, CrossEntropyCache, "softmax_cross_entropy_forward")
    p, one_hot = cache
    return (p - one_hot) / max(p.shape[0], 1)
