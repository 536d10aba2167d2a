import numpy as np
import pytest

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments import inputs, inputs_claims, inputs_cost, inputs_nets

rng = np.random.default_rng(0)
X = rng.normal(3, 1, (200, 4)) @ rng.normal(0, 1, (4, 4))


@pytest.fixture(scope="module")
def fits():
    steps = {"raw": 400, "centered": 400, "standardized": 400, "whitened": 3}
    return {
        form: inputs.run({"data": "digits", "form": form, "steps": n}, 0)
        for form, n in steps.items()
    }


def rewritten(form, x=X):
    c, a = inputs.rewriting(form, x)
    return (x - c) @ a


def test_each_form_is_what_it_says():
    assert np.array_equal(rewritten("raw"), X)
    assert np.allclose(rewritten("bytes"), 255 * X)
    for form in ("centered", "standardized", "whitened"):
        assert np.allclose(rewritten(form).mean(axis=0), 0)
    assert np.allclose(np.cov(rewritten("centered").T), np.cov(X.T))
    assert np.allclose(np.cov(rewritten("standardized").T, bias=True), np.corrcoef(X.T))
    assert np.allclose(np.cov(rewritten("whitened").T, bias=True), np.eye(4))


def test_other_forms_and_constant_columns_are_refused():
    with pytest.raises(ValueError, match="form must be one of bytes, raw, .* not 'shuffled'"):
        inputs.rewriting("shuffled", X)
    constant = np.c_[X, np.full(len(X), 2.0)]
    for form in ("standardized", "whitened"):
        with pytest.raises(ValueError, match="x must have no constant column, but 1 are"):
            inputs.rewriting(form, constant)
    assert inputs.rewriting("centered", constant)[0].shape == (5,)


def test_the_second_moment_counts_the_bias_as_an_input_of_one():
    moment = inputs.second_moment(X)
    assert moment.shape == (5, 5) and moment[4, 4] == 1
    assert np.allclose(moment[:4, :4], X.T @ X / len(X))
    assert np.allclose(moment[4, :4], X.mean(axis=0))


def test_descent_follows_the_formula(fits):
    for fit in fits.values():
        np.testing.assert_allclose(fit["excess"], fit["predicted"], rtol=1e-6, atol=1e-12)
        assert fit["excess"][0] == 1 and fit["steps"][0] == 0
        assert (np.diff(fit["excess"]) <= 1e-12).all()


def test_all_forms_have_the_same_minimum_and_not_the_same_pace(fits):
    least = [fit["least"] for fit in fits.values()]
    assert np.allclose(least, least[0], rtol=1e-9)
    left = {form: fit["excess"][-1] for form, fit in fits.items()}
    assert left["raw"] > 10 * left["centered"] > 10 * left["standardized"] > 10 * left["whitened"]
    assert fits["whitened"]["excess"][1] < 1e-12


def test_the_rate_is_the_best(fits):
    for fit in fits.values():
        smallest, largest = fit["eigenvalues"][[0, -1]]
        assert np.isclose(fit["lr"], 2 / (smallest + largest))
        assert len(fit["eigenvalues"]) == fit["pixels"] + 1


def test_seeds_take_different_images():
    config = {"data": "digits", "form": "centered", "steps": 3}
    first, same, other = (inputs.run(config, seed)["eigenvalues"] for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.allclose(first, other)


def test_milestones_begin_at_zero_and_end_at_the_last_step():
    found = inputs.milestones(60_000)
    assert found[0] == 0 and found[1] == 1 and found[-1] == 60_000
    assert 40 < len(found) < 62 and (np.diff(found) > 0).all()


CONFIG = {"data": "digits", "activation": "relu", "lr": 0.1, "steps": 30}


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_with_batch_norm_shift_and_scale_of_all_pixels_make_no_difference():
    loss = {
        (form, norm): inputs_nets.run(CONFIG | {"form": form, "norm": norm}, 0)["loss"]
        for form in ("bytes", "raw", "centered")
        for norm in (True, False)
    }
    for form in ("bytes", "centered"):
        assert np.isclose(loss[form, True], loss["raw", True], rtol=1e-3)
        assert not np.isclose(loss[form, False], loss["raw", False], rtol=0.02)


def test_looking_at_the_layers_changes_nothing():
    net = inputs_nets.network(True, 4)
    before = {name: value.copy() for name, value in net.state_dict().items()}
    inputs_nets.layers_seen(net, X.astype("float32"))
    assert all(np.array_equal(before[name], value) for name, value in net.state_dict().items())


def test_what_the_first_layer_sees():
    seen = inputs_nets.layers_seen(inputs_nets.network(False, 4, dtype="float64"), X)
    assert np.isclose(seen["moment"][0], np.linalg.cond(inputs.second_moment(X)))
    assert np.isclose(seen["covariance"][0], np.linalg.cond(np.cov(X.T)))
    assert all(values.shape == (3,) for values in seen.values())


def test_batch_norm_keeps_the_units_at_their_spread():
    net = inputs_nets.network(True, 4, dtype="float64")
    net[0].w *= 1000
    for name, values in inputs_nets.layers_seen(net, X).items():
        other = inputs_nets.layers_seen(inputs_nets.network(True, 4, dtype="float64"), X)[name]
        np.testing.assert_allclose(values, other, rtol=0.02)


def test_constant_units_and_lost_numbers_are_results():
    net = inputs_nets.network(False, 4, dtype="float64")
    net[0].b[0] = -1e9  # its ReLU never opens
    assert inputs_nets.layers_seen(net, X)["moment"][1] == np.inf
    net[0].w[:] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(inputs_nets.layers_seen(net, X)["moment"][1])


def test_a_tanh_net_has_tanh():
    kinds = [type(layer) for layer in inputs_nets.network(True, 4, activation=nn.Tanh).layers]
    assert kinds == 3 * [nn.Dense, nn.BatchNorm, nn.Tanh] + [nn.Dense]


def test_the_written_pixels_take_their_statistics_from_the_training_set():
    data = inputs_nets.written("digits", "standardized")
    plain = digits()
    kept = inputs.pixels(plain)
    assert np.allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    assert not np.allclose(data.x_test.mean(axis=0), 0, atol=1e-3)
    mean, std = plain.x_train[:, kept].mean(axis=0), plain.x_train[:, kept].std(axis=0)
    assert np.allclose(data.x_test, (plain.x_test[:, kept] - mean) / std, atol=1e-4)


def test_the_cost_is_measured_for_both():
    cost = inputs_cost.run({"width": 16, "batch_size": 8, "turns": 3}, 0)
    assert cost["plain"] > 0 and cost["norm"] > 0
    assert np.isclose(cost["overhead"], cost["norm"] / cost["plain"] - 1)


@pytest.mark.parametrize("check", inputs_claims.CHECKS, ids=lambda check: check.__name__)
def test_checks_hold(check):
    assert check() is True
