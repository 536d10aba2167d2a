"""A run that stops, in whatever way, and is started again ends with the bits of one that did not.

The network has all that remembers: running statistics, a layer sized by its first input, dropout
with a generator that it shares with the order of the examples; optimizers with memory; schedules.
"""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.optim import NORM_AND_BIAS, SGD, Adam, schedules
from bncourse.training import fit
from bncourse.training.checkpoints import Checkpoint

OPTIMIZERS = {
    "sgd": lambda net: SGD(net, 0.1),
    "momentum": lambda net: SGD(
        net, schedules.warm_up(schedules.cosine(0.1, 30), 5), 0.9, True, weight_decay=0.01
    ),
    "adamw": lambda net: Adam(
        net, schedules.step(0.01, 9), weight_decay=0.1, decoupled=True, exempt=NORM_AND_BIAS
    ),
}
STEPS = 40
EVERY = 6  # steps between two records


class Killed(Exception):
    """What stops a run in these tests, where no process has to die."""


class Case:
    """One run, made anew each time as a script that is started again would make it."""

    def __init__(self, optimizer="momentum", seed=3):
        data = np.random.default_rng(1)
        self.x = data.standard_normal((50, 5)).astype("float32")
        self.labels = (self.x[:, 0] > 0).astype(int)
        self.rng = np.random.default_rng(seed)
        self.net = nn.Sequential(
            nn.Dense(5, 8, rng=self.rng),
            nn.BatchNorm(None),
            nn.Dropout(0.3, rng=self.rng),
            nn.Dense(8, 2, rng=self.rng),
            nn.Dropout(0.1, rng=7),
        )
        self.optimizer = OPTIMIZERS[optimizer](self.net)
        self.stop = None

    def record(self, step):
        if step == self.stop:
            raise Killed
        output, _ = self.net.forward(self.x)
        return step, {"mean": output.mean(axis=0)}, float(output[0, 0])

    def fit(self, steps=STEPS, every=EVERY, **options):
        self.history = fit(
            self.net, self.optimizer, self.x, self.labels, steps, 8, self.rng, every, self.record,
            **options,
        )  # fmt: skip
        return self

    def bits(self):
        states = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.state_dict(),
            "rng": {"next": self.rng.random(3)},
        }
        return {f"{p}.{n}": a.tobytes() for p, state in states.items() for n, a in state.items()}


@pytest.fixture(scope="module")
def uninterrupted():
    return {name: Case(name).fit().bits() for name in OPTIMIZERS}


def test_two_runs_without_checkpoints_have_the_same_bits(uninterrupted):
    assert Case().fit().bits() == uninterrupted["momentum"]
    assert Case(seed=4).fit().bits() != uninterrupted["momentum"]


def test_checkpoints_change_no_bit(uninterrupted, tmp_path):
    assert Case().fit(checkpoint=tmp_path).bits() == uninterrupted["momentum"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("interval", [1, 4, 7])
def test_a_run_that_stopped_again_and_again_ends_with_the_same_bits(
    uninterrupted, tmp_path, optimizer, interval
):
    store = Checkpoint(tmp_path, every=interval)
    for stop in (0, 6, 24, 24, STEPS):
        case = Case(optimizer)
        case.stop = stop
        with pytest.raises(Killed):
            case.fit(checkpoint=store)
    assert Case(optimizer).fit(checkpoint=store).bits() == uninterrupted[optimizer]


def test_the_same_objects_may_go_on(uninterrupted, tmp_path):
    """A cell of a notebook that failed is executed again: the network has moved on already."""
    case = Case()
    case.stop = 24
    with pytest.raises(Killed):
        case.fit(checkpoint=Checkpoint(tmp_path, every=7))
    case.stop = None
    assert case.net.training
    assert case.fit(checkpoint=Checkpoint(tmp_path, every=7)).bits() == uninterrupted["momentum"]


def test_a_run_that_had_ended_returns_at_once(uninterrupted, tmp_path):
    Case().fit(checkpoint=str(tmp_path))
    again = Case()
    again.stop = STEPS  # nothing is recorded anew
    assert again.fit(checkpoint=str(tmp_path)).bits() == uninterrupted["momentum"]


def test_a_run_may_be_made_longer(tmp_path):
    Case().fit(24, checkpoint=tmp_path)
    assert Case().fit(checkpoint=tmp_path).bits() == Case().fit().bits()


def test_a_rate_that_record_sets_goes_on(tmp_path):
    def run(stop=None, **options):
        case = Case("sgd")

        def record(step):
            if step == 12:
                case.optimizer.lr = 0.03
            if step == stop:
                raise Killed

        case.record = record
        return case.fit(**options)

    with pytest.raises(Killed):
        run(18, checkpoint=Checkpoint(tmp_path, every=5))
    assert run(checkpoint=Checkpoint(tmp_path, every=5)).bits() == run().bits()


def test_a_divergence_goes_on_too(tmp_path):
    def diverging(stop=None, **options):
        case = Case("sgd")
        case.optimizer.lr, case.stop = 1e30, stop
        with np.errstate(all="ignore"):
            return case.fit(**options)

    store = Checkpoint(tmp_path, every=5)
    with pytest.raises(Killed):
        diverging(24, checkpoint=store)
    found = diverging(checkpoint=store)
    assert not np.isfinite(found.history.losses[-1])
    assert found.bits() == diverging().bits()


def test_a_damaged_file_is_refused_or_passed_over(uninterrupted, tmp_path):
    case = Case()
    case.stop = 24
    with pytest.raises(Killed):
        case.fit(checkpoint=Checkpoint(tmp_path, every=5))
    newest = tmp_path / "step-00000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4])
    case = Case()
    before = case.net.state_dict()
    with pytest.raises(ValueError, match="step-00000020.* last good .*step-00000015"):
        case.fit(checkpoint=Checkpoint(tmp_path, every=5))
    assert all(np.array_equal(before[k], v) for k, v in case.net.state_dict().items())
    with pytest.warns(UserWarning, match="step-00000020.* is damaged .*step-00000015"):
        case.fit(checkpoint=Checkpoint(tmp_path, every=5, on_damage="previous"))
    assert case.bits() == uninterrupted["momentum"]


def other_optimizer(case):
    case.optimizer = SGD(case.net, 0.1, 0.9, True)


def other_data(case):
    case.x, case.labels = case.x[:40], case.labels[:40]


def other_network(case):
    case.net = nn.Sequential(nn.BatchNorm(5), nn.Dense(5, 2))
    case.optimizer = OPTIMIZERS["momentum"](case.net)


@pytest.mark.parametrize(
    "change, message",
    [
        (other_optimizer, "belongs to another run: lr was 'warm_up.* and is 0.1; weight_decay"),
        (other_data, r"examples was \[50, 5\] and is \[40, 5\]"),
        (other_network, "state does not fit this network"),
        (lambda case: setattr(case, "rng", 5), "rng was 'Generator' and is '5'"),
    ],
)
def test_another_run_in_the_same_folder_is_told(tmp_path, change, message):
    Case().fit(10, checkpoint=tmp_path)
    case = Case()
    change(case)
    before = case.net.state_dict()
    with pytest.raises(ValueError, match=message):
        case.fit(checkpoint=tmp_path)
    assert case.optimizer.steps == 0
    assert all(np.array_equal(before[k], v) for k, v in case.net.state_dict().items())


def test_another_loss_is_another_run(tmp_path):
    Case().fit(10, checkpoint=tmp_path)
    backward = F.softmax_cross_entropy_backward
    with pytest.raises(ValueError, match="loss was 'softmax_cross_entropy_forward'"):
        Case().fit(checkpoint=tmp_path, loss=(lambda y, t: None, backward))


def test_fewer_steps_than_were_done_are_told(tmp_path):
    Case().fit(10, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="steps is 9, but the checkpoint in .* has done 10"):
        Case().fit(9, checkpoint=tmp_path)


@pytest.mark.parametrize("at", [0, EVERY])
def test_a_record_that_cannot_be_saved_is_told_at_once(tmp_path, at):
    case = Case()
    case.record = lambda step: {1, 2} if step >= at else None
    with pytest.raises(TypeError, match="what record returns is saved in the checkpoint"):
        case.fit(checkpoint=tmp_path)
    assert case.optimizer.steps == at
    case = Case()
    case.record = lambda step: {1, 2}
    assert case.fit(2).history[0] == {1, 2}


def test_a_checkpoint_that_is_none_is_told():
    with pytest.raises(TypeError, match="checkpoint must be a folder or a Checkpoint, not int"):
        Case().fit(checkpoint=5)


# Ctrl-C


@pytest.fixture
def keyboard():
    """Ctrl-C as at a prompt, even where these tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Pressing(nn.Module):
    """A layer that presses Ctrl-C in the forward pass of one step, and in the backward pass."""

    def __init__(self, step, times=1):
        super().__init__()
        self.left, self.times = step, times

    def forward(self, x):
        self.left -= self.training
        if self.training and self.left == 0:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return x, None

    def backward(self, dy, cache):
        return dy


def pressing(step, times=1, **options):
    """A run with Ctrl-C in the given step, counted from where it begins."""
    case = Case()
    case.net = nn.Sequential(case.net, Pressing(step, times))
    case.optimizer = OPTIMIZERS["momentum"](case.net)
    return case, lambda: case.fit(**options)


@pytest.mark.parametrize("step", [1, 11, 12, STEPS])
def test_ctrl_c_waits_for_the_step_and_loses_nothing(keyboard, tmp_path, step):
    handler = signal.getsignal(signal.SIGINT)
    case, run = pressing(step, checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert case.optimizer.steps == step and case.net.training
    assert case.net[0][1].num_batches_tracked == step
    assert Checkpoint(tmp_path).latest().step == step
    assert signal.getsignal(signal.SIGINT) is handler
    whole, again = pressing(0), pressing(0, checkpoint=tmp_path)
    assert again[1]().bits() == whole[1]().bits()


def test_ctrl_c_without_a_checkpoint_leaves_a_network_between_two_steps(keyboard):
    case, run = pressing(5)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert case.optimizer.steps == 5
    expected, run = pressing(0)
    expected.fit(5, every=100)
    state = expected.net.state_dict()
    assert all(np.array_equal(a, state[name]) for name, a in case.net.state_dict().items())


def test_a_second_ctrl_c_does_not_wait_and_saves_no_broken_step(keyboard, tmp_path):
    case, run = pressing(11, times=2, checkpoint=Checkpoint(tmp_path, every=4))
    with pytest.raises(KeyboardInterrupt):
        run()
    assert case.optimizer.steps == 10
    assert Checkpoint(tmp_path).latest().step == 8


def test_ctrl_c_in_record_comes_at_once(keyboard, uninterrupted, tmp_path):
    case, record = Case(), Case.record
    went_on = []

    def interrupted(step):
        if step == 12:
            signal.raise_signal(signal.SIGINT)
            went_on.append(step)
        return record(case, step)

    case.record = interrupted
    with pytest.raises(KeyboardInterrupt):
        case.fit(checkpoint=tmp_path)
    assert not went_on and case.net.training
    assert Checkpoint(tmp_path).latest().step == 12
    assert Case().fit(checkpoint=tmp_path).bits() == uninterrupted["momentum"]


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, run = pressing(3)
        assert run().history.done == STEPS
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_may_train(uninterrupted):
    found = []
    thread = threading.Thread(target=lambda: found.append(Case().fit().bits()))
    thread.start()
    thread.join()
    assert found == [uninterrupted["momentum"]]


# kill -9

SCRIPT = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from test_resume import Case
from bncourse.training.checkpoints import Checkpoint

case, record = Case("adamw"), Case.record
def slow(step):
    os.write(1, f"{step}\\n".encode())
    time.sleep(0.004)
    return record(case, step)
case.record = slow
case.fit(120, every=1, checkpoint=Checkpoint(sys.argv[1], every=3))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_process_loses_at_most_one_interval_and_no_bit(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), os.path.dirname(__file__)]
    store, done = Checkpoint(tmp_path, every=3), []
    for target, delay in ((5, 0), (25, 0.007)):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            done.append(int(process.stdout.readline()))  # the first step it records
            while (last := int(process.stdout.readline())) < target:
                pass
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            last = max([last, *map(int, process.stdout.read().split())])
        saved = store.latest().step
        assert last - 3 <= saved <= last
    assert done[0] == 0 < done[1]  # the second went on
    assert saved < 120
    resumed = Case("adamw").fit(120, every=1, checkpoint=store)
    assert resumed.bits() == Case("adamw").fit(120, every=1).bits()
    assert not list(tmp_path.glob(".*"))
