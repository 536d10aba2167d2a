"""Optimizers: they change the parameters of a network in place."""

from bncourse import checks


class SGD:
    r"""Plain stochastic gradient descent, :math:`\theta \leftarrow \theta - \eta\,\nabla L`.

    Parameters
    ----------
    net : bncourse.nn.Module
        The network whose parameters are changed.
    lr : float
        Learning rate :math:`\eta`, finite and not negative; may be set anew between steps.
    """

    def __init__(self, net, lr):
        self.net = net
        self.lr = checks.number("lr", lr, 0)

    def step(self):
        """One step along the gradients in ``net``, in place; parameters without one stay."""
        parameters = self.net.parameters()
        for name, gradient in self.net.gradients().items():
            parameters[name] -= self.lr * gradient
