"""From two gradients and their uncertainty to a verdict, and the words for it."""

import numpy as np

from bncourse.gradcheck.measured import yardstick
from bncourse.gradcheck.noise import FLOAT64, scales
from bncourse.gradcheck.report import GradientReport, place, power
from bncourse.gradcheck.resemblance import resemblance
from bncourse.gradcheck.warnings import warnings

TINY = float(np.finfo(np.float64).tiny)


def judge(function, claimed, chosen, found, eps, about):
    """The report on ``claimed``, given what was ``found`` at the ``chosen`` entries.

    ``about`` holds what the report says about the check itself.
    """
    kept = [i for i in range(len(chosen)) if not found.kink[i]]
    gradient = np.full(claimed.shape, np.nan)
    for i in kept:
        gradient[chosen[i]] = found.value[i]
    zero = bool(kept) and vanishes(function, found)
    about = about | {
        "checked": len(chosen),
        "kinks": len(chosen) - len(kept),
        "gradient": gradient,
        "zero": zero,
        "warnings": warnings(function, found, eps, zero),
    }
    lost = [chosen[i] for i in kept if not np.isfinite(found.value[i])]
    if lost:
        reason = f"f is not finite close to x, so there is no derivative at {place(lost[0])}"
        reason += f" and at {len(lost) - 1} others." if len(lost) > 1 else "."
        return GradientReport("cannot tell", reason, lost[0], float(claimed[lost[0]]), **about)
    if not kept:
        return GradientReport("cannot tell", "f has a kink at every entry looked at.", **about)

    value, error = found.value[kept], found.error[kept]
    dx = np.array([float(claimed[chosen[i]]) for i in kept])
    if zero:  # then there is nothing that adds up
        units = scales(function.x)
        scale = function.extent() / np.array([units[chosen[i]] for i in kept])
    else:
        scale = np.maximum(yardstick(found.size)[kept], np.abs(dx))
    deviation = np.abs(dx - value)
    tol = about["tol"]
    wrong = deviation - error > tol * scale
    # An entry that is lost in the noise does no harm if the others are far larger.
    right = ~wrong & (deviation + error <= tol * np.max(scale))
    least = (deviation - error if wrong.any() else deviation + error) / np.maximum(scale, TINY)
    k = int(np.argmax(np.where(right, 0.0, least) if not right.all() else least))
    index = chosen[kept[k]]
    about |= {
        "index": index,
        "claimed": float(dx[k]),
        "numerical": float(value[k]),
        "relative_error": float(deviation[k] / max(scale[k], TINY)),
        "scale": float(scale[k]),
        "noise": float(error[k]),
        "step": float(np.median(found.step)),
    }
    if wrong.any():
        bad = [chosen[kept[i]] for i in np.flatnonzero(wrong)]
        return GradientReport("wrong", _fault(function, claimed, gradient, bad, zero), **about)
    if right.all():
        return GradientReport("right", _agreement(len(kept), zero), **about)
    return GradientReport("cannot tell", _doubt(deviation[k], error[k], eps), **about)


def vanishes(function, found):
    """Whether all that was measured could be rounding: the terms of each sum, and the sum."""
    value, error, size = (a[~found.kink] for a in (np.abs(found.value), found.error, found.size))
    noise = np.max(error, initial=0.0)
    return bool(np.all(value <= error) and np.all(size <= noise * np.sqrt(function.y.size)))


def _fault(function, claimed, gradient, bad, zero):
    if zero:
        return "The true gradient is zero, as far as can be measured, and dx is not."
    lengths = (*function.x.shape, *function.y.shape, function.x.size, function.y.size)
    likeness = resemblance(claimed.astype(np.float64), gradient, bad, lengths)
    return likeness or f"dx is off in {len(bad)} of {np.isfinite(gradient).sum()} entries."


def _agreement(n, zero):
    if zero:
        return (
            "The true gradient is zero, as far as can be measured, and so is dx. A relative "
            "error would mean nothing: the size of the loss is the scale here."
        )
    return f"dx agrees with the measured gradient in {n} entr{'y' if n == 1 else 'ies'}."


def _doubt(deviation, error, eps):
    way_out = (
        "float64 would tell more" if eps > FLOAT64 else "f is noisy, or bends too fast for any step"
    )
    return (
        f"dx is off by {power(deviation)}, but the measured gradient itself is only good to "
        f"{power(error)}: {way_out}."
    )
