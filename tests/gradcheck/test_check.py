"""The verdicts of the check, and every case in which a plainer one would err."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import gradcheck

SEEDS = range(5)


def norm(seed, dtype="float64"):
    """A batch norm as a pair of functions, and a table for it."""
    rng = np.random.default_rng([seed, 1])
    x, gamma, beta = (
        a.astype(dtype) for a in (rng.normal(2, 3, (12, 5)), *rng.normal(size=(2, 5)))
    )

    def f(x):
        return F.batch_norm_forward(x, gamma, beta)[0]

    def backward(dy):
        return F.batch_norm_backward(dy, F.batch_norm_forward(x, gamma, beta)[1])[0]

    return f, x, backward


# Right and wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_gradient_is_right_and_every_number_is_in_the_report(seed):
    f, x, backward = norm(seed)
    report = gradcheck(f, x, backward=backward, seed=seed)
    assert report.passed and report.verdict == "right"
    assert report.relative_error < 1e-8 and report.tol == 1e-6
    assert (report.checked, report.entries, report.kinks, report.warnings) == (60, 60, 0, ())
    assert np.abs(report.claimed - report.numerical) <= report.noise < 1e-7 * report.scale
    assert np.isfinite(report.gradient).all() and report.gradient[report.index] == report.numerical


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor", [1 + 1e-5, 1 - 1e-5])
def test_a_deviation_just_above_the_tolerance_is_wrong_and_just_below_right(seed, factor):
    f, x, backward = norm(seed)
    assert gradcheck(f, x, backward=lambda dy: factor * backward(dy)).verdict == "wrong"
    assert gradcheck(f, x, backward=lambda dy: factor * backward(dy), tol=2e-5).passed


def test_three_ways_to_say_what_the_gradient_is_of():
    x = np.array([0.3, -1.2, 2.0])
    dy = np.array([1.0, 2.0, -1.0])
    assert gradcheck(np.sin, x, backward=lambda dy: dy * np.cos(x)).passed
    assert gradcheck(np.sin, x, dy * np.cos(x), dy).passed
    assert gradcheck(np.sin, x, dy=dy, backward=lambda dy: dy * np.cos(x)).passed
    assert gradcheck(lambda x: np.sum(x**3), x, 3 * x**2).passed
    assert gradcheck(np.sin, 1, np.cos(1)).passed
    assert not gradcheck(np.sin, x, np.cos(x), dy).passed


def test_the_random_upstream_depends_on_the_seed_and_on_nothing_else():
    seen = []

    def backward(dy):
        seen.append(dy.copy())
        dy[:] = 0  # it is a copy
        return 2 * seen[-1]

    for seed in (3, 3, 4):
        assert gradcheck(lambda x: 2 * x, np.ones(4), backward=backward, seed=seed).passed
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.all(seen[0] != seen[2])


@pytest.mark.parametrize("seed", SEEDS)
def test_an_x_drawn_from_the_same_seed_does_not_make_the_upstream_blind(seed):
    x = np.random.default_rng(seed).standard_normal((12, 5))
    _, cache = F.batch_norm_forward(x)
    report = gradcheck(
        lambda x: F.batch_norm_forward(x)[0],
        x,
        backward=lambda dy: F.batch_norm_backward(dy, cache)[0],
        seed=seed,
    )
    assert report.passed and report.warnings == ()
    assert np.abs(report.gradient).max() > 0.1


def test_the_worst_entry_and_both_its_values():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    dx = 2 * x
    dx[1, 0] = 7
    report = gradcheck(lambda x: np.sum(x**2), x, dx)
    assert report.verdict == "wrong" and report.index == (1, 0)
    assert report.claimed == 7 and report.numerical == pytest.approx(6, rel=1e-8)
    assert report.relative_error == pytest.approx(1 / 7, rel=1e-6)
    assert report.noise < 1e-6


def test_of_several_wrong_entries_the_one_that_is_relatively_worst():
    x = np.array([1e4, 1.0, 1e4])
    report = gradcheck(lambda x: np.sum(x**2), x, 2 * x + [2.0, 0.5, 0.0])
    assert report.index == (1,) and report.reason == "dx is off in 2 of 3 entries."


# Zeros, scales and noise


@pytest.mark.parametrize("m", [7, 11, 12, 13])
@pytest.mark.parametrize("method", ["central", "complex"])
def test_a_true_gradient_of_zero_is_measured_against_the_loss(method, m, rng):
    u, w, dy = rng.standard_normal((m, 7)), rng.standard_normal((7, 5)), rng.normal(size=(m, 5))

    def f(b):  # the bias before a batch norm
        d = u @ w + b
        d = d - d.mean(axis=0)
        return d / np.sqrt((d * d).mean(axis=0) + 1e-5)

    for dx in (np.zeros(5), rng.normal(0, 1e-16, 5)):
        report = gradcheck(f, np.zeros(5), dx, dy, method=method)
        assert report.passed and report.zero and "zero" in report.reason
        assert "returns zeros passes" in report.warnings[-1]
    report = gradcheck(f, np.zeros(5), np.full(5, 1e-3), dy, method=method)
    assert report.verdict == "wrong" and report.zero


@pytest.mark.parametrize("method", ["central", "complex"])
def test_a_gradient_of_zero_that_is_left_over_from_larger_terms(method, rng):
    u, dy = rng.standard_normal((2, 12, 5))

    def f(a):  # the scale of what is normalized; no eps
        d = a * (u - u.mean(axis=0))
        return d / np.sqrt((d * d).mean(axis=0))

    report = gradcheck(f, 1.3, 1e-15, dy, method=method)
    assert report.passed and report.zero
    assert gradcheck(f, 1.3, 1e-3, dy, method=method).verdict == "wrong"


def test_where_gradient_and_loss_both_vanish_the_scale_is_taken_a_step_away():
    report = gradcheck(lambda x: x**3, np.zeros(4), backward=lambda dy: 0 * dy)
    assert report.passed and report.zero and report.scale > 1e-3
    assert not gradcheck(lambda x: x**3, np.zeros(4), np.full(4, 1e-4), np.ones(4)).passed


def test_an_entry_of_zero_is_measured_against_the_others():
    x = np.array([1.0, 0.0])
    assert gradcheck(lambda x: np.sum(x**2), x, [2.0, 5e-10]).passed
    assert not gradcheck(lambda x: np.sum(x**2), x, [2.0, 5e-9]).passed


def test_a_small_column_is_not_hidden_by_a_large_one():
    x = np.array([[1e4, 1.0], [2e4, 2.0], [4e4, -3.0]])
    dx = 2 * x
    assert gradcheck(lambda x: np.sum(x**2), x, dx).passed
    dx[1, 1] *= 1.01
    assert gradcheck(lambda x: np.sum(x**2), x, dx).index == (1, 1)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1, 1e4, 1e9])
def test_the_step_follows_the_scale_of_x(scale):
    x = scale * np.array([0.3, -1.2, 2.0])
    report = gradcheck(lambda x: np.sin(x / scale), x, np.cos(x / scale) / scale, np.ones(3))
    assert report.passed and report.relative_error < 1e-8
    assert 1e-7 < report.step / scale < 1e-3


def test_a_mean_that_dwarfs_the_spread_calls_for_smaller_steps():
    x = 1e6 + np.random.default_rng(0).standard_normal((12, 5))
    _, cache = F.batch_norm_forward(x)
    report = gradcheck(
        lambda x: F.batch_norm_forward(x)[0],
        x,
        backward=lambda dy: F.batch_norm_backward(dy, cache)[0],
    )
    assert report.passed and report.step < 0.1


def test_a_function_that_is_flat_over_large_steps_is_not_taken_for_flat():
    x = 1e6 + np.array([0.01, -0.02, 0.005])
    dx = 50 / np.cosh(50 * (x - 1e6)) ** 2
    report = gradcheck(lambda x: np.tanh(50 * (x - 1e6)), x, dx, np.ones(3))
    assert report.verdict != "wrong" and report.gradient == pytest.approx(dx, rel=1e-3)


def test_steps_stay_below_the_size_of_an_entry():
    for seed in (1, 35):
        x = np.random.default_rng(seed).integers(-3, 4, (6, 5)).astype("float32")
        below = x * x + np.float32(0.01)
        report = gradcheck(
            lambda x: 1 / (x * x + np.float32(0.01)),
            x,
            backward=lambda dy, x=x, below=below: -dy * 2 * x / below**2,
            seed=seed,
        )
        assert report.verdict != "wrong"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_disagreement_below_the_noise_is_not_a_verdict(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(8)

    def f(x):  # a sum that rounds at 1e10
        return np.sum(np.sin(x)) + 1e10 - 1e10

    dx = np.cos(x)
    report = gradcheck(f, x, dx, tol=1e-6)
    assert report.verdict == "cannot tell" and "only good to" in report.reason
    assert gradcheck(f, x, dx * (1 + 1e-5), tol=1e-6).verdict == "cannot tell"
    lucky = gradcheck(f, x, report.gradient, tol=1e-6)
    assert lucky.verdict == "cannot tell" and lucky.relative_error == 0
    assert gradcheck(f, x, dx + 1, tol=1e-6).verdict == "wrong"
    assert gradcheck(f, x, dx).passed and gradcheck(f, x, dx).tol == 5e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_is_noticed_by_the_output(seed):
    f, x, backward = norm(seed, "float32")
    report = gradcheck(f, x, backward=backward)
    assert report.passed and report.tol == 5e-3 and report.step > 1e-3
    assert report.warnings == ("f computes no finer than float32; float64 would tell more.",)
    assert gradcheck(f, x, backward=lambda dy: 1.05 * backward(dy)).verdict == "wrong"
    assert gradcheck(f, x, backward=backward, tol=1e-7).verdict == "cannot tell"


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_is_noticed_inside_too(seed):
    f, x, backward = norm(seed)
    report = gradcheck(lambda x: f(x.astype("float32")) * 1.0 + 0.1, x, backward=backward)
    assert report.passed and "float32" in report.warnings[0]
    report = gradcheck(lambda x: f(x.astype("float32")).astype("float64"), x, backward=backward)
    assert report.passed and "float32" in report.warnings[0]


def test_float64_that_hardly_moves_is_not_taken_for_float32():
    x = np.array([1e-3, -2e-3, 5e-4])
    report = gradcheck(lambda x: x**2 + 5, x, 2 * x, np.ones(3))
    assert report.passed and report.tol == 1e-6


def test_a_gradient_in_float32_of_a_function_in_float64_is_given_its_rounding():
    x = np.array([0.3, -1.2, 2.0])
    assert gradcheck(np.sin, x, np.cos(x).astype("float32"), np.ones(3)).tol == 5e-3


def test_longer_numbers_are_taken_for_float64():
    x = np.array([0.3, -1.2, 2.0], dtype=np.longdouble)
    assert gradcheck(np.sin, x, np.cos(x), np.ones(3)).passed


def test_x_too_coarse_to_measure_anything_is_said():
    x = (1e6 + np.random.default_rng(0).standard_normal((12, 5))).astype("float32")
    report = gradcheck(lambda x: np.sin(x), x, backward=lambda dy: dy * np.cos(x))
    assert report.verdict == "cannot tell" and "From one number to the next" in report.reason


# Kinks, NaN and functions that misbehave


def test_kinks_are_left_out_and_counted():
    x = np.array([-1.0, 0.0, 2.0, 0.0, 1e-13])
    report = gradcheck(lambda x: np.maximum(x, 0), x, backward=lambda dy: dy * (x > 0))
    assert report.passed and report.kinks == 3 and report.checked == 5
    assert np.isnan(report.gradient).tolist() == [False, True, False, True, True]
    wrong = gradcheck(lambda x: np.maximum(x, 0), x, backward=lambda dy: dy)
    assert wrong.verdict == "wrong" and wrong.index == (0,)


def test_a_kink_further_away_is_avoided_by_a_smaller_step():
    x = np.array([-1.0, 1e-6, 2.0, -1e-7])
    report = gradcheck(lambda x: np.maximum(x, 0), x, backward=lambda dy: dy * (x > 0))
    assert report.passed and report.kinks == 0


def test_a_tie_of_maxima_is_a_kink():
    x = np.array([[1.0, 1.0, 0.0], [3.0, 2.0, 1.0]])
    first = np.array([[1.0, 0, 0], [1, 0, 0]])
    report = gradcheck(lambda x: x.max(axis=1), x, backward=lambda dy: dy[:, None] * first)
    assert report.passed and report.kinks == 2


def test_only_kinks_is_no_verdict():
    report = gradcheck(np.abs, np.zeros(3), backward=lambda dy: dy * 0)
    assert report.verdict == "cannot tell" and report.kinks == 3 and "kink" in report.reason
    assert not report.zero and not report.warnings


def test_a_strong_curvature_is_no_kink():
    x = np.array([-1.0, 0.0, 2.0])
    report = gradcheck(lambda x: 1e3 * x**2, x, 2e3 * x, np.ones(3))
    assert report.passed and report.kinks == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(bad):
    x = np.ones((2, 3))
    dx = np.ones((2, 3))
    dx[1, 2] = bad
    report = gradcheck(np.sum, x, dx)
    assert report.verdict == "wrong" and report.index == (1, 2)
    assert f"{bad} at [1, 2]; 1 of its 6 entries is not finite." in report.reason
    assert not gradcheck(lambda x: x * bad, x, dx, np.ones((2, 3))).passed


def test_a_function_that_is_not_finite_is_said_with_the_place():
    x = np.array([1.0, 0.0])
    with np.errstate(all="ignore"):
        report = gradcheck(np.log, x, backward=lambda dy: dy / x)
        assert report.verdict == "cannot tell" and "-inf at [1]" in report.reason
        report = gradcheck(lambda x: np.sum(np.sqrt(x)), x, [0.5, 1.0])
    assert report.verdict == "cannot tell" and "[1]" in report.reason and report.index == (1,)


def test_x_is_not_changed_and_a_function_that_tries_is_told():
    x = np.array([1.0, 2.0])

    def rude(v):
        y = v * v
        v[:] = 0
        return y

    report = gradcheck(rude, x, backward=lambda dy: 2 * dy * x)
    assert report.passed and x.tolist() == [1, 2]
    assert report.warnings == ("f changes its argument; it was handed copies.",)


def test_dropout_that_is_not_fixed_gives_two_answers():
    rng = np.random.default_rng(0)
    report = gradcheck(
        lambda x: x * (rng.random(x.shape) < 0.5), np.ones(20), backward=lambda dy: dy
    )
    assert report.verdict == "cannot tell"
    assert "two different answers for the same x" in report.reason


def test_a_function_that_changes_later_is_noticed_too():
    calls = []

    def f(x):
        calls.append(None)
        return x * (2 if len(calls) < 20 else 3)

    report = gradcheck(f, np.ones(30), backward=lambda dy: 2 * dy)
    assert report.verdict == "cannot tell" and "drifts" in report.reason


def test_running_statistics_that_move_are_fine():
    from bncourse import nn

    layer = nn.BatchNorm(5, dtype="float64")
    x = np.random.default_rng(0).normal(2, 3, (12, 5))
    _, cache = layer.forward(x)
    assert gradcheck(
        lambda x: layer.forward(x)[0], x, backward=lambda dy: layer.backward(dy, cache)
    ).passed


# What a check does not see


@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_upstream_is_warned_of(seed):
    f, x, _ = norm(seed)
    report = gradcheck(f, x, np.zeros_like(x), np.ones_like(x))
    assert report.passed and not report.zero
    assert "the same everywhere" in report.warnings[0]
    assert "cancels" in report.warnings[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_upstream_in_which_all_cancels_is_warned_of(seed):
    _, x, _ = norm(seed)
    y, cache = F.batch_norm_forward(x)
    dx = F.batch_norm_backward(2 * y, cache)[0]
    report = gradcheck(lambda x: F.batch_norm_forward(x)[0], x, dx, 2 * y)
    assert report.passed and len(report.warnings) == 1 and "cancels" in report.warnings[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_that_is_nearly_constant_is_warned_of(seed):
    _, x, _ = norm(seed)
    y, cache = F.batch_norm_forward(x)
    dx = F.batch_norm_backward(2 * y, cache)[0]
    report = gradcheck(lambda x: np.sum(F.batch_norm_forward(x)[0] ** 2), x, dx)
    assert report.verdict != "wrong" and "hardly changes" in report.warnings[0]


def test_a_function_that_ignores_x_is_warned_of():
    report = gradcheck(lambda x: np.ones(3), np.ones(4), backward=lambda dy: np.zeros(4))
    assert report.passed and report.zero and "returns zeros passes" in report.warnings[0]


# Choices


def test_a_random_subset_is_checked_and_said():
    x = np.linspace(1, 2, 500)
    looked = set()

    def f(v):
        looked.update(np.flatnonzero(v != x).tolist() if np.sum(v != x) == 1 else [])
        return v**2

    report = gradcheck(f, x, backward=lambda dy: 2 * dy * x, entries=200)
    assert report.passed and (report.checked, report.entries) == (200, 500)
    assert len(looked) == 200 and np.isfinite(report.gradient).sum() == 200
    assert "200 of 500 entries at random" in repr(report)
    assert gradcheck(f, x, backward=lambda dy: 2 * dy * x, entries=9999).checked == 500


def test_complex_steps_are_exact():
    x = np.array([0.3, -1.2, 2.0])
    report = gradcheck(np.sin, x, np.cos(x), np.ones(3), method="complex", tol=1e-13)
    assert report.passed and report.relative_error < 1e-15 and report.step < 1e-29
    dx = np.cos(x) * (1 + 1e-12)
    assert gradcheck(np.sin, x, dx, np.ones(3), method="complex", tol=1e-13).verdict == "wrong"


@pytest.mark.parametrize("f", [np.abs, lambda x: (x - x.mean()) / np.sqrt(np.var(x) + 1e-5)])
def test_complex_steps_through_what_is_not_analytic_give_no_verdict(f):
    x = np.array([0.3, -1.2, 2.0])
    report = gradcheck(f, x, backward=lambda dy: dy, method="complex")
    assert report.verdict == "cannot tell" and "not analytic" in report.reason


def test_complex_steps_where_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="f does not take complex numbers: use method='central'"):
        gradcheck(
            lambda x: F.batch_norm_forward(x)[0],
            np.ones((3, 2)),
            np.ones((3, 2)),
            1.0,
            method="complex",
        )


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "either dx, the gradient, or backward"),
        ({"dx": np.ones(3), "backward": np.cos}, TypeError, "either dx"),
        ({"dx": np.ones(3)}, ValueError, r"f\(x\) has shape \(3,\), so dx depends on an upstream"),
        (
            {"dx": np.ones(2), "dy": np.ones(3)},
            ValueError,
            r"dx has shape \(2,\), but x has \(3,\)",
        ),
        ({"dx": np.ones(3), "dy": np.ones(2)}, ValueError, r"dy has shape \(2,\), but f\(x\) has"),
        ({"dx": np.ones(3), "dy": [1, np.nan, 1]}, ValueError, r"dy must be finite.*nan at \[1\]"),
        ({"backward": lambda dy: (dy, dy)}, TypeError, "backward returned a tuple of 2"),
        ({"backward": lambda dy: dy[:2]}, ValueError, r"backward\(dy\) has shape \(2,\)"),
        ({"dx": 1j * np.ones(3), "dy": 1.0}, TypeError, "dx must hold real numbers, not complex"),
        ({"dx": np.ones(3), "dy": 1.0, "method": "exact"}, ValueError, "method must be 'central'"),
        ({"dx": np.ones(3), "dy": 1.0, "tol": 0}, ValueError, "tol must be positive"),
        ({"dx": np.ones(3), "dy": 1.0, "entries": 0}, ValueError, "entries must be at least 1"),
        ({"dx": np.ones(3), "dy": 1.0, "seed": 0.5}, TypeError, "seed must be a whole number"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        gradcheck(np.sin, np.ones(3), **arguments)


def test_a_gradient_of_the_transposed_shape_is_called_so():
    with pytest.raises(ValueError, match="it is transposed"):
        gradcheck(np.sum, np.ones((2, 3)), np.ones((3, 2)))


def test_a_function_that_returns_its_cache_too_is_told_how_to_leave_it():
    with pytest.raises(TypeError, match=r"f returned a tuple of 2.*forward\(x\)\[0\]"):
        gradcheck(F.batch_norm_forward, np.ones((3, 2)), backward=lambda dy: dy)


def test_x_must_be_finite_numbers_of_numpy():
    import array_api_strict

    with pytest.raises(ValueError, match=r"x must be finite, but holds inf at \[1\]"):
        gradcheck(np.sin, np.array([1, np.inf]), np.ones(2), 1.0)
    with pytest.raises(TypeError, match="x is an array of array_api_strict, but gradcheck is for"):
        gradcheck(np.sin, array_api_strict.ones(3), np.ones(3), 1.0)
    with pytest.raises(TypeError, match="x must hold real numbers, not <U1"):
        gradcheck(np.sin, "a", np.ones(3), 1.0)


def test_an_output_whose_shape_changes_is_told():
    x = np.array([0.5, 1.0])
    with pytest.raises(ValueError, match=r"f\(x\) had shape \(1,\), and at a nearby x it has"):
        gradcheck(lambda x: x[x >= 1.0] * 1.0, x, np.ones(2), np.ones(1))


def test_nothing_to_check_is_no_pass():
    report = gradcheck(np.sum, np.ones((0, 3)), np.ones((0, 3)))
    assert report.verdict == "cannot tell" and "empty" in report.reason
