"""Optimizers and schedules against PyTorch in float64, over 50 steps."""

import numpy as np
import pytest

from bncourse import nn
from bncourse.optim import SGD, Adam, schedules

torch = pytest.importorskip("torch", reason="PyTorch is not installed; see `make peers`")

STEPS = 50
DECAYS = [{}, {"weight_decay": 0.2}]
SGDS = [
    {"lr": 0.05, **options, **decay}
    for options in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True})
    for decay in DECAYS
]
ADAMS = [
    {"lr": 0.05, **options, **decay}
    for options in ({}, {"betas": (0.6, 0.95), "eps": 1e-3})
    for decay in DECAYS
]
CASES = (
    [(SGD, torch.optim.SGD, options, {}) for options in SGDS]
    + [(Adam, torch.optim.Adam, options, {}) for options in ADAMS]
    + [(Adam, torch.optim.AdamW, {"weight_decay": 0, **o}, {"decoupled": True}) for o in ADAMS]
)


def trajectories(rng, ours, theirs, late=False, schedule=None):
    """Three parameters under both; gradients depend on the parameters, so errors would grow."""
    net = nn.Sequential(nn.Dense(4, 3, dtype="float64"), nn.Dense(3, 2, False, dtype="float64"))
    names = list(net.parameters())
    tensors = [torch.tensor(p, requires_grad=True) for p in net.parameters().values()]
    optimizer, peer = ours(net), theirs(tensors)
    scheduler = schedule and schedule(peer)
    noise = [[rng.standard_normal(p.shape) for p in net.parameters().values()]] * STEPS
    for k, pushes in enumerate(noise):
        net.zero_grad()
        for name, push, tensor in zip(names, pushes, tensors, strict=True):
            tensor.grad = None
            if late and name == "0.b" and k % 3 == 0:
                continue  # no gradient in each third step, and none in the first
            i, _, last = name.partition(".")
            parameter = net.parameters()[name]
            net[int(i)].add_gradients(**{last: np.sin(k + 3 * parameter) + push})
            tensor.grad = torch.sin(k + 3 * tensor.detach()) + torch.from_numpy(push)
        optimizer.step()
        peer.step()
        if scheduler:
            scheduler.step()
        for name, tensor in zip(names, tensors, strict=True):
            yield net.parameters()[name], tensor.detach().numpy()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("ours, theirs, options, more", CASES)
def test_optimizers(rng, ours, theirs, options, more, late):
    pairs = trajectories(
        rng, lambda net: ours(net, **options, **more), lambda ts: theirs(ts, **options), late
    )
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_parameters_without_decay(rng):
    """`exempt` against a parameter group of its own."""

    def theirs(tensors):
        groups = [{"params": tensors[::2]}, {"params": tensors[1:2], "weight_decay": 0}]
        return torch.optim.AdamW(groups, lr=0.05, weight_decay=0.4)

    def ours(net):
        return Adam(net, 0.05, weight_decay=0.4, decoupled=True, exempt=("b",))

    for found, expected in trajectories(rng, ours, theirs):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def warmed(optimizer, steps, main):
    from torch.optim import lr_scheduler as lrs

    rise = lrs.LinearLR(optimizer, start_factor=1 / (steps + 1), total_iters=steps)
    return lrs.SequentialLR(optimizer, [rise, main(optimizer)], milestones=[steps])


SCHEDULES = [
    (schedules.step(0.4, 7, 0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3)),
    (
        schedules.step(0.4, (3, 20, 31), 0.3),
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 20, 31], 0.3),
    ),
    (schedules.exponential(0.4, 0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    (
        schedules.cosine(0.4, STEPS, 0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, 0.01),
    ),
    (
        schedules.warm_up(schedules.step(0.4, 7, 0.3), 9),
        lambda o: warmed(o, 9, lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3)),
    ),
]


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("ours, theirs", SCHEDULES, ids=[repr(ours) for ours, _ in SCHEDULES])
def test_schedules(rng, ours, theirs):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    scheduler = theirs(optimizer)
    for k in range(STEPS):
        assert ours(k) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()
    pairs = trajectories(
        rng,
        lambda net: SGD(net, ours, momentum=0.9),
        lambda ts: torch.optim.SGD(ts, lr=0.4, momentum=0.9),
        schedule=theirs,
    )
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
