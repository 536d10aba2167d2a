"""Statistics that run along with training, or are taken once and for all."""

import numpy as np

from bncourse import arrays, checks
from bncourse.moments import Moments, merge
from bncourse.nn.module import Module


class RunningStatistics(Module):
    """What a batch norm remembers of the batches it has seen; base of :class:`BatchNorm`.

    Parameters
    ----------
    momentum : float in [0, 1], or None
        Weight of the new batch; ``None`` for the plain average over all batches.
    variance : {"unbiased", "biased"}
        Which variance is kept.
    on_nonfinite : {"propagate", "raise", "skip"}
        What NaN or infinity does.

    Attributes
    ----------
    running_mean, running_var : array or None
        Zeros and ones at first. Never changed in place, so that what you hold stays as it was.
    num_batches_tracked : int
        Non-empty batches seen in training.
    num_batches_skipped : array or None
        How many of them ``on_nonfinite="skip"`` kept out of a channel's statistics.
    population : Moments or None
        What :meth:`observe` has seen so far.
    """

    buffer_names = ("running_mean", "running_var", "num_batches_skipped")
    optional_names = ("num_batches_skipped",)
    extra_names = ("num_batches_tracked", "population_count", "population_mean", "population_m2")

    def __init__(self, momentum=0.1, variance="unbiased", on_nonfinite="propagate"):
        super().__init__()
        if momentum is not None:
            momentum = checks.number("momentum", momentum, 0, 1)
        if variance not in ("unbiased", "biased"):
            raise ValueError(f"variance must be 'unbiased' or 'biased', not {variance!r}")
        if on_nonfinite not in ("propagate", "raise", "skip"):
            raise ValueError(
                f"on_nonfinite must be 'propagate', 'raise' or 'skip', not {on_nonfinite!r}"
            )
        self.momentum = momentum
        self.variance = variance
        self.on_nonfinite = on_nonfinite
        self.running_mean = self.running_var = self.num_batches_skipped = None
        self.num_batches_tracked = 0
        self.population = None

    def reset_running_stats(self, shape=None, dtype=None):
        """Mean 0, variance 1, nothing seen; ``shape`` and ``dtype`` as they are if not given."""
        if shape is None:
            shape, dtype = self.running_mean.shape, self.running_mean.dtype
        like = None if self.running_mean is None else arrays.library(self.running_mean)
        new = np.zeros(shape, dtype), np.ones(shape, dtype), np.zeros(shape, dtype)
        if like == "cupy":
            new = tuple(arrays.to(a, "cupy") for a in new)
        self.running_mean, self.running_var, self.num_batches_skipped = new
        self.num_batches_tracked = 0
        self.population = None

    def observe(self, moments):
        """Take values into exact statistics of a population, each counting the same.

        Batches of any size may come in any order, single examples too: their moments are merged,
        and the running statistics become those of all that was observed since
        :meth:`reset_running_stats`. A variance waits for the second value.

        Parameters
        ----------
        moments : Moments
            Of values that nothing else has been told of, one mean and one m2 a channel.
        """
        xp = arrays.namespace(moments=moments.mean, running_mean=self.running_mean)
        if tuple(moments.mean.shape) != tuple(self.running_mean.shape):
            raise ValueError(
                f"moments are of shape {tuple(moments.mean.shape)}, but this layer has "
                f"{tuple(self.running_mean.shape)}: one value per channel"
            )
        seen = moments if self.population is None else merge(self.population, moments)
        self.population = seen
        if seen.count > 0:
            self.running_mean = xp.astype(seen.mean, self.running_mean.dtype)
        if seen.count > 1:
            self.running_var = xp.astype(self._var(seen), self.running_var.dtype)

    def _var(self, moments):
        if self.variance == "biased" or moments.count < 2:
            return moments.var
        return moments.var_unbiased

    def _track(self, moments):
        """Move the running statistics towards those of a batch, all of them or none."""
        if moments.count == 0:
            return
        mean, var = moments.mean, self._var(moments)
        xp = arrays.namespace(mean=mean)
        keep = None if self.on_nonfinite == "propagate" else xp.isfinite(mean) & xp.isfinite(var)
        if self.on_nonfinite == "raise" and not bool(xp.all(keep)):
            raise ValueError(
                "x holds NaN or infinity (or its variance overflows), and on_nonfinite='raise': "
                "clean x, or choose on_nonfinite='skip' to keep such channels out of the running "
                "statistics"
            )
        batches = self.num_batches_tracked + 1
        skipped = self.num_batches_skipped
        if keep is not None:
            skipped = skipped + xp.astype(~keep, skipped.dtype)
        weight = self.momentum
        if weight is None:  # a count of 0 belongs to a channel without a single batch to weigh
            weight = 1 / xp.clip(batches - xp.astype(skipped, mean.dtype), 1)

        def blend(old, new):
            wide = arrays.cast(old, new.dtype)
            moved = _between(wide, new, weight)
            return arrays.cast(moved if keep is None else xp.where(keep, moved, wide), old.dtype)

        running = blend(self.running_mean, mean), blend(self.running_var, var)
        self.running_mean, self.running_var = running
        self.num_batches_tracked, self.num_batches_skipped = batches, skipped

    def extra_state(self):
        """Counts and population, as arrays by name, for ``state_dict``."""
        state = {"num_batches_tracked": np.asarray(self.num_batches_tracked)}
        if self.population is not None:
            count, mean, m2 = self.population
            state |= {"population_count": np.asarray(count)}
            state |= {"population_mean": mean, "population_m2": m2}
        return state

    def load_extra_state(self, state):
        """Take back what :meth:`extra_state` gave; ``state`` may lack any of it."""
        self.num_batches_tracked = int(state.get("num_batches_tracked", 0))
        self.population = None
        if "population_count" in state:
            names = ("population_mean", "population_m2")
            mean, m2 = (self._beside(state[name]) for name in names)
            self.population = Moments(int(state["population_count"]), mean, m2)

    def _beside(self, a):
        return arrays.to(a, arrays.library(self.running_mean))


def _between(old, new, weight):
    """``(1 - weight) old + weight new``; what has no weight does not matter, not even infinity."""
    if isinstance(weight, float) and weight in (0, 1):
        return new if weight else old
    return (1 - weight) * old + weight * new
