"""A known wrong answer, and the search for those that explain a learner's."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Attributes
    ----------
    name : str
        What was done, in a few words.
    wrong : callable or float
        A function that makes this mistake; for a :class:`Quantity`, the number it leads to.
    why : str
        Why that produces this result, and where to look.
    """

    name: str
    wrong: Any
    why: str


def fewest(explained):
    """The mistakes to name: again and again the one that explains most of what is left.

    One mistake that explains two wrong outputs is likelier than two mistakes.

    Parameters
    ----------
    explained : dict
        For each mistake, the names of the wrong outputs that it would give.

    Returns
    -------
    dict
        For each mistake to name, the outputs that it is named for.
    """
    left = {mistake: set(names) for mistake, names in explained.items()}
    chosen = {}
    while any(left.values()):
        best = max(left, key=lambda mistake: len(left[mistake]))  # the first of equals
        chosen[best] = [name for name in explained[best] if name in left[best]]
        left = {mistake: names - set(chosen[best]) for mistake, names in left.items()}
    return chosen
