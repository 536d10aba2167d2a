"""What optimizers share: the rate, weight decay, and a memory for each parameter."""

import numpy as np

from bncourse import arrays, checks
from bncourse.optim.schedules import _text


class Optimizer:
    r"""What all optimizers share: the rate, weight decay, and a memory for each parameter.

    One :meth:`step` takes gradients :math:`g` from the network. *Plain* weight decay
    :math:`\lambda` is the gradient of a penalty, :math:`g \leftarrow g + \lambda\theta`, before
    anything else; *decoupled* weight decay shrinks the parameter beside the step,
    :math:`\theta \leftarrow (1 - \eta\lambda)\,\theta` (Loshchilov and Hutter 2019).

    Arithmetic and memory have the dtype of the parameter, but at least float32. The memory moves
    to where the parameter lives, so ``net.to("cupy")`` may come at any time. A parameter without
    a gradient is left as it is, and one that appears later begins then.

    Parameters
    ----------
    net : bncourse.nn.Module
        The network whose parameters are changed.
    lr : float or callable
        Learning rate :math:`\eta`, finite and not negative; or a function from the number of
        steps done to the rate of the next, such as those in :mod:`bncourse.optim.schedules`.
    weight_decay : float
        :math:`\lambda`, finite and not negative.
    decoupled : bool
        Which of the two kinds of weight decay.
    exempt : tuple of str, or callable
        Parameters without weight decay: last parts of dotted names, such as
        ``bncourse.optim.NORM_AND_BIAS``, or a function that takes the dotted name. None, by
        default, as in PyTorch: a rule that nobody asked for would make two scripts with the same
        numbers differ.

    Attributes
    ----------
    lr : float or callable
        May be set anew between steps.
    steps : int
        Steps done.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, or ``exempt`` neither of the two.
    """

    memory_names: tuple = ()

    def __init__(self, net, lr, weight_decay=0.0, decoupled=False, exempt=()):
        self.net = net
        self.lr = lr if callable(lr) else checks.number("lr", lr, 0)
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)
        self.decoupled = bool(decoupled)
        self.exempt = exempt if callable(exempt) else _patterns(exempt)
        self.steps = 0
        self._counts = {}  # steps of each parameter: it may have missed some
        self._memory = {name: {} for name in self.memory_names}
        self._built_with = {"optimizer": type(self).__name__, "lr": _described(self.lr)} | {
            name: _described(getattr(self, name))
            for name in ("weight_decay", "decoupled", "exempt")
        }

    def settings(self):
        """What the optimizer was built with, in plain words and numbers, to compare two runs."""
        return dict(self._built_with)

    @property
    def rate(self):
        """Learning rate of the next step, as a float; ``ValueError`` if a schedule gives none."""
        return checks.number("lr", self.lr(self.steps) if callable(self.lr) else self.lr, 0)

    def step(self):
        """One step along the gradients in ``net``, in place; parameters without one stay.

        Raises
        ------
        TypeError, ValueError
            If a gradient does not lie beside its parameter, in its shape, what is remembered is
            not of that shape, a parameter is read-only, or the schedule gives no rate; then
            nothing has changed.
        """
        rate = self.rate
        self._move(self._checked(), rate)
        self.steps += 1

    def _move(self, found, rate):
        """Change parameters; ``found`` has the name of each, itself, and its gradient."""
        for name, parameter, _ in found:  # all of them before the first is changed
            if isinstance(parameter, np.ndarray) and not parameter.flags.writeable:
                raise ValueError(f"{name} is read-only: give the layer a copy of it")
            for memory, held in self._memory.items():
                if name in held and held[name].shape != parameter.shape:
                    raise ValueError(
                        f"{name} has shape {tuple(parameter.shape)}, but its {memory} "
                        f"{tuple(held[name].shape)}: make a new optimizer for a net that changed"
                    )
        for name, parameter, gradient in found:
            wide = arrays.at_least_float32(parameter.dtype, arrays.namespace(parameter=parameter))
            gradient = arrays.cast(gradient, wide)
            if self.weight_decay and not self._is_exempt(name):
                if self.decoupled:
                    parameter *= 1 - rate * self.weight_decay
                else:
                    theta = arrays.cast(parameter, wide)
                    gradient = gradient + self.weight_decay * theta
            self._counts[name] = self._counts.get(name, 0) + 1
            change = self._change(name, gradient, rate)
            parameter -= arrays.cast(change, parameter.dtype)

    def _change(self, name, gradient, rate):
        """What is subtracted from the parameter ``name``."""
        raise NotImplementedError(f"{type(self).__name__} does not define _change")

    def _checked(self):
        found = []
        for prefix, module in self.net.modules():
            for own_name, gradient in module.grads.items():
                name, parameter = prefix + own_name, getattr(module, own_name)
                if not type(parameter) is type(gradient) is np.ndarray:  # which is told at once
                    arrays.namespace(**{name: parameter, "its gradient": gradient})
                if gradient.shape != parameter.shape:
                    raise ValueError(
                        f"{name} has shape {tuple(parameter.shape)}, but its gradient "
                        f"{tuple(gradient.shape)}"
                    )
                found.append((name, parameter, gradient))
        return found

    def _is_exempt(self, name):
        if callable(self.exempt):
            return self.exempt(name)
        return any(name == p or name.endswith(f".{p}") for p in self.exempt)

    def _recall(self, memory, name, like):
        """The array of ``memory`` that belongs to parameter ``name``, beside ``like``, or None."""
        held = self._memory[memory].get(name)
        if held is None or (type(held) is type(like) is np.ndarray and held.dtype == like.dtype):
            return held
        xp, device = arrays.namespace(like=like), arrays.compat.device(like)
        if type(held) is not type(like) or arrays.compat.device(held) != device:
            held = xp.asarray(arrays.to(held, "numpy"), device=device)
        self._memory[memory][name] = arrays.cast(held, like.dtype)
        return self._memory[memory][name]

    def _remember(self, memory, name, value):
        self._memory[memory][name] = value
        return value

    def state_dict(self):
        """Copies of all that a run needs to go on, as NumPy arrays by name.

        ``steps``; ``lr``, unless it is a schedule; and for each parameter its own number of steps
        and what is remembered of it.
        """
        state = {"steps": np.asarray(self.steps)}
        if not callable(self.lr):
            state["lr"] = np.asarray(float(self.lr))
        state |= {f"count.{name}": np.asarray(count) for name, count in self._counts.items()}
        for memory, held in self._memory.items():
            state |= {f"{memory}.{n}": np.array(arrays.to(a, "numpy")) for n, a in held.items()}
        return state

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` of an optimizer of the same kind gave, as ``state``.

        All of it, or nothing. A rate that is a number is taken over too; a schedule goes on from
        the step that was saved.

        Raises
        ------
        ValueError
            If something is missing, has no place here, or does not have the shape of its
            parameter; the message names it.
        """
        parameters, left = self.net.parameters(), dict(state)
        if "steps" not in left:
            raise ValueError("state does not fit this optimizer; missing: steps")
        steps, lr = int(left.pop("steps")), left.pop("lr", None)
        counts, memory = {}, {name: {} for name in self.memory_names}
        for key, value in left.items():
            kind, _, name = key.partition(".")
            if name not in parameters or kind not in ("count", *memory):
                raise ValueError(f"state does not fit this optimizer; no place for: {key}")
            if kind == "count":
                counts[name] = int(value)
            elif value.shape != tuple(parameters[name].shape):
                raise ValueError(
                    f"state does not fit this optimizer; shape: {key} is {value.shape}, not "
                    f"{tuple(parameters[name].shape)}"
                )
            else:
                memory[kind][name] = np.array(value)
        self.steps, self._counts, self._memory = steps, counts, memory
        if lr is not None and not callable(self.lr):
            self.lr = float(lr)


def _patterns(exempt):
    named = isinstance(exempt, (list, tuple)) and all(isinstance(p, str) for p in exempt)
    if not named:
        raise TypeError(
            f"exempt must be a tuple of names such as ('gamma', 'beta'), or a function, not "
            f"{exempt!r}"
        )
    return tuple(exempt)


def _described(value):
    """A setting as something that JSON holds, the same in each process."""
    if callable(value):
        return _text(value)
    return list(value) if isinstance(value, tuple) else value
