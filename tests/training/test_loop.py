import itertools

import array_api_strict as strict
import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn, training
from bncourse.optim import SGD
from bncourse.training import accuracy, batches, fit, train_step


def problem(rng, n=40):
    x = rng.standard_normal((n, 5)).astype("float32")
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)


def small_net(seed=0):
    return nn.Sequential(
        nn.Dense(5, 8, rng=seed), nn.BatchNorm(8), nn.ReLU(), nn.Dense(8, 3, rng=seed + 1)
    )


@pytest.mark.parametrize("n, size", [(12, 4), (13, 4), (7, 7), (5, 1)])
def test_batches_cover_each_epoch_without_repeats(n, size):
    per_epoch = n // size
    drawn = list(itertools.islice(batches(n, size, 0), 3 * per_epoch))
    epochs = [np.concatenate(drawn[e * per_epoch : (e + 1) * per_epoch]) for e in range(3)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == per_epoch * size
        assert set(epoch.tolist()) <= set(range(n))
    assert all(len(b) == size for b in drawn)
    assert not np.array_equal(epochs[0], epochs[1]) or n * size < 6


def test_batches_are_those_of_the_seed():
    first, same, other = (list(itertools.islice(batches(9, 3, seed), 6)) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, same))
    assert not all(map(np.array_equal, first, other))


@pytest.mark.parametrize(
    "n, size, kind, message",
    [
        (5, 6, ValueError, "size of a batch must lie in 1 to 5"),
        (5, 0, ValueError, "size must be at least 1, not 0"),
        (0, 1, ValueError, "n must be at least 1, not 0"),
        (5, 2.0, TypeError, "size must be a whole number, not 2.0"),
        (None, 1, TypeError, "n must be a whole number, not None"),
    ],
)
def test_impossible_batches_are_told_at_once(n, size, kind, message):
    with pytest.raises(kind, match=message):
        batches(n, size, 0)


def test_one_step_goes_down_the_gradient_and_returns_the_loss_before(rng):
    x, labels = problem(rng)
    net = small_net()
    optimizer = SGD(net, 0.1)

    def loss():
        return float(F.softmax_cross_entropy_forward(net.forward(x)[0], labels)[0])

    before = loss()
    assert train_step(net, optimizer, x, labels) == before
    assert loss() < before


def test_steps_do_not_add_up_gradients(rng):
    x, labels = problem(rng)
    twice, once = small_net(), small_net()
    frozen = SGD(twice, 0)
    train_step(twice, frozen, x, labels)
    train_step(twice, frozen, x, labels)
    train_step(once, SGD(once, 0), x, labels)
    for name, gradient in once.gradients().items():
        assert np.array_equal(twice.gradients()[name], gradient)


def test_the_same_seed_gives_the_same_bits(rng):
    x, labels = problem(rng)

    def trained(seed):
        net = small_net()
        fit(net, SGD(net, 0.1), x, labels, 25, 7, seed)
        return net.parameters() | {"var": net[1].running_var}

    first, same, other = trained(0), trained(0), trained(1)
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["0.w"], other["0.w"])


@pytest.mark.parametrize(
    "steps, every, recorded",
    [(10, 5, [0, 5, 10]), (10, 4, [0, 4, 8, 10]), (2, 100, [0, 2]), (0, 1, [0])],
)
def test_records_come_at_the_start_every_few_steps_and_at_the_end(rng, steps, every, recorded):
    x, labels = problem(rng)
    net = small_net()
    modes = []

    def record(step):
        modes.append(net.training)
        return step, net[1].num_batches_tracked

    records = fit(net, SGD(net, 0.1), x, labels, steps, 7, 0, every, record)
    assert records == [(step, step) for step in recorded]
    assert not any(modes) and net.training


def test_without_record_nothing_is_recorded(rng):
    x, labels = problem(rng)
    net = small_net().eval()
    assert fit(net, SGD(net, 0.1), x, labels, 3, 7) == []
    assert net.training and net[1].num_batches_tracked == 3


def test_progress_is_shown_only_on_request(rng, capfd):
    x, labels = problem(rng)
    net = small_net()
    fit(net, SGD(net, 0.1), x, labels, 3, 7)
    assert capfd.readouterr().err == ""
    fit(net, SGD(net, 0.1), x, labels, 3, 7, progress="two nets")
    assert capfd.readouterr().err.startswith("two nets: 3 of 3 steps in 0 s, loss ")


def test_a_divergence_is_a_result_too(rng):
    x, labels = problem(rng)
    net = nn.Sequential(nn.Dense(5, 8), nn.Dense(8, 3))
    with np.errstate(all="ignore"):
        records = fit(net, SGD(net, 1e30), x, labels, 5, 7, 0, 1, lambda step: step)
    assert records == [0, 1, 2, 3, 4, 5] and not np.isfinite(net[0].w).all()


def squared_forward(y, t):
    return np.mean((y - t) ** 2), y - t


def squared_backward(cache):
    return 2 * cache / cache.size


def test_another_loss_may_be_given(rng):
    """Least squares by gradient descent finds the map, and the losses are those of the batches."""
    x = rng.standard_normal((40, 3))
    w = rng.standard_normal((3, 2))
    net = nn.Dense(3, 2, dtype="float64")
    first = squared_forward(x @ net.w, x @ w)[0]
    loss = squared_forward, squared_backward
    history = fit(net, SGD(net, 0.3), x, x @ w, 200, batch_size=40, loss=loss)
    np.testing.assert_allclose(net.w, w, 1e-6)
    np.testing.assert_allclose(history.losses[0], first, 1e-12)
    assert history.losses.shape == (200,) and history.losses[-1] < 1e-12
    assert np.all(np.diff(history.losses[:50]) < 0)


def test_targets_of_another_loss_need_one_entry_an_example(rng):
    loss = squared_forward, squared_backward
    with pytest.raises(ValueError, match="labels must have one entry an example"):
        fit(small_net(), SGD(nn.Tanh(), 0.1), X, np.zeros((3, 3)), 5, 2, loss=loss)


@pytest.mark.parametrize("loss", [None, squared_forward, (squared_forward,), (1, 2)])
def test_a_loss_that_is_no_pair_of_functions_is_told(loss):
    with pytest.raises(TypeError, match="loss must be a pair of functions"):
        fit(small_net(), SGD(nn.Tanh(), 0.1), X, T, 5, 2, loss=loss)


def test_the_history_holds_records_steps_and_losses(rng):
    x, labels = problem(rng)
    net = small_net()
    history = fit(net, SGD(net, 0.1), x, labels, 5, 7, 0, 2, lambda step: 10 * step)
    again = small_net()
    losses = [
        train_step(again, optimizer, x[chosen], labels[chosen])
        for optimizer in [SGD(again, 0.1)]
        for chosen in itertools.islice(batches(40, 7, 0), 5)
    ]
    assert (history, history.steps) == ([0, 20, 40, 50], [0, 2, 4, 5])
    assert history.losses.tolist() == losses


def test_a_failing_record_leaves_training_mode(rng):
    x, labels = problem(rng)
    net = small_net()
    with pytest.raises(ZeroDivisionError):
        fit(net, SGD(net, 0.1), x, labels, 5, 7, 0, 2, lambda step: 1 / (step - 2))
    assert net.training and net[1].num_batches_tracked == 2


def test_accuracy_is_the_share_that_is_right(place):
    logits = place.put([[1, 0], [1, 0], [0, 1], [1, 0]], "float32")
    labels = place.put([0, 1, 1, 1])
    assert accuracy(nn.Sequential(), logits, labels) == 0.5
    assert type(accuracy(nn.Sequential(), logits, labels)) is float


def test_accuracy_keeps_the_mode(rng):
    net, (x, labels) = small_net().eval(), problem(rng)
    accuracy(net, x, labels)
    assert not net.training and net[1].num_batches_tracked == 0


X, T = np.ones((4, 5)), np.zeros(4, int)
BAD = [
    (None, T, TypeError, "x must be an array, not NoneType"),
    (X.tolist(), T, TypeError, "x must be an array, not list"),
    (X.astype(int), T, TypeError, "x has dtype int64"),
    (X, None, TypeError, "labels must be an array, not NoneType"),
    (X, T.tolist(), TypeError, "labels must be an array, not list"),
    (X, T[:3], ValueError, r"labels must have one entry an example, .* \(4, 5\) .* \(3,\)"),
    (X, T[:, None], ValueError, r"labels must have one entry an example, .* \(4, 1\)"),
    (X, strict.asarray(T), TypeError, "x lives in numpy but labels in array_api_strict"),
]


@pytest.mark.parametrize("x, labels, kind, message", BAD, ids=[m for *_, m in BAD])
def test_examples_that_do_not_fit_are_told_and_nothing_is_trained(x, labels, kind, message):
    net = small_net()
    before = net[0].w.copy()
    with pytest.raises(kind, match=message):
        accuracy(net, x, labels)
    with pytest.raises(kind, match=message):
        fit(net, SGD(net, 0.1), x, labels, 3, 2)
    assert np.array_equal(net[0].w, before) and net[1].num_batches_tracked == 0


def test_the_accuracy_of_nothing_is_told():
    with pytest.raises(ValueError, match="x must hold at least one example"):
        accuracy(small_net(), X[:0], T[:0])


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"steps": -1}, ValueError, "steps must be at least 0, not -1"),
        ({"steps": 2.5}, TypeError, "steps must be a whole number"),
        ({"batch_size": 5}, ValueError, "size of a batch must lie in 1 to 4"),
        ({"every": -1}, ValueError, "every must be at least 0, not -1"),
        ({"record": print}, ValueError, "every must be at least 1 for record to be called"),
    ],
)
def test_bad_options(options, kind, message):
    net = small_net()
    with pytest.raises(kind, match=message):
        fit(net, SGD(net, 0.1), X, T, **{"steps": 3, "batch_size": 2, **options})


def test_training_where_the_arrays_are(rng, monkeypatch):
    """A net whose arrays live on a device trains there, and ends as it would in NumPy."""
    from places import PLACES

    place, (x, labels) = PLACES["device1"], problem(rng)
    here, there = small_net(), small_net()
    for _, module in there.modules():
        for name in (*module.parameter_names, *module.buffer_names):
            setattr(module, name, place.put(getattr(module, name)))
    fit(here, SGD(here, 0.1), x, labels, 5, 7)
    fit(there, SGD(there, 0.1), place.put(x), place.put(labels), 5, 7)
    for name, parameter in here.parameters().items():
        np.testing.assert_allclose(place.get(there.parameters()[name]), parameter, 1e-5, 1e-6)
    assert training.accuracy(here, x, labels) == training.accuracy(
        there, place.put(x), place.put(labels)
    )
