"""Exact population statistics for every batch norm of a network."""

from bncourse import arrays
from bncourse.nn.batch_norm import BatchNorm


def precise(net, batches):
    """Replace the running statistics of all batch norms by those of a data set, exactly.

    A moving average lags behind a network in training and remembers weights that are gone. Here
    the weights stand still. The layers are done one after the other in the order of ``net``: all
    before it are in evaluation mode already, with their exact statistics, so that what reaches a
    layer is what will reach it in use, and every value counts the same. The result does not
    depend on how the data are cut into batches. There is one pass over the data for each layer.

    Frozen layers are left as they are.

    Parameters
    ----------
    net : Module
        Changed in place; its modes are as before afterwards.
    batches : sequence of arrays
        Inputs, in any portions; gone through once for each batch norm, so no generator.

    Returns
    -------
    Module
        ``net``. If anything fails, all statistics are as they were.

    Raises
    ------
    TypeError
        If ``batches`` can be gone through only once.
    ValueError
        If there are fewer than two values a channel.
    """
    if iter(batches) is batches:
        raise TypeError("batches must be a sequence, such as a list: it is gone through repeatedly")
    norms = [m for _, m in net.modules() if isinstance(m, BatchNorm)]
    layers = [m for m in norms if m.track_running_stats and not m.frozen]
    modes = [(module, module.training) for _, module in net.modules()]
    before = [(layer, _statistics(layer)) for layer in layers]
    try:
        net.eval()
        for layer in layers:
            _observe_all(net, layer, batches)
    except BaseException:
        for layer, statistics in before:
            vars(layer).update(statistics)
        raise
    finally:
        for module, training in modes:
            module.training = training
    return net


def _observe_all(net, layer, batches):
    """One pass over the data, in which ``layer`` takes note of everything that reaches it."""
    if layer.running_mean is not None:
        layer.reset_running_stats()
    forward = type(layer).forward

    def observing(x, mask=None):
        layer.observe(x)
        return forward(layer, x, mask)

    layer.forward = observing
    try:
        for x in batches:
            arrays.check_real("batches", x)
            net.forward(x)
    finally:
        del layer.forward
    if layer.population is None or layer.population.count < 2:
        raise ValueError("batches must hold at least two values for each channel")


def _statistics(layer):
    names = ("running_mean", "running_var", "num_batches_skipped", "num_batches_tracked")
    return {name: getattr(layer, name) for name in (*names, "population")}
