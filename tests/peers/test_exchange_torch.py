"""Networks from and to PyTorch: the same outputs in evaluation, and the same next step."""

import numpy as np
import pytest

from bncourse import interop, nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; see `make peers`")


def pair():
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(2, 4, (3, 2), groups=2, bias=False),
        t.BatchNorm2d(4, momentum=0.3, eps=1e-2),
        t.ReLU(),
        t.ConvTranspose2d(4, 6, 3, groups=2),
        t.GroupNorm(3, 6),
        t.Flatten(),
        t.BatchNorm1d(6 * 5 * 6, affine=False),
        t.Sequential(t.Linear(6 * 5 * 6, 5), t.Tanh()),
        t.LayerNorm(5),
        t.Linear(5, 3, bias=False),
        t.RMSNorm(3, eps=1e-5),
    ).double()
    double = {"dtype": "float64"}
    ours = nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), groups=2, bias=False, **double),
        nn.BatchNorm(4, momentum=0.3, eps=1e-2, **double),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 3, groups=2, **double),
        nn.GroupNorm(3, 6, **double),
        nn.Flatten(),
        nn.BatchNorm(6 * 5 * 6, affine=False, **double),
        nn.Sequential(nn.Dense(6 * 5 * 6, 5, **double), nn.Tanh()),
        nn.LayerNorm(5, **double),
        nn.Dense(5, 3, bias=False, **double),
        nn.RMSNorm(3, **double),
    )
    return ours, theirs


def images(seed=0):
    return np.random.default_rng(seed).normal(1, 2, (4, 2, 5, 5))


def assert_alike(ours, theirs):
    x = images(9)
    for mode in (False, True):
        ours.train(mode), theirs.train(mode)
        expected = theirs(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(ours.forward(x)[0], expected, rtol=1e-9, atol=1e-12)
    for name, value in interop.to_torch(ours).items():
        expected = theirs.state_dict()[name].numpy()
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


def test_from_pytorch():
    ours, theirs = pair()
    for k in range(3):
        theirs(torch.from_numpy(images(k)))
    assert_alike(interop.from_torch(ours, theirs.state_dict()), theirs)


def test_to_pytorch():
    ours, theirs = pair()
    for k in range(3):
        ours.forward(images(k))
    state = {name: torch.from_numpy(a) for name, a in interop.to_torch(ours).items()}
    theirs.load_state_dict(state)  # strict: every name, and no other
    assert_alike(ours, theirs)


@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}]
)
def test_one_layer_with_its_options(options):
    theirs = torch.nn.BatchNorm1d(3, dtype=torch.float64, **options)
    x = torch.from_numpy(np.random.default_rng(0).normal(2, 3, (5, 3)))
    theirs(x)
    given = {"eps": theirs.eps, "momentum": theirs.momentum}
    if options.get("track_running_stats", True) or theirs.affine:
        ours = interop.batch_norm_from("torch", theirs.state_dict(), **given)
        state, back = interop.batch_norm_to(ours, "torch")
        other = torch.nn.BatchNorm1d(3, dtype=torch.float64, **back)
        other.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()})
        for layer in (theirs, other):
            layer.eval()
        y = ours.eval().forward(x.numpy())[0]
        np.testing.assert_allclose(y, theirs(x).detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(y, other(x).detach().numpy(), rtol=1e-12)
