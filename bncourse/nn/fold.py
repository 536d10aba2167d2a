"""A network for use: each batch norm folded into the layer before it."""

import copy

from bncourse.nn.batch_norm import BatchNorm
from bncourse.nn.layers import Sequential


def fold(net):
    """The network in evaluation mode, without its batch norms; ``net`` itself is not changed.

    Every batch norm must follow directly on a layer that knows how to take it in
    (:class:`Dense`, :class:`Conv2d`, :class:`ConvTranspose2d`). The result equals
    ``net.eval()`` to rounding, and is for use, not for further training.

    Returns
    -------
    Module
        In evaluation mode. Layers without a batch norm after them share their arrays with ``net``.

    Raises
    ------
    ValueError
        If some batch norm cannot be folded exactly; the message says which and why.
    """
    return _fold(net, "").eval()


def _fold(module, prefix):
    if isinstance(module, BatchNorm):
        _refuse(prefix, "there is no layer directly before it")
    if isinstance(module, Sequential):
        return _fold_chain(module, prefix)
    new = copy.copy(module)
    new.grads = {}
    for name, child in module.children().items():
        setattr(new, name, _fold(child, f"{prefix}{name}."))
    return new


def _fold_chain(chain, prefix):
    layers = []
    for i, layer in enumerate(chain.layers):
        name = f"{prefix}{i}."
        if not isinstance(layer, BatchNorm):
            layers.append(_fold(layer, name))
            continue
        before = layers[-1] if layers else None
        if before is None:
            _refuse(name, "there is no layer directly before it")
        if not hasattr(before, "folded"):
            _refuse(name, f"the layer before it, {type(before).__name__}, is not linear")
        if not layer.track_running_stats:
            _refuse(name, "track_running_stats is False, so its statistics are those of the batch")
        if layer.axis != 1:
            _refuse(name, f"its axis is {layer.axis}, and the layer before puts channels on axis 1")
        layers[-1] = before.folded(layer)
    return Sequential(*layers)


def _refuse(name, why):
    raise ValueError(f"the batch norm at {name.rstrip('.') or 'the top'} cannot be folded: {why}")
