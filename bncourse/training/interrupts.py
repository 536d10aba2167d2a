"""Ctrl-C between the steps of training, never in the middle of one."""

import signal


class WholeSteps:
    """Holds an interrupt back until the step it came in is whole.

    Half a step leaves a network that never was: some parameters moved, others not. Within
    ``with WholeSteps() as hold:`` an interrupt between ``hold.begin()`` and ``hold.end()`` waits
    for the latter; a second one does not wait. Only the main thread is ever interrupted: in
    others this does nothing, nor where the signal is ignored.

    Attributes
    ----------
    inside : bool
        Whether a step has begun and not ended: after an interrupt, whether it was broken.
    """

    def __init__(self):
        self.inside = self._waiting = False
        self._before = None

    def __enter__(self):
        before = signal.getsignal(signal.SIGINT)
        if callable(before):
            try:
                signal.signal(signal.SIGINT, self._interrupt)
                self._before = before
            except ValueError:  # not the main thread
                pass
        return self

    def __exit__(self, *error):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def begin(self):
        """A step begins: from now on an interrupt waits."""
        self.inside = True

    def end(self):
        """The step is whole; an interrupt that has waited comes now."""
        self.inside = False
        if self._waiting:
            self._waiting = False
            self._before(signal.SIGINT, None)

    def _interrupt(self, number, frame):
        if self.inside and not self._waiting:
            self._waiting = True
        else:
            self._before(number, frame)
