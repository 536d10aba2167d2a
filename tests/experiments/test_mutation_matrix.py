"""The published table, entry by entry, and which of its entries depend on the seed."""

import numpy as np
import pytest

from bncourse.data import digits
from bncourse.exercises import backward
from bncourse.experiments import mutation_matrix as m

QUICK = tuple(name for name in m.CHECKS if name != "falling loss")
WRONG_DX = m.MISTAKES[:12]
KNOWN = {mistake.name: mistake.wrong for mistake in backward.mistakes}
TABLES = [m.matrix(seed, checks=QUICK) for seed in range(20)]


def missed(check, table):
    seen = table.noticed[:, table.checks.index(check)]
    return {name for name, noticed in zip(table.mistakes, seen, strict=True) if not noticed}


@pytest.mark.parametrize("table", TABLES)
def test_a_sum_misses_seven_of_twelve_wrong_dx(table):
    assert missed("sum of outputs", table) == {
        "the path through the variance is missing",
        "the path through the variance has the wrong sign",
        "a factor 2 is lost in the path through the variance",
        "the path through the variance is divided by m - 1",
        "gamma is missing in dx",
        "eps is missing",
        "dx is zero",
    }


@pytest.mark.parametrize("table", TABLES)
def test_a_sum_of_squares_misses_the_path_through_the_mean_and_all_of_gamma_and_beta(table):
    assert missed("sum of squares", table) == {
        "the path through the mean is missing",
        "gamma is missing in dx",
        "y stands for x_hat",
    }


@pytest.mark.parametrize("check", ["centered difference", "complex step", "gradcheck"])
@pytest.mark.parametrize("table", TABLES)
def test_a_random_upstream_misses_none(table, check):
    assert missed(check, table) == set()


def test_false_alarms():
    alarms = np.array([table.false_alarms for table in TABLES])
    shares = dict(zip(QUICK, alarms.mean(axis=0), strict=True))
    assert shares.pop("in float32") == 1
    assert 0.05 <= shares.pop("centered difference") <= 0.4  # 1e-8 is too much to ask for
    assert set(shares.values()) == {0}


def test_only_one_random_entry_depends_on_the_seed():
    noticed = np.array([table.noticed for table in TABLES])
    varies = noticed.any(axis=0) & ~noticed.all(axis=0)
    assert {QUICK[k] for k in np.flatnonzero(varies.any(axis=0))} == {"one random entry"}
    assert all("eps is missing" in missed("one random entry", table) for table in TABLES)


def test_the_loss_falls_with_all_mistakes_but_one():
    table = m.matrix(0, checks=["falling loss"])
    assert missed("falling loss", table) == set(m.MISTAKES) - {"1/m is missing in both paths"}
    assert not table.false_alarms[0]


def test_losses_are_those_of_the_right_network_if_the_gradient_is_right():
    from bncourse.experiments import wrong_gradients

    data = digits(dtype="float64")
    ours = m.losses(data, backward.reference, seed=3, steps=10)
    np.testing.assert_allclose(ours, wrong_gradients.run(data, steps=10, seed=3).loss, rtol=1e-9)


def test_the_same_seed_gives_the_same_table_and_any_mistakes_may_be_chosen():
    names = ("the sign of dx is turned round", "gamma loses its sign")
    a, b = (m.matrix(1, names, QUICK[:3]) for _ in range(2))
    assert a.mistakes == names and a.checks == QUICK[:3] and a.noticed.shape == (2, 3)
    np.testing.assert_array_equal(a.noticed, b.noticed)


def test_the_selection_is_from_the_catalogue():
    assert len(set(m.MISTAKES)) == 14 and set(m.MISTAKES) <= KNOWN.keys()
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 1, (4, 5)), rng.standard_normal((4, 5))
    gamma, beta = rng.standard_normal((2, 5))
    right = backward.reference(dy, x, gamma, beta, 1e-5)
    for name in m.MISTAKES:
        got = KNOWN[name](dy, x, gamma, beta, 1e-5)
        same = [np.allclose(a, b, rtol=1e-9) for a, b in zip(got, right, strict=True)]
        assert same[0] == (name not in WRONG_DX) and not all(same)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mistakes": ["a"]}, "mistakes must be among .*; not a"),
        ({"checks": ["b", "gradcheck"]}, "checks must be among falling loss, .*; not b$"),
    ],
)
def test_unknown_names_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        m.matrix(**arguments)
