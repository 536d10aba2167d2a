"""The exercises on the layer: right answers in many styles, and wrong ones as they are written."""

import numpy as np
import pytest

from bncourse import nn
from bncourse.exercises import transform_layer
from bncourse.exercises.transform_layer import (
    bias_left,
    layer,
    running_statistics,
    trainable_layer,
)

SEEDS = range(10)


def loops(running_mean, running_var, x, momentum):
    m, features = x.shape
    mean, var = np.empty(features), np.empty(features)
    for k in range(features):
        center = sum(x[:, k]) / m
        spread = sum((v - center) ** 2 for v in x[:, k]) / (m - 1)
        mean[k] = (1 - momentum) * running_mean[k] + momentum * center
        var[k] = (1 - momentum) * running_var[k] + momentum * spread
    return mean, var


def a_step_towards(running_mean, running_var, x, momentum):
    m = x.shape[0]
    step_of_var = x.var(axis=0) * m / (m - 1) - running_var
    return (
        running_mean + momentum * (np.average(x, axis=0) - running_mean),
        running_var + momentum * step_of_var,
    )


def with_einsum(running_mean, running_var, x, momentum):
    mean = np.einsum("ij->j", x) / len(x)
    d = x - mean
    var = np.einsum("ij,ij->j", d, d) / (len(x) - 1)
    old = 1 - momentum
    return old * running_mean + momentum * mean, old * running_var + momentum * var


def by_pairs(running_mean, running_var, x, momentum):
    """The unbiased variance is half the mean square difference of two different examples."""
    m = len(x)
    var = ((x[:, None] - x[None]) ** 2).sum(axis=(0, 1)) / (2 * m * (m - 1))
    weights = np.array([1 - momentum, momentum])
    return weights @ np.stack([running_mean, x.mean(axis=0)]), weights @ np.stack(
        [running_var, var]
    )


def in_float32(running_mean, running_var, x, momentum):
    x, a = x.astype("float32"), np.float32(momentum)
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    old_mean, old_var = running_mean.astype("float32"), running_var.astype("float32")
    return a * mean + (1 - a) * old_mean, a * var + (1 - a) * old_var


def by_the_package(running_mean, running_var, x, momentum):
    norm = nn.BatchNorm(x.shape[1], momentum=momentum, dtype="float64")
    norm.running_mean, norm.running_var = running_mean, running_var
    norm.forward(x)
    return [norm.running_mean, norm.running_var]


@pytest.mark.parametrize(
    "answer", [loops, a_step_towards, with_einsum, by_pairs, in_float32, by_the_package]
)
def test_running_statistics_take_any_style(answer):
    for seed in SEEDS:
        report = running_statistics.check(answer, seed)
        assert report.outcome == "right", report


def test_one_pass_is_right_and_fragile():
    def one_pass(running_mean, running_var, x, momentum):
        mean, m = x.mean(axis=0), len(x)
        var = ((x * x).mean(axis=0) - mean**2) * m / (m - 1)
        old = 1 - momentum
        return old * running_mean + momentum * mean, old * running_var + momentum * var

    report = running_statistics.check(one_pass)
    assert report.passed and report.outcome == "fragile"


def blended(new_var, weight=lambda a: a, mean=lambda x: x.mean(axis=0)):
    def answer(running_mean, running_var, x, momentum):
        a = weight(momentum)
        moved = (1 - a) * running_mean + a * mean(x)
        return moved, (1 - a) * running_var + a * new_var(x, running_mean, moved)

    return answer


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (blended(lambda x, *_: x.var(0)), ("the variance is divided by m",)),
        (
            blended(lambda x, *_: x.var(0, ddof=1), weight=lambda a: 1 - a),
            ("the momentum is turned round",),
        ),
        (
            blended(lambda x, *_: x.std(0, ddof=1)),
            ("the standard deviation stands for the variance",),
        ),
        (
            blended(lambda x, old, new: ((x - new) ** 2).sum(0) / (len(x) - 1)),
            ("deviations are taken from the new running mean",),
        ),
        (
            blended(lambda x, *_: x.var(ddof=1), mean=lambda x: x.mean()),
            ("one mean and one variance serve the whole table",),
        ),
        (
            blended(lambda x, *_: x.std(0)),
            ("the variance is divided by m", "the standard deviation stands for the variance"),
        ),
        (
            blended(lambda x, *_: x.var(0), weight=lambda a: 1 - a),
            ("the momentum is turned round", "the variance is divided by m"),
        ),
        (
            lambda mean, var, x, a: (mean, var),
            ("it does not move",),
        ),
        (
            lambda mean, var, x, a: ((1 - a) * mean + a * x.mean(0), var),
            ("it does not move",),
        ),
    ],
)
def test_running_statistics_name_a_formula_gone_wrong(answer, names):
    for seed in SEEDS:
        report = running_statistics.check(answer, seed)
        assert set(report.mistakes) == set(names), report


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            blended(lambda x, *_: x.var(0, ddof=1), weight=lambda a: a / 2),
            "the new mean = 0.875 running_mean + 0.125 mean",
        ),
        (blended(lambda x, *_: 3 * x.var(0, ddof=1)), "0.75 running_var + 0.75 unbiased variance"),
        (
            blended(lambda x, *_: np.abs(x - x.mean(0)).mean(0) ** 2),
            "Read off: the new variance is no weighted sum of running_var and unbiased variance",
        ),
    ],
)
def test_an_unknown_mistake_has_its_weights_read_off(answer, words, monkeypatch):
    def quarter(rng):
        return [(*case[:3], 0.25) for case in transform_layer._states_and_batches(rng)]

    monkeypatch.setattr(running_statistics, "inputs", quarter)
    for seed in SEEDS:
        report = running_statistics.check(answer, seed)
        assert report.outcome == "unknown mistake"
        assert words in report.message, report
        assert "Right is 0.75 of the old and 0.25 of the batch." in report.message


def test_statistics_along_the_rows_do_not_fit():
    report = running_statistics.check(
        lambda mean, var, x, a: ((1 - a) * mean + a * x.mean(1), (1 - a) * var + a * x.var(1))
    )
    assert report.outcome == "raised"


class Plain:
    """The layer; what the wrong ones below change is in methods of their own."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            self.track(x)
        else:
            mean, var = self.running_mean, self.running_var
        return self.gamma * ((x - mean) / np.sqrt(var + self.eps)) + self.beta

    def track(self, x):
        self.running_mean = self.running_mean + self.momentum * (x.mean(0) - self.running_mean)
        self.running_var = self.running_var + self.momentum * (x.var(0, ddof=1) - self.running_var)


class Folded(Plain):
    """A number for each start; one scale and one shift; the mode behind methods."""

    def __init__(self, num_features, eps, momentum):
        self.gamma, self.beta, self.running_mean, self.running_var = 1.0, 0.0, 0.0, 1.0
        self.eps, self.momentum, self.evaluating = eps, momentum, False

    def train(self):
        self.evaluating = False
        return self

    def eval(self):
        self.evaluating = True
        return self

    def forward(self, x):
        mean, var = (self.running_mean, self.running_var)
        if not self.evaluating:
            self.track(x)
            mean, var = x.mean(0), x.var(0)
        scale = self.gamma * (var + self.eps) ** -0.5
        return (x - mean) * scale + self.beta


class InPlace(Plain):
    def track(self, x):
        m = len(x)
        self.running_mean *= 1 - self.momentum
        self.running_mean += self.momentum * x.mean(0)
        self.running_var *= 1 - self.momentum
        self.running_var += self.momentum * m / (m - 1) * x.var(0)


class Loops(Plain):
    def forward(self, x):
        y = np.empty_like(x)
        moved = [], []
        for k, column in enumerate(x.T):
            mean, var = self.running_mean[k], self.running_var[k]
            if self.training:
                m = len(column)
                mean = sum(column) / m
                var = sum((v - mean) ** 2 for v in column) / m
                a = self.momentum
                moved[0].append((1 - a) * self.running_mean[k] + a * mean)
                moved[1].append((1 - a) * self.running_var[k] + a * var * m / (m - 1))
            for i, v in enumerate(column):
                y[i, k] = self.gamma[k] * (v - mean) / (var + self.eps) ** 0.5 + self.beta[k]
        if self.training:
            self.running_mean, self.running_var = map(np.array, moved)
        return y


class InFloat32(Plain):
    def __init__(self, num_features, eps, momentum):
        super().__init__(num_features, np.float32(eps), np.float32(momentum))
        self.running_mean = self.running_mean.astype("float32")
        self.running_var = self.running_var.astype("float32")

    def forward(self, x):
        y = super().forward(x.astype("float32"))
        return y.astype("float32")


class WithEinsum(Plain):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = np.einsum("ij->j", x) / len(x)
            var = np.einsum("ij,ij->j", x - mean, x - mean) / len(x)
            self.track(x)
        return np.einsum("j,ij->ij", self.gamma / np.sqrt(var + self.eps), x - mean) + self.beta


class ByThePackage(nn.BatchNorm):
    """Its forward returns a cache too, and its statistics are float32."""


@pytest.mark.parametrize(
    "answer",
    [
        Plain,
        Folded,
        InPlace,
        Loops,
        InFloat32,
        WithEinsum,
        ByThePackage,
        lambda *a: nn.BatchNorm(*a, dtype="float64"),
    ],
)
def test_layer_takes_any_style(answer):
    for seed in SEEDS:
        report = layer.check(answer, seed)
        assert report.outcome == "right", report


class TracksInBothModes(Plain):
    def forward(self, x):
        mode, self.training = self.training, False
        y = super().forward(x)
        self.training = mode
        if mode:
            s = np.sqrt(x.var(0) + self.eps)
            y = self.gamma * (x - x.mean(0)) / s + self.beta
        self.track(x)
        return y


class TracksFirst(Plain):
    def forward(self, x):
        self.track(x)
        mean, var = (
            (x.mean(0), x.var(0)) if self.training else (self.running_mean, self.running_var)
        )
        return self.gamma * (x - mean) / np.sqrt(var + self.eps) + self.beta


class KnowsNoModes(Plain):
    def forward(self, x):
        self.track(x)
        return self.gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + self.eps) + self.beta


class ReadsWhatItWrites(Plain):
    def forward(self, x):
        if self.training:
            self.track(x)
        s = np.sqrt(self.running_var + self.eps)
        return self.gamma * (x - self.running_mean) / s + self.beta


class EvaluatesOnTheBatch(Plain):
    def forward(self, x):
        if self.training:
            self.track(x)
        return self.gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + self.eps) + self.beta


class LikeKeras(Plain):
    def track(self, x):
        a = self.momentum
        self.running_mean = a * self.running_mean + (1 - a) * x.mean(0)
        self.running_var = a * self.running_var + (1 - a) * x.var(0)


class Biased(Plain):
    def track(self, x):
        a = self.momentum
        self.running_mean = (1 - a) * self.running_mean + a * x.mean(0)
        self.running_var = (1 - a) * self.running_var + a * x.var(0)


class NormalizesUnbiased(Plain):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, ddof=1)
            self.track(x)
        return self.gamma * (x - mean) / np.sqrt(var + self.eps) + self.beta


class OneStateForAll(Plain):
    state = {}

    def __init__(self, num_features, eps, momentum):
        self.state["mean"], self.state["var"] = np.zeros(num_features), np.ones(num_features)
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    running_mean = property(
        lambda self: self.state["mean"], lambda self, a: self.state.update(mean=a)
    )
    running_var = property(lambda self: self.state["var"], lambda self, a: self.state.update(var=a))


class StaysInEvaluation(Plain):
    def forward(self, x):
        if not self.training:
            self.forward = self.evaluate
        return super().forward(x)

    def evaluate(self, x):
        s = np.sqrt(self.running_var + self.eps)
        return self.gamma * (x - self.running_mean) / s + self.beta


class ForgetsOnTheWayBack(Plain):
    def train(self):
        self.__init__(len(self.gamma), self.eps, self.momentum)

    def eval(self):
        self.training, self.kept = False, (self.gamma, self.beta)

    def forward(self, x):
        if hasattr(self, "kept"):
            self.gamma, self.beta = self.kept
        return super().forward(x)


class OwnGammaOnly(Plain):
    def __init__(self, num_features, eps, momentum):
        super().__init__(num_features, eps, momentum)
        self.scale, self.shift = self.gamma, self.beta

    def forward(self, x):
        self.gamma, self.beta = self.scale, self.shift
        return super().forward(x)


class Averages(Plain):
    seen = 0

    def track(self, x):
        self.seen += 1
        self.momentum = 1 / self.seen
        super().track(x)


class EpsOutside(Plain):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0)
            self.track(x)
        return self.gamma * (x - mean) / (np.sqrt(var) + self.eps) + self.beta


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (TracksInBothModes, {"the statistics move in evaluation"}),
        (TracksFirst, {"the statistics move in evaluation, before they are used"}),
        (KnowsNoModes, {"evaluation is the same as training"}),
        (ReadsWhatItWrites, {"training normalizes by the running statistics"}),
        (EvaluatesOnTheBatch, {"evaluation uses the statistics of the batch"}),
        (LikeKeras, {"the momentum is turned round", "the biased variance is kept"}),
        (Biased, {"the biased variance is kept"}),
        (NormalizesUnbiased, {"the unbiased variance normalizes"}),
        (OneStateForAll, {"all layers share one state"}),
        (StaysInEvaluation, {"there is no way back from evaluation"}),
        (ForgetsOnTheWayBack, {"the statistics start again after evaluation"}),
        (OwnGammaOnly, {"gamma and beta are ignored"}),
        (Averages, {"all batches weigh the same"}),
        (EpsOutside, {"eps is added outside the root"}),
    ],
)
def test_layer_names_a_mistake_as_it_is_written(answer, names):
    for seed in SEEDS:
        report = layer.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names


class TripleMomentum(Plain):
    def track(self, x):
        for _ in range(3):
            super().track(x)


class Shifted(Plain):
    def forward(self, x):
        return super().forward(x) + 0.1 * self.training


class Reaching(Plain):
    """The biggest deviation in the place of the root."""

    def forward(self, x):
        y = super().forward(x)
        if self.training:
            y = self.gamma * (x - x.mean(0)) / np.abs(x - x.mean(0)).max(0) + self.beta
        return y


class BetaStartsElsewhere(Plain):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.beta = self.beta + 0.3


class SquaredGamma(Plain):
    """As long as gamma is 1, as for the first batch, nothing is wrong."""

    def forward(self, x):
        gamma, self.gamma = self.gamma, self.gamma**2
        y = super().forward(x)
        self.gamma = gamma
        return y


class HalvesInEvaluation(Plain):
    def forward(self, x):
        y = super().forward(x)
        return y if self.training else self.beta + (y - self.beta) / 2


class StartsElsewhere(Plain):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.running_mean = self.running_mean + 1.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TripleMomentum, "of the first batch"),
        (Shifted, "First deviation: the mean (or beta)"),
        (Reaching, "First deviation: the variance (or gamma)"),
        (BetaStartsElsewhere, "First deviation: the mean (or beta)"),
        (SquaredGamma, "First deviation: the variance (or gamma)"),
        (HalvesInEvaluation, ": in evaluation y = "),
        (StartsElsewhere, "does not start with running_mean 0"),
    ],
)
def test_layer_says_where_an_unknown_mistake_begins(answer, words):
    for seed in SEEDS:
        report = layer.check(answer, seed)
        assert report.outcome == "unknown mistake", report
        assert words in report.message, report


def test_layer_wants_the_class_and_its_parts():
    assert layer.check(Plain(3)).outcome == "wrong form"

    class Stub:
        def __init__(self, num_features, eps, momentum):
            pass

        def forward(self, x):
            raise NotImplementedError

    class NothingReturned(Plain):
        def forward(self, x):
            pass

    class NothingInEvaluation(Plain):
        def forward(self, x):
            if self.training:
                return super().forward(x)

    class NoStatistics(Plain):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            del self.running_var

        def track(self, x):
            pass

    class KeptAsARow(Plain):
        def track(self, x):
            super().track(x)
            self.running_mean = self.running_mean.reshape(1, -1)

    assert layer.check(Stub).outcome == "not attempted"
    assert layer.check(NothingReturned).outcome == "not attempted"
    assert layer.check(lambda *arguments: None).outcome == "not attempted"
    report = layer.check(NothingInEvaluation)
    assert report.outcome == "wrong form" and "while training is False" in report.message
    report = layer.check(NoStatistics)
    assert report.outcome == "raised" and "running_var" in report.message
    report = layer.check(KeptAsARow)
    assert report.outcome == "wrong form" and "running_mean has shape (1, 2)" in report.message


def test_layer_in_one_pass_is_right_and_fragile():
    class OnePass(Plain):
        def forward(self, x):
            mean, var = self.running_mean, self.running_var
            if self.training:
                mean, m = x.mean(0), len(x)
                var = (x * x).mean(0) - mean**2
                a = self.momentum
                self.running_mean = (1 - a) * self.running_mean + a * mean
                self.running_var = (1 - a) * self.running_var + a * var * m / (m - 1)
            return self.gamma * (x - mean) / np.sqrt(var + self.eps) + self.beta

    report = layer.check(OnePass)
    assert report.passed and report.outcome == "fragile"


def test_the_reference_is_a_class_that_can_be_copied():
    namespace = {"np": np}
    exec(str(layer.solution()), namespace)
    assert layer.check(namespace["BatchNorm"]).outcome == "right"


class BothWays(Plain):
    """``Plain`` with a way back; what the variants below change is in methods of their own."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self.dgamma, self.dbeta = 0.0, 0.0

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0)
        y = super().forward(x)
        return y, ((x - mean) / np.sqrt(var + self.eps), 1 / np.sqrt(var + self.eps), self.training)

    def backward(self, dy, cache):
        x_hat, inv_std, by_batch = cache
        dgamma, dbeta = (dy * x_hat).sum(0), dy.sum(0)
        self.dgamma, self.dbeta = self.dgamma + dgamma, self.dbeta + dbeta
        if not by_batch:
            return dy * self.gamma * inv_std
        return self.gamma * inv_std * (dy - dbeta / len(dy) - x_hat * dgamma / len(dy))


class ByTheGraph(BothWays):
    """The cache is ``None`` in evaluation, and the gradient is that of the graph."""

    def forward(self, x):
        y, cache = super().forward(x)
        if self.training:
            return y, (x, None)
        return y, (x, (self.running_mean, self.running_var))

    def backward(self, dy, cache):
        x, running = cache
        mean, var = running or (x.mean(0), x.var(0))
        d, s = x - mean, np.sqrt(var + self.eps)
        self.dgamma, self.dbeta = self.dgamma + (dy * d / s).sum(0), self.dbeta + dy.sum(0)
        dd = self.gamma * dy / s
        if running:
            return dd
        dvar = -(self.gamma * dy * d).sum(0) / (2 * s**3)
        dd = dd + 2 * d * dvar / len(x)
        return dd - dd.mean(0)


class OneFeatureAtATime(BothWays):
    def backward(self, dy, cache):
        x_hat, inv_std, by_batch = cache
        m, features = dy.shape
        dx, dgamma, dbeta = np.empty((m, features)), np.empty(features), np.empty(features)
        for k in range(features):
            dgamma[k] = sum(dy[i, k] * x_hat[i, k] for i in range(m))
            dbeta[k] = sum(dy[i, k] for i in range(m))
            for i in range(m):
                pull = (dbeta[k] + x_hat[i, k] * dgamma[k]) / m if by_batch else 0
                dx[i, k] = self.gamma[k] * inv_std[k] * (dy[i, k] - pull)
        self.dgamma, self.dbeta = self.dgamma + dgamma, self.dbeta + dbeta
        return dx


class KeepsAClosure(BothWays):
    """The cache is a function."""

    def forward(self, x):
        y, (x_hat, inv_std, by_batch) = super().forward(x)

        def back(dy):
            self.dgamma = self.dgamma + np.einsum("ij,ij->j", dy, x_hat)
            self.dbeta = self.dbeta + np.einsum("ij->j", dy)
            if not by_batch:
                return self.gamma * inv_std * dy
            basis = np.stack([np.ones_like(x_hat), x_hat])
            heights = np.einsum("kij,ij->kj", basis, dy) / len(dy)
            return self.gamma * inv_std * (dy - np.einsum("kij,kj->ij", basis, heights))

        return y, back

    def backward(self, dy, cache):
        return cache(dy)


class AddsInPlaceInFloat32(BothWays):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, np.float32(eps), np.float32(momentum))
        self.dgamma, self.dbeta = np.zeros((2, num_features), "float32")

    def forward(self, x):
        y, cache = super().forward(x.astype("float32"))
        return y.astype("float32"), [*cache]

    def backward(self, dy, cache):
        x_hat, inv_std, by_batch = cache
        dy = dy.astype("float32")
        self.dgamma += (dy * x_hat).sum(0).astype("float32")
        self.dbeta += dy.sum(0)
        if by_batch:
            dy = dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0)
        return (self.gamma * inv_std * dy).astype("float32")


@pytest.mark.parametrize(
    "answer",
    [
        BothWays,
        ByTheGraph,
        OneFeatureAtATime,
        KeepsAClosure,
        AddsInPlaceInFloat32,
        lambda *a: nn.BatchNorm(*a, dtype="float64"),
    ],
)
def test_both_ways_take_any_style(answer):
    for seed in SEEDS:
        report = trainable_layer.check(answer, seed)
        assert report.outcome == "right", report


class HiddenState(BothWays):
    def forward(self, x):
        y, self.cache = super().forward(x)
        return y, None

    def backward(self, dy, cache):
        return super().backward(dy, self.cache)


class AsksNow(BothWays):
    def backward(self, dy, cache):
        return super().backward(dy, (*cache[:2], self.training))


class Overwrites(BothWays):
    def backward(self, dy, cache):
        self.dgamma = self.dbeta = 0
        return super().backward(dy, cache)


class LearnsInTrainingOnly(BothWays):
    def backward(self, dy, cache):
        before = self.dgamma, self.dbeta
        dx = super().backward(dy, cache)
        if not cache[2]:
            self.dgamma, self.dbeta = before
        return dx


class NothingBackInEvaluation(BothWays):
    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        return dx if cache[2] else np.zeros_like(dx)


class ReadsTheStatisticsLate(ByTheGraph):
    def backward(self, dy, cache):
        x, running = cache
        return super().backward(dy, (x, running and (self.running_mean, self.running_var)))


class KeepsWhatMoves(ByTheGraph):
    """The cache holds the arrays themselves, and these are updated in place."""

    def forward(self, x):
        before = self.running_mean, self.running_var
        y, cache = super().forward(x)
        moved = self.running_mean, self.running_var
        for kept, new in zip(before, moved, strict=True):
            kept[:] = new
        self.running_mean, self.running_var = before
        return y, (x, cache[1] and before)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (HiddenState, "the last forward pass is used, whatever the cache"),
        (AsksNow, "backward asks for the mode that the layer is in now"),
        (Overwrites, "the gradients of gamma and beta are replaced"),
        (LearnsInTrainingOnly, "gamma and beta get no gradient in evaluation"),
        (NothingBackInEvaluation, "nothing goes back in evaluation"),
        (ReadsTheStatisticsLate, "evaluation goes back by the running statistics of now"),
        (KeepsWhatMoves, "evaluation goes back by the running statistics of now"),
    ],
)
def test_both_ways_name_what_is_written(answer, name):
    for seed in SEEDS:
        assert trainable_layer.check(answer, seed).mistakes == (name,)


def test_the_mode_of_each_way_back_is_another_than_that_of_its_way_forward():
    """All but the last, so that a layer which asks for the mode of now is found out in both."""
    message = trainable_layer.check(AsksNow).message
    assert "dx in evaluation, dx of the first batch: backward asks" in message


class WithoutCache(BothWays):
    def forward(self, x):
        return super().forward(x)[0]


class WithoutGradients(Plain):
    def forward(self, x):
        return super().forward(x), None

    def backward(self, dy, cache):
        return dy


class HalfAStub(Plain):
    def forward(self, x):
        return super().forward(x), None

    def backward(self, dy, cache): ...


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (WithoutCache, "wrong form", "return two, y and the cache"),
        (WithoutGradients, "wrong form", "has no dgamma, or no dbeta"),
        (HalfAStub, "not attempted", "Not attempted yet"),
    ],
)
def test_what_has_not_the_form_of_a_layer_is_told_so(answer, outcome, words):
    report = trainable_layer.check(answer)
    assert report.outcome == outcome and words in report.message


def test_an_unknown_mistake_is_looked_for_in_the_way_forward_first():
    class Shifted(BothWays):
        def forward(self, x):
            y, cache = super().forward(x)
            return y + 0.1, cache

    assert "The way forward is not right yet" in trainable_layer.check(Shifted).message


def test_an_unknown_mistake_on_the_way_back_is_read_off():
    class Half(BothWays):
        def backward(self, dy, cache):
            dx = super().backward(dy, cache)
            return 0.7 * dx if cache[2] else dx

    message = trainable_layer.check(Half).message
    assert "dx of the first batch, dx of the second batch: wrong" in message


def test_what_decays_in_words():
    assert bias_left.check(4 * np.exp(-1)).passed
    assert bias_left.check(4 * 0.999).mistakes == ("it is still where it was, or nearly",)
    assert bias_left.check(4 * 0.9**1000).mistakes == ("nothing is left",)
