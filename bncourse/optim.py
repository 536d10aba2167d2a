"""Optimizers: they change the parameters of a network in place."""


class SGD:
    r"""Plain stochastic gradient descent, :math:`\theta \leftarrow \theta - \eta\,\nabla L`.

    Parameters
    ----------
    net : bncourse.nn.Module
        The network whose parameters are changed.
    lr : float
        Learning rate :math:`\eta`; may be set anew between steps.
    """

    def __init__(self, net, lr):
        if not 0 <= lr < float("inf"):
            raise ValueError(f"lr must be finite and not negative, but is {lr}")
        self.net = net
        self.lr = lr

    def step(self):
        """One step along the gradients in ``net``, in place; parameters without one stay."""
        parameters = self.net.parameters()
        for name, gradient in self.net.gradients().items():
            parameters[name] -= self.lr * gradient
