"""A known wrong answer, and the search for those that explain a learner's."""

from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Attributes
    ----------
    name : str
        What was done, in a few words.
    wrong : callable or float
        A function that makes this mistake; for a :class:`Quantity`, the number it leads to. A
        ``functools.partial`` of a function with replaceable parts can be combined with another
        one, so that both are recognized when they are made together.
    why : str
        Why that produces this result, and where to look.
    """

    name: str
    wrong: Any
    why: str


def together(a, b):
    """A function that makes both mistakes, or ``None`` if they cannot be made together.

    They can if both replace parts of the same function, and not the same part.
    """
    a, b = a.wrong, b.wrong
    if not (isinstance(a, partial) and isinstance(b, partial) and a.func is b.func):
        return None
    if a.args or b.args or a.keywords.keys() & b.keywords.keys():
        return None
    return partial(a.func, **a.keywords, **b.keywords)


def fewest(explained):
    """The mistakes to name: again and again the one that explains most of what is left.

    One mistake that explains two wrong outputs is likelier than two mistakes.

    Parameters
    ----------
    explained : dict
        For each mistake (or each tuple of them), the names of the wrong outputs that it would
        give.

    Returns
    -------
    dict
        For each one to name, the outputs that it is named for.
    """
    left = {mistake: set(names) for mistake, names in explained.items()}
    chosen = {}
    while any(left.values()):
        best = max(left, key=lambda mistake: len(left[mistake]))  # the first of equals
        chosen[best] = [name for name in explained[best] if name in left[best]]
        left = {mistake: names - set(chosen[best]) for mistake, names in left.items()}
    return chosen
