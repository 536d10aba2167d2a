"""From wrong results to words: which known mistakes give just these, and if none, where it breaks.

An output is explained by one mistake if possible, else by two that are made together.
"""

from itertools import combinations

import numpy as np

from bncourse.exercises.mistake import fewest, together
from bncourse.exercises.report import Report
from bncourse.exercises.showing import difference
from bncourse.gradcheck import relative_error


def wrong_outputs(exercise, runs):
    """Names of the outputs that differ from the reference's on some input."""
    return [
        name for name in exercise.outputs if not all(_all_agree(exercise, r, [name]) for r in runs)
    ]


def report(exercise, runs, wrong):
    """The report on an answer some of whose outputs are ``wrong``."""
    right = [name for name in exercise.outputs if name not in wrong]
    lines = [f"Not yet. Right: {', '.join(right)}." if right else "Not yet."]
    single = {(m,): _explained(exercise, m.wrong, wrong, runs) for m in exercise.mistakes}
    single = _those_that_spoil_least_first(exercise, single, wrong, runs)
    found = fewest(single)
    if _not_in(found, wrong):
        found = fewest(single | _pairs(exercise, wrong, runs))
    left = _not_in(found, wrong)
    found = dict(sorted(found.items(), key=lambda item: wrong.index(item[1][0])))
    lines += [_words(mistakes, names) for mistakes, names in found.items()]
    if left:
        lines += _unknown(exercise, runs, left)
    else:
        lines += ["For example:", *_example(exercise, runs, wrong[:1])]
    names = dict.fromkeys(m.name for mistakes in found for m in mistakes)
    outcome = "unknown mistake" if left else "known mistake"
    return Report(False, outcome, "\n".join(lines), tuple(names))


def _not_in(found, wrong):
    return [name for name in wrong if not any(name in names for names in found.values())]


def _words(mistakes, names):
    said = f"{', '.join(names)}: "
    if len(mistakes) == 1:
        return f"{said}{mistakes[0].name}. {mistakes[0].why}"
    first, second = mistakes
    return (
        f"{said}two mistakes together. First, {first.name}. {first.why} "
        f"Second, {second.name}. {second.why}"
    )


def _pairs(exercise, wrong, runs):
    """For each two mistakes that can be made together, which ``wrong`` outputs they explain."""
    found = {}
    for first, second in combinations(exercise.mistakes, 2):
        both = together(first, second)
        if both:
            names = _explained(exercise, both, wrong, runs)
            if names:
                found[first, second] = names
    return found


def _explained(exercise, mistaken, wrong, runs):
    """Those of the ``wrong`` outputs that a mistaken answer gives just so, on every input."""
    places = [exercise.outputs.index(name) for name in wrong]
    differing = set()  # a mistake that does not show on these inputs explains nothing
    for r in runs:
        made = exercise.wanted(r.case, mistaken)
        places = [k for k in places if _agree(exercise, r.got[k], made[k])]
        if not places:
            return []
        differing |= {k for k in places if not _agree(exercise, made[k], r.want[k])}
    return [exercise.outputs[k] for k in places if k in differing]


def _agree(exercise, a, b):
    if np.shape(a) != np.shape(b):
        return False
    if b.dtype.kind == "b" or not np.size(b):
        return np.array_equal(a, b)
    # Where the mean is ten times the spread, float32 has lost a digit before it begins.
    tolerance = exercise.tolerance * (10 if a.dtype == np.float32 else 1)
    error = relative_error(a, b)
    if np.isnan(error):  # something is not finite: then the same entries must be, in both
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return False
        error = relative_error(np.nan_to_num(a), np.nan_to_num(b))
    return error <= tolerance


def _those_that_spoil_least_first(exercise, single, wrong, runs):
    """Of mistakes that explain equally much, that is likeliest which leaves the rest alone."""
    spoiled = {m: _spoiled(exercise, m[0].wrong, runs) for m, names in single.items() if names}
    if exercise.whole:
        spoiled = {m: names for m, names in spoiled.items() if names <= set(wrong)}
    return {m: single[m] for m in sorted(spoiled, key=lambda m: len(spoiled[m]))}


def _spoiled(exercise, mistaken, runs):
    """Names of all outputs that a mistaken answer gets wrong."""
    made = [(exercise.wanted(r.case, mistaken), r.want) for r in runs]
    return {
        name
        for k, name in enumerate(exercise.outputs)
        if not all(_agree(exercise, a[k], b[k]) for a, b in made)
    }


def _unknown(exercise, runs, left):
    """The smallest input that shows it, and where the result leaves the right one."""
    lines = [f"{', '.join(left)}: wrong, in a way that is not listed here."]
    lines += _described(exercise, [r for r in runs if not _all_agree(exercise, r, left)], left)
    return [*lines, "The smallest input that shows it:", *_example(exercise, runs, left)]


def _described(exercise, runs, left):
    """What is not finite, and what the exercise has to say about one of the other ``runs``."""
    places = {name: exercise.outputs.index(name) for name in left}
    lost = [n for n, k in places.items() if not all(np.isfinite(r.got[k]).all() for r in runs)]
    lines = [f"There are NaN or infinite numbers in {', '.join(lost)}."] if lost else []
    if exercise.describe:
        # The largest says most, and the smallest little: few points lie on any curve.
        runs = [r for r in (runs[1:] or runs)[::-1] if all(np.isfinite(g).all() for g in r.got)]
        found = (exercise.describe(r.case, r.got, r.want) for r in runs)
        lines += next(filter(None, found), [])
    return lines


def _example(exercise, runs, names):
    """The first input, which is the smallest, on which one of these outputs is wrong."""
    r = next(r for r in runs if not _all_agree(exercise, r, names))
    name = next(name for name in names if not _all_agree(exercise, r, [name]))
    k = exercise.outputs.index(name)
    shown = dict(zip(exercise.arguments, r.case, strict=True))
    return difference(name, r.got[k], r.want[k], shown)


def _all_agree(exercise, r, names):
    places = map(exercise.outputs.index, names)
    return all(_agree(exercise, r.got[k], r.want[k]) for k in places)
