"""What a grid of runs measured, as arrays."""

import numpy as np

from bncourse.experiments.numbers import to_arrays


class Results:
    """What a grid of runs measured, recorded or just computed.

    Parameters
    ----------
    name : str
        Of the experiment.
    cells : list of dict
        As :func:`~bncourse.experiments.cells.compute` gives them.
    shows : str
        The series whose last value sums up a run.
    quick : bool
        Whether these are the results of the quick version.

    Attributes
    ----------
    configs : list of dict
        The different configs, in the order of the grid.
    seeds : list of int
        The different seeds.
    """

    def __init__(self, name, cells, shows="", quick=False):
        self.name, self.cells, self.shows, self.quick = name, cells, shows, quick
        self.configs = _different(cell["config"] for cell in cells)
        self.seeds = _different(cell["seed"] for cell in cells)

    @property
    def settings(self):
        """Values of each setting in which the configs differ, by name (dict of list)."""
        names = _different(name for config in self.configs for name in config)
        values = {name: self._values(name) for name in names}
        return {name: known for name, known in values.items() if len(known) > 1}

    @property
    def seconds(self):
        """What all cells together took, in seconds of wall-clock time."""
        return sum(cell["seconds"] for cell in self.cells)

    def series(self, name, **settings):
        """One series of one config, with all its seeds.

        Parameters
        ----------
        name : str
            Of the series.
        **settings
            Values that pick the config, such as ``norm=True, lr=0.5``; those in which the configs
            do not differ can be left out.

        Returns
        -------
        numpy.ndarray, shape (seeds, ...)
            Float, int or bool. A run that diverged has NaN or infinity in it.

        Raises
        ------
        ValueError
            If there is no such series or config, or more than one; the message says what there is.
        """
        config = self._pick(settings)
        cells = [cell for cell in self.cells if cell["config"] == config]
        known = cells[0]["series"]
        if name not in known:
            raise ValueError(f"name must be {_or(map(repr, known))}, not {name!r}")
        return np.stack([to_arrays(cell["series"])[name] for cell in cells])

    def table(self):
        """A line for each config, as text: its settings, and what its runs came to.

        That is the last value of the series ``shows``: mean over the seeds, lowest, highest.
        """
        head = [*self.settings, self.shows or "seconds", "lowest", "highest"]
        rows = [head]
        for config in self.configs:
            cells = [cell for cell in self.cells if cell["config"] == config]
            last = np.array([self._last(cell) for cell in cells], float)
            found = [f"{v:.4g}" for v in (last.mean(), last.min(), last.max())]
            rows.append([*(str(config.get(name, "")) for name in self.settings), *found])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self):
        if not self.cells:
            return f"{self.name}: no results"
        shapes = {k: np.shape(v) for k, v in to_arrays(self.cells[0]["series"]).items()}
        cpus = sorted({cell["environment"]["cpu"] for cell in self.cells})
        dates = sorted({cell["date"] for cell in self.cells})
        when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
        counts = {"config": self.configs, "seed": self.seeds, "run": self.cells}
        counted = ", ".join(f"{len(n)} {name}{'s' * (len(n) != 1)}" for name, n in counts.items())
        lines = [
            f"{self.name}: {counted}",
            *(f"  {name} is {_or(values)}" for name, values in self.settings.items()),
            "series " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            f"computed {when} in {_duration(self.seconds)}, one thread a run, on {_or(cpus)}",
            f"to reproduce it: python -m bncourse experiment run {self.name}"
            + " --quick" * self.quick,
        ]
        return "\n".join(lines)

    def _values(self, name):
        return _different(config[name] for config in self.configs if name in config)

    def _last(self, cell):
        if not self.shows:
            return cell["seconds"]
        return to_arrays(cell["series"])[self.shows].ravel()[-1]

    def _pick(self, settings):
        """The one config that has all ``settings``."""
        for name, value in settings.items():
            values = self._values(name)
            if not values:
                known = _different(name for config in self.configs for name in config)
                raise ValueError(f"there is no setting {name!r}, only {', '.join(known)}")
            if value not in values:
                raise ValueError(f"{name} must be {_or(values)}, not {value!r}")
        fits = [c for c in self.configs if all(c.get(k) == v for k, v in settings.items())]
        if len(fits) != 1:
            others = ", ".join(name for name in self.settings if name not in settings)
            raise ValueError(
                f"settings must pick one config, but {settings} leaves {len(fits)}"
                + (f": say {others} too" if fits else "")
            )
        return fits[0]


def _different(values):
    """The different ones of ``values``, which need not be hashable, in their order."""
    found = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _or(values):
    return " or ".join(map(str, values))


def _duration(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
