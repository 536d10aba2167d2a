"""How far a long run has come: a bar where somebody watches, plain lines in a log file."""

import sys
from time import monotonic

from tqdm.auto import tqdm


class Progress:
    """A bar in a terminal or notebook; elsewhere lines on standard error; nothing without label.

    Lines come after 5 seconds, then each time after twice the time, at least every 5 minutes, and
    at the end: a short run leaves one, a run of ten hours about 130. They hold no control
    characters. To be used in a ``with`` statement.

    Parameters
    ----------
    label : str
        What runs. If it is empty, nothing is written.
    total : int
        How many steps there are.
    done : int
        How many were done before, by a run that is resumed.
    """

    def __init__(self, label, total, done=0):
        self.label, self.total, self.done = label, total, done
        self._loss = None
        self._bar = None
        self._shown = bool(label) and sys.stderr is not None
        if self._shown and _watched():
            self._bar = tqdm(total=total, initial=done, desc=label, leave=False)
        self._first, self._start = done, monotonic()
        self._wait, self._next = 5, self._start + 5

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()
        elif self._shown:
            self._write("" if self.done == self.total else ", stopped")

    def advance(self, loss=None):
        """One more step is done; its ``loss``, if given, is shown."""
        self.done += 1
        self._loss = loss
        if self._bar is not None:
            if loss is not None:
                self._bar.set_postfix_str(f"loss {loss:.3g}", refresh=False)
            self._bar.update()
        elif self._shown and monotonic() >= self._next and self.done < self.total:
            self._write(self._remaining())
            self._wait = min(2 * self._wait, 300)
            self._next = monotonic() + self._wait

    def _remaining(self):
        each = (monotonic() - self._start) / (self.done - self._first)
        return f", {_duration(each * (self.total - self.done))} to go"

    def _write(self, ending):
        loss = "" if self._loss is None else f", loss {self._loss:.3g}"
        took = _duration(monotonic() - self._start)
        text = f"{self.label}: {self.done} of {self.total} steps in {took}{loss}{ending}"
        print(text, file=sys.stderr, flush=True)


def _watched():
    """Whether standard error is a terminal, or this runs in a notebook, which draws bars too."""
    if sys.stderr.isatty():
        return True
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def _duration(seconds):
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
