"""What all layers share: named parameters, gradients, modes, and moving between libraries."""

import numpy as np

from bncourse import arrays


class Module:
    """Base of all layers.

    A subclass names its learned arrays in ``parameter_names`` and its other arrays in
    ``buffer_names``, and defines :meth:`forward` and :meth:`backward`.

    Attributes
    ----------
    training : bool
        Whether :meth:`forward` computes what training needs; see :meth:`train`.
    grads : dict
        Gradients by parameter name, added up since the last :meth:`zero_grad`.
    """

    parameter_names: tuple = ()
    buffer_names: tuple = ()
    optional_names: tuple = ()  # buffers that a state may lack; then they are 0
    extra_names: tuple = ()  # what extra_state may hold

    def __init__(self):
        self.training = True
        self.grads = {}

    def forward(self, x):
        """Output for the input ``x``, and a cache for :meth:`backward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, dy, cache):
        """Gradient with respect to the input; adds those of the parameters to ``grads``.

        ``dy`` is the gradient with respect to the output, ``cache`` that of the forward pass.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def accumulate(self, dy, cache):
        """Add the gradients of the parameters to ``grads``, and no more.

        What a training step asks of a whole network: nobody wants the gradient with respect to
        the examples. Layers for which it is costly leave it out; the others go :meth:`backward`.
        """
        self.backward(dy, cache)

    def children(self):
        """Sub-layers by name; none, unless the subclass has some."""
        return {}

    def modules(self, prefix="", seen=None):
        """This layer and all below it, as pairs of dotted ``prefix`` and layer.

        A layer that is used in several places comes once, under its first name: its gradients
        are added up already, and an optimizer must not take the same step twice. ``seen`` holds
        the ids of layers to pass over.
        """
        found, seen = [], set() if seen is None else seen
        if id(self) not in seen:
            self._list(prefix, seen, found)
        return iter(found)

    def _list(self, prefix, seen, found):
        seen.add(id(self))
        found.append((prefix, self))
        for name, child in self.children().items():
            if id(child) in seen:
                continue
            if type(child).children is Module.children:  # most have none: no need to ask
                seen.add(id(child))
                found.append((f"{prefix}{name}.", child))
            else:
                child._list(f"{prefix}{name}.", seen, found)

    def parameters(self):
        """All learned arrays by dotted name, e.g. ``"1.gamma"``; change them in place."""
        return {
            prefix + name: getattr(module, name)
            for prefix, module in self.modules()
            for name in module.parameter_names
            if getattr(module, name) is not None
        }

    def gradients(self):
        """Gradients under the same names, of those parameters that have one."""
        return {
            prefix + name: gradient
            for prefix, module in self.modules()
            for name, gradient in module.grads.items()
        }

    def add_gradients(self, **gradients):
        """Add ``gradients``, by parameter name, to ``grads``; ``None`` is passed over."""
        for name, gradient in gradients.items():
            if gradient is not None:
                before = self.grads.get(name)
                self.grads[name] = gradient if before is None else before + gradient

    def zero_grad(self):
        """Forget all gradients."""
        for _, module in self.modules():
            module.grads = {}

    def train(self, mode=True):
        """Switch to training mode (out of it if ``mode`` is false); returns the layer."""
        for _, module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Switch to evaluation mode: batch norm uses its running statistics. Returns the layer."""
        return self.train(False)

    def extra_state(self):
        """What a layer must remember beside its arrays, as arrays by name; nothing, for most."""
        return {}

    def load_extra_state(self, state):
        """Take back what :meth:`extra_state` gave, as the dict ``state``."""

    def state_dict(self):
        """Copies of all parameters, buffers and counts, as NumPy arrays by dotted name."""
        state = {}
        for prefix, module in self.modules():
            names = (*module.parameter_names, *module.buffer_names)
            held = {n: getattr(module, n) for n in names} | module.extra_state()
            for name, value in held.items():
                if value is not None:
                    state[prefix + name] = np.array(arrays.to(value, "numpy"), order="C")
        return state

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` gave; all of it, or nothing.

        Parameters
        ----------
        state : dict
            Arrays by dotted name. Counts may be missing, as they are in what other libraries
            save; then they are 0.

        Raises
        ------
        ValueError
            If a parameter or buffer is missing, or one has no place here, or a shape does not
            fit; the message names them. Then nothing has changed.
        """
        left = dict(state)
        found, missing, misfits = [], [], []
        for prefix, module in self.modules():
            for name in (*module.parameter_names, *module.buffer_names):
                now = getattr(module, name)
                if now is None:
                    continue
                if prefix + name not in left and name not in module.optional_names:
                    missing.append(prefix + name)
                    continue
                new = np.asarray(left.pop(prefix + name, np.zeros(now.shape)))
                if new.shape != tuple(now.shape):
                    misfits.append(f"{prefix + name} is {new.shape}, not {tuple(now.shape)}")
                found.append((module, name, now, new))
        extras = [
            (module, {n: left.pop(prefix + n) for n in module.extra_names if prefix + n in left})
            for prefix, module in self.modules()
        ]
        problems = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("missing", missing),
                ("no place for", list(left)),
                ("shape", misfits),
            )
            if names
        ]
        if problems:
            raise ValueError("state does not fit this network; " + "; ".join(problems))
        for module, name, now, new in found:
            value = arrays.to(new.astype(_numpy_dtype(now)), arrays.library(now))
            setattr(module, name, value)
        for module, extra in extras:
            module.load_extra_state(extra)

    def to(self, library):
        """Move all arrays to ``library``, ``"numpy"`` or ``"cupy"``; returns the layer.

        Gradients are forgotten.

        Raises
        ------
        ValueError, RuntimeError
            As :func:`bncourse.arrays.to`; then nothing has moved.
        """
        moved = [
            (module, name, arrays.to(getattr(module, name), library))
            for _, module in self.modules()
            for name in (*module.parameter_names, *module.buffer_names)
            if getattr(module, name) is not None
        ]
        for module, name, value in moved:
            setattr(module, name, value)
        self.zero_grad()
        return self


def _numpy_dtype(a):
    return np.dtype(str(a.dtype).rsplit(".", 1)[-1])
