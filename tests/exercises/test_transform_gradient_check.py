"""The exercises of the chapter on gradient checks: right answers in many styles, and wrong ones."""

import numpy as np
import pytest

from bncourse.exercises import paths
from bncourse.exercises.gradient_claims import OF, batteries
from bncourse.exercises.transform_gradient_check import (
    best_step,
    centered_by_hand,
    gradient_checker,
    numerical_gradient,
    read_paths,
)
from bncourse.gradcheck import central_difference, complex_step, relative_error

SEEDS = range(20)


def in_place(loss, x, h):
    x = x.astype(float)
    dx = np.zeros(x.shape)
    for j in np.ndindex(x.shape):
        keep = x[j]
        x[j] = keep + h
        above = loss(x)
        x[j] = keep - h
        dx[j] = (above - loss(x)) / (2 * h)
        x[j] = keep
    return dx


def with_flat_indices(loss, x, h):
    flat = np.array(x, dtype=float).ravel()
    dx = []
    for k in range(flat.size):
        losses = []
        for side in (h, -h):
            moved = flat.copy()
            moved[k] += side
            losses.append(loss(moved.reshape(x.shape)))
        dx.append((losses[0] - losses[1]) / h / 2)
    return np.array(dx).reshape(x.shape)


def with_unit_vectors(loss, x, h):
    nudges = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.reshape([(loss(x + e) - loss(x - e)) / (2 * h) for e in nudges], x.shape)


def with_the_iterator(loss, x, h):
    x = x * 1.0
    dx = np.empty(x.shape)
    for j, value in np.ndenumerate(x.copy()):
        x[j] = value + h
        dx[j] = loss(x) / (2 * h)
        x[j] = value - h
        dx[j] -= loss(x) / (2 * h)
        x[j] = value
    return dx


def in_float32(loss, x, h):
    dx = in_place(lambda z: np.float64(loss(z)), x, h)
    return dx.astype("float32")


@pytest.mark.parametrize(
    "answer",
    [
        in_place,
        with_flat_indices,
        with_unit_vectors,
        with_the_iterator,
        in_float32,
        lambda loss, x, h: central_difference(loss, x, h=h),
    ],
)
def test_numerical_gradient_takes_any_style(answer):
    for seed in SEEDS:
        report = numerical_gradient.check(answer, seed, mine=False)
        assert report.passed, report


def test_a_gradient_that_leaves_x_changed_is_told_so():
    def careless(loss, x, h):
        dx = np.empty(x.shape)
        for j in np.ndindex(x.shape):
            x[j] += h
            above = loss(x)
            x[j] -= 2 * h
            dx[j] = (above - loss(x)) / (2 * h)
        return dx

    assert numerical_gradient.check(careless, mine=False).outcome == "changed its inputs"


def test_the_exact_gradient_is_no_centered_difference():
    report = numerical_gradient.check(lambda loss, x, h: loss.gradient(x), mine=False)
    assert not report.passed


def allowed(measured, dy, y, h=1e-5):
    return 1e-4 * np.abs(measured).max() + 2e-15 * np.sum(np.abs(dy * y)) / h


def by_central_difference(forward, backward, x):
    y = forward(x)
    dy = np.random.default_rng(7).normal(1, 1, y.shape)
    measured = central_difference(forward, x, dy)
    return np.abs(backward(dy) - measured).max() <= allowed(measured, dy, y)


def by_complex_step(forward, backward, x):
    y = forward(x)
    dy = np.random.default_rng(3).uniform(-1, 1, y.shape)
    measured = complex_step(forward, x, dy)
    off = np.abs(backward(dy) - measured)
    return not (~(off <= 1e-6 * np.abs(measured).max() + 1e-14 * np.sum(np.abs(dy * y)))).any()


def entry_by_entry(forward, backward, x):
    y = forward(x)
    dy = np.random.default_rng(1).normal(0, 2, y.shape)
    dx = backward(dy)
    measured = in_place(lambda x: np.sum(dy * forward(x)), x, 1e-5)
    return all(
        abs(a - b) <= allowed(measured, dy, y) for a, b in zip(dx.flat, measured.flat, strict=True)
    )


def to_one_side(forward, backward, x):
    y = forward(x)
    dy = np.random.default_rng(5).normal(0, 1, y.shape)
    dx, h = backward(dy), 1e-7
    measured = np.zeros(x.shape)
    for j in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[j] = h
        measured[j] = np.sum(dy * (forward(x + nudge) - y)) / h
    return np.all(np.abs(dx - measured) <= allowed(measured, dy, y, h))


def with_estimated_noise(forward, backward, x):
    """As in the chapter: from two steps, and from what rounding does."""
    y = forward(x)
    dy = np.random.default_rng(2).normal(0, 1, y.shape)
    once, twice = (in_place(lambda x: np.sum(dy * forward(x)), x, k * 1e-5) for k in (1, 2))
    noise = np.abs(twice - once) / 3 + 2.2e-16 * np.sum(np.abs(dy * y)) / 1e-5
    return bool(np.all(np.abs(backward(dy) - once) <= 10 * noise))


def with_a_relative_error(forward, backward, x):
    y = forward(x)
    dy = np.random.default_rng(4).normal(0, 1, y.shape)
    dx, measured = backward(dy), central_difference(forward, x, dy)
    noise = 1e-8 * np.sum(np.abs(dy * y))
    close = relative_error(dx, measured) < 1e-4
    return close or (np.isfinite(dx).all() and np.abs([dx, measured]).max() < noise)


@pytest.mark.parametrize(
    "answer",
    [
        by_central_difference,
        by_complex_step,
        entry_by_entry,
        to_one_side,
        with_estimated_noise,
        with_a_relative_error,
    ],
)
def test_a_checker_of_any_style_is_right(answer):
    for seed in SEEDS:
        report = gradient_checker.check(answer, seed, mine=False)
        assert report.passed, report


def test_claims_are_right_where_the_reference_says_so():
    for seed in range(5):
        *_, claims = batteries(np.random.default_rng(seed))[0]
        right = {}
        for name, group in claims.groups.items():
            right[name] = []
            for c in group:
                dy = np.random.default_rng(9).normal(0, 1, c.forward(c.x).shape)
                off = np.abs(c.backward(dy) - complex_step(c.forward, c.x, dy)).max()
                right[name].append(off < 1e-12 * np.sum(np.abs(dy * c.forward(c.x))))
        assert right.pop("right") == [True, True] and right.pop("zero") == [True]
        assert right.pop("tiny") == [True, False, False]
        assert not any(sum(right.values(), []))
        assert [len(group) for group in claims.groups.values()] == [2, 1, 3, 6, 5, 2]
        assert list(claims.groups) == list(OF)


def test_an_error_is_no_verdict():
    def error(forward, backward, x):
        dy = np.ones(forward(x).shape)
        return relative_error(backward(dy), central_difference(forward, x, dy))

    report = gradient_checker.check(error, mine=False)
    assert report.outcome == "wrong form" and "True or False" in report.message


def test_a_verdict_for_each_entry_is_no_verdict():
    report = gradient_checker.check(lambda forward, backward, x: x > 0, mine=False)
    assert report.outcome == "wrong form" and "one True or False" in report.message


def test_a_checker_that_returns_at_times_is_not_taken_for_a_stub():
    def true_or_nothing(forward, backward, x):
        if gradient_checker.reference(forward, backward, x):
            return True

    report = gradient_checker.check(true_or_nothing, mine=False)
    assert report.outcome == "wrong form" and "for some gradients nothing" in report.message


def close(difference, step=1e-5, one_sided=False):
    def checker(forward, backward, x):
        y = forward(x)
        dy = np.random.default_rng(1).normal(0, 1, y.shape)
        measured = np.empty_like(x)
        for j in np.ndindex(x.shape):
            nudge = np.zeros_like(x)
            nudge[j] = step
            below, apart = (y, step) if one_sided else (forward(x - nudge), 2 * step)
            measured[j] = np.sum(dy * (forward(x + nudge) - below)) / apart
        noise = 1e-15 * np.sum(np.abs(dy * y)) / step
        allowed = 1e-6 * np.abs(measured).max() + noise
        return bool(np.all(difference(backward(dy), measured) <= allowed))

    return checker


def absolute(dx, measured):
    return np.abs(dx - measured)


@pytest.mark.parametrize(
    ("checker", "name"),
    [
        (close(lambda dx, measured: dx - measured), "only errors upward count"),
        (close(lambda dx, measured: measured - dx), "only errors downward count"),
        (close(lambda dx, measured: absolute(dx, measured)[:1]), "one row is looked at"),
        (close(absolute, step=0.1), "it refuses all but zeros"),
        (close(absolute, one_sided=True), "it refuses all but zeros"),
    ],
    ids=["no abs", "no abs, other way round", "one row", "long step", "one-sided"],
)
def test_a_weakness_of_a_checker_is_not_taken_for_another(checker, name):
    assert close(absolute)(*vars(right_claim()).values())
    report = gradient_checker.check(checker, mine=False)
    assert report.mistakes == (name,), report


def right_claim():
    (case,) = batteries(np.random.default_rng(0))
    return case[-1].groups["right"][0]


@pytest.mark.parametrize("verdict", [1, "yes", {}, 1e-9])
def test_what_is_neither_true_nor_false_is_told_by_its_type(verdict):
    report = gradient_checker.check(lambda forward, backward, x: verdict, mine=False)
    assert report.outcome == "wrong form"
    assert report.message == f"Not yet: True or False is needed, not {type(verdict).__name__}."


def test_a_checker_that_returns_nothing_is_not_attempted():
    assert gradient_checker.check(lambda f, b, x: None, mine=False).outcome == "not attempted"


def sum_and_allclose(forward, backward, x):
    ones = np.ones(forward(x).shape)
    return np.allclose(backward(ones), central_difference(forward, x), rtol=1e-4, atol=1e-7)


def without_floor_and_nan_slips(forward, backward, x):
    dy = np.random.default_rng(0).normal(0, 1, forward(x).shape)
    dx, measured = backward(dy), central_difference(forward, x, dy)
    error = np.abs(dx - measured).max() / max(np.abs(dx).max(), np.abs(measured).max())
    return not error > 1e-4


def entry_by_entry_over_a_small_number(forward, backward, x):
    """As in the notes of CS231n."""
    dy = np.random.default_rng(0).normal(0, 1, forward(x).shape)
    dx, measured = backward(dy), central_difference(forward, x, dy)
    error = np.abs(dx - measured) / np.maximum(1e-8, np.abs(dx) + np.abs(measured))
    return error.max() < 1e-3


@pytest.mark.parametrize(
    ("checker", "names"),
    [
        (sum_and_allclose, {"the tolerance is absolute", "the upstream gradient is all ones"}),
        (without_floor_and_nan_slips, {"the tolerance has no floor", "NaN slips through"}),
        (
            entry_by_entry_over_a_small_number,
            {"the tolerance has no floor", "the floor of the tolerance is a fixed number"},
        ),
    ],
)
def test_weaknesses_are_named_side_by_side(checker, names):
    for seed in range(5):
        assert set(gradient_checker.check(checker, seed, mine=False).mistakes) == names


def feature_by_feature(dx, dy, x, gamma, eps):
    x_hat = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    left, right = np.zeros((3, 3)), np.zeros(3)
    for k in range(x.shape[1]):
        scale = gamma[k] / np.sqrt(x[:, k].var() + eps)
        g, z = dy[:, k], x_hat[:, k]
        a = scale * np.stack([g, np.full(len(g), g.mean()), z * (g * z).mean()], axis=1)
        left += a.T @ a
        right += a.T @ dx[:, k]
    return np.linalg.solve(left, right)


def by_pseudo_inverse(dx, dy, x, gamma, eps):
    s = np.sqrt(x.var(0) + eps)
    z = (x - x.mean(0)) / s
    parts = [dy, np.broadcast_to(dy.mean(0), dy.shape), z * np.einsum("ik,ik->k", dy, z) / len(x)]
    columns = np.array([(gamma / s * p).ravel() for p in parts]).T
    return np.linalg.pinv(columns) @ dx.ravel()


def with_scaled_gradient(dx, dy, x, gamma, eps):
    s = np.sqrt(x.var(0) + eps)
    z = (x - x.mean(0)) / s
    columns = np.column_stack([p.ravel() for p in (dy, dy.mean(0) + 0 * dy, z * (dy * z).mean(0))])
    return list(np.linalg.lstsq(columns, (dx * s / gamma).ravel(), rcond=None)[0])


def by_the_parts(dx, dy, x, gamma, eps):
    """No least squares: x_hat and the constants are taken out first, which leaves ``a``."""
    s = np.sqrt(x.var(0) + eps)
    z, bracket = (x - x.mean(0)) / s, dx * s / gamma

    def split(v):
        mean, slope = v.mean(0), (v * z).mean(0) / (z * z).mean(0)
        return mean, slope, v - mean - slope * z

    (m, p, rest), (gm, gp, grest) = split(bracket), split(dy)
    a = np.sum(rest * grest) / np.sum(grest**2)
    b = np.sum((m - a * gm) * gm) / np.sum(gm**2)
    c_gp = p - a * gp
    weight = gp * (z * z).mean(0)
    return np.array([a, b, np.sum(c_gp * weight) / np.sum(weight**2)])


def with_the_course(dx, dy, x, gamma, eps):
    return np.median(paths.fit(dx, dy, x, gamma, eps)[0], axis=0)


def paths_in_float32(dx, dy, x, gamma, eps):
    s = np.sqrt(x.var(0) + eps)
    unit = np.abs(dx).max()
    z = ((x - x.mean(0)) / s).astype("float32")
    g, scale = dy.astype("float32"), (gamma / s / unit).astype("float32")
    columns = np.stack([scale * p for p in (g, g.mean(0) + 0 * g, z * (g * z).mean(0))], axis=-1)
    columns = columns.reshape(-1, 3)
    length = np.linalg.norm(columns, axis=0)
    found = np.linalg.lstsq(columns / length, (dx / unit).astype("float32").ravel(), rcond=None)[0]
    return found / length


@pytest.mark.parametrize(
    "answer",
    [
        feature_by_feature,
        by_pseudo_inverse,
        with_scaled_gradient,
        by_the_parts,
        with_the_course,
        paths_in_float32,
    ],
)
def test_paths_are_read_in_any_style(answer):
    for seed in SEEDS:
        report = read_paths.check(answer, seed, mine=False)
        assert report.passed, report


@pytest.mark.parametrize("off", [1.02, 0.98, 1.5])
def test_a_step_near_the_best_passes_and_one_further_off_does_not(off):
    assert best_step.check(4.79e-3 * off, mine=False).passed == (off < 1.03 and off > 0.97)


def test_a_centered_difference_is_told_from_the_slope():
    assert centered_by_hand.check(3.01, mine=False).passed
    assert centered_by_hand.check(3.0, mine=False).mistakes == ("that is the true slope",)
