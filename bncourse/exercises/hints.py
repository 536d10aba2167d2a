"""Hints in steps."""

from bncourse.exercises.report import Text, wrapped


class Hinted:
    """Whatever has ``hints`` and counts, in ``_given``, how many of them were asked for."""

    def hint(self):
        """The next hint; after the last one it says so, and starts again."""
        if not self.hints:
            return Text("There is no hint for this one.")
        count = len(self.hints)
        n = self._given % count
        again = "That was the last hint. From the start:\n" if self._given and n == 0 else ""
        self._given += 1
        return Text(wrapped(f"{again}Hint {n + 1} of {count}: {self.hints[n]}"))
