"""A folded network equals the one it came from in evaluation mode, or is refused with a reason."""

import numpy as np
import pytest

from bncourse import nn


@pytest.fixture
def net(rng):
    net = nn.Sequential(
        nn.Dense(3, 5, bias=False, rng=1, dtype="float64"),
        nn.BatchNorm(5, dtype="float64"),
        nn.Sequential(nn.ReLU(), nn.Dense(5, 4, rng=2, dtype="float64"), nn.BatchNorm(4)),
        nn.Dense(4, 2, rng=3, dtype="float64"),
    )
    for _ in range(5):
        net.forward(rng.normal(1, 2, (20, 3)))
    net[1].gamma[:] = [1, -2, 0, 0.5, 3]
    return net


def kinds(net):
    return [type(m).__name__ for _, m in net.modules() if not m.children()]


def test_the_folded_network_equals_evaluation(net, rng):
    x = rng.standard_normal((6, 3))
    folded = nn.fold(net)
    assert kinds(folded) == ["Dense", "ReLU", "Dense", "Dense"]
    np.testing.assert_allclose(folded.forward(x)[0], net.eval().forward(x)[0], rtol=1e-6)


def test_the_original_is_not_changed(net, rng):
    x, before = rng.standard_normal((6, 3)), net.state_dict()
    y, _ = net.eval().forward(x)
    net.train()
    folded = nn.fold(net)
    folded[0].w += 1
    after = net.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before)
    assert net.training and not folded.training and not folded[1][0].training
    assert net[2][0].training
    assert np.array_equal(net.eval().forward(x)[0], y)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.BatchNorm(3)], "at 0 cannot be folded: there is no layer directly before it"),
        ([nn.Dense(3, 3), nn.ReLU(), nn.BatchNorm(3)], "at 2 .* ReLU, is not linear"),
        ([nn.Dense(3, 3), nn.BatchNorm(3, track_running_stats=False)], "those of the batch"),
        ([nn.Dense(3, 3), nn.BatchNorm(3, axis=-1)], "its axis is -1"),
        ([nn.Dense(3, 3), nn.Sequential(nn.BatchNorm(3))], r"at 1\.0 cannot be folded"),
    ],
)
def test_what_is_not_exact_is_refused_with_the_reason(layers, words):
    with pytest.raises(ValueError, match=words):
        nn.fold(nn.Sequential(*layers))


def test_convolutions_and_residual_blocks_are_folded_too(rng):
    def block(n, **options):
        return nn.Conv2d(n, n, 3, padding=1, dtype="float64", **options), nn.BatchNorm(n)

    net = nn.Sequential(
        nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2, dtype="float64"),
        nn.BatchNorm(4),
        nn.Residual(nn.Sequential(*block(4, groups=4, bias=False), nn.ReLU(), *block(4, rng=1))),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Dense(4, 2, dtype="float64"),  # no norm after it: its arrays are shared, not its grads
    )
    for _ in range(3):
        net.forward(rng.normal(1, 2, (4, 2, 5, 6)))
    folded = nn.fold(net)
    assert "BatchNorm" not in kinds(folded)
    x = rng.standard_normal((3, 2, 5, 6))
    y, cache = folded.forward(x)
    np.testing.assert_allclose(y, net.eval().forward(x)[0], rtol=1e-5, atol=1e-6)
    folded.backward(y, cache)
    assert net.gradients() == {} and folded.gradients()


def test_a_batch_norm_alone_is_refused():
    with pytest.raises(ValueError, match="at the top cannot be folded"):
        nn.fold(nn.BatchNorm(3))
