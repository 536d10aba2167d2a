"""Exercises of the chapter *Building the layer: parameters, state, training and evaluation*."""

import copy
from functools import partial
from types import SimpleNamespace

import numpy as np

from bncourse.exercises import deviation, layers_both_ways, paths
from bncourse.exercises.attempt import WrongForm
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, far_from_zero, scales, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/layer"


def _update(running_mean, running_var, x, momentum):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).sum(axis=0) / (len(x) - 1)
    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var = (1 - momentum) * running_var + momentum * var
    return running_mean, running_var


def _made_update(
    running_mean,
    running_var,
    x,
    momentum,
    weights=lambda momentum: (1 - momentum, momentum),
    weights_of_var=None,
    axis=0,
    center=lambda mean, running_mean, moved: mean,
    factor=lambda m, d: m / (m - 1),
    form=lambda var: var,
    more=lambda mean, running_mean, moved: 0,
    blend=lambda old, new, running_var, var, m: old * running_var + new * var,
    order=1,
):
    """The update in parts that can be replaced; right as it stands."""
    m = x.size if axis is None else len(x)
    old, new = weights(momentum)
    mean = x.mean(axis=axis)
    moved = old * running_mean + new * mean
    old, new = (weights_of_var or weights)(momentum)
    squares = (x - center(mean, running_mean, moved)) ** 2
    var = form(factor(m, x.shape[1]) * squares.mean(axis=axis)) + more(mean, running_mean, moved)
    return (moved, blend(old, new, running_var, var, m))[::order]


def _states_and_batches(rng):
    """One state whose numbers come out round, and three at random."""
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    cases = [(np.array([0.0, 8.0]), np.array([1.0, 4.0]), x, 0.25)]
    for _ in range(3):
        d = rng.integers(3, 6)
        x = columns(rng, d + rng.integers(1, 8), d)  # more rows than columns, never as many
        unit = units(rng)
        mean, var = rng.normal(0, 2, d), rng.uniform(0.5, 4, d)
        cases.append((unit * mean, unit**2 * var, unit * x, rng.uniform(0.2, 0.4)))
    return cases


def _read_off(name, got, terms):
    """A line that says how much of each of the ``terms``, by name, is in ``got``."""
    columns = np.stack(list(terms.values()), axis=1)
    length = np.linalg.norm(columns, axis=0)
    weights = np.linalg.lstsq(columns / length, got, rcond=None)[0] / length
    off = np.abs(got - columns @ weights).max() / np.abs(got).max()
    if not off < 1e-4:
        return f"Read off: {name} is no weighted sum of {' and '.join(terms)}."
    shown = " + ".join(f"{w:.3g} {term}" for w, term in zip(weights, terms, strict=True))
    return f"Read off, by least squares: {name} = {shown}.".replace("+ -", "- ")


def _describe_update(case, got, want):
    running_mean, running_var, x, momentum = case
    lines = []
    if not np.allclose(got[0], want[0], 1e-4):
        terms = {"running_mean": running_mean, "mean": x.mean(axis=0)}
        lines.append(_read_off("the new mean", got[0], terms))
    if not np.allclose(got[1], want[1], 1e-4):
        terms = {"running_var": running_var, "unbiased variance": x.var(axis=0, ddof=1)}
        lines.append(_read_off("the new variance", got[1], terms))
    return [*lines, f"Right is {1 - momentum:.3g} of the old and {momentum:.3g} of the batch."]


def _hostile_update(rng, eps):
    x = far_from_zero(rng, eps)
    return [(x[0] + 1, rng.uniform(0.5, 4, x.shape[1]), x, 0.5)]


ONE_PASS = (
    "where the mean is large beside the spread, mean(x * x) and mean**2 agree in all their digits, "
    "and their difference is noise. Subtract the mean from x first, and square what is left."
)

running_statistics = Exercise(
    name="running_statistics",
    chapter=CHAPTER,
    question="One batch x of shape (N, D) was seen in training. Move the running statistics: "
    "f(running_mean, running_var, x, momentum) -> (running_mean, running_var), with running <- "
    "(1 - momentum) * running + momentum * batch, for the mean and the unbiased variance.",
    reference=_update,
    inputs=_states_and_batches,
    outputs=("running_mean", "running_var"),
    hostile=_hostile_update,
    fragile=ONE_PASS,
    describe=_describe_update,
    mistakes=(
        Mistake(
            "the momentum is turned round",
            partial(_made_update, weights=lambda a: (a, 1 - a)),
            "Here, as in PyTorch, momentum is the weight of the new batch. In Keras and Flax it "
            "is the weight of the old value: 0.1 here is 0.9 there.",
        ),
        Mistake(
            "the momentum moves the mean only",
            partial(_made_update, weights_of_var=lambda a: (0, 1)),
            "The variance of the last batch alone is kept. It needs the same line as the mean: "
            "(1 - momentum) of the old, momentum of the new.",
        ),
        Mistake(
            "the new batch replaces the old value",
            partial(_made_update, weights=lambda a: (0, 1)),
            "Then one batch decides, the last one. Keep 1 - momentum of what was there.",
        ),
        Mistake(
            "it does not move",
            partial(_made_update, weights=lambda a: (1, 0)),
            "It comes back as it went in, so evaluation would go on with the start, 0 and 1.",
        ),
        Mistake(
            "the old value keeps its full weight",
            partial(_made_update, weights=lambda a: (1, a)),
            "The weights must add up to 1: the old value has 1 - momentum. Else the average grows "
            "with every batch.",
        ),
        Mistake(
            "the new batch has its full weight",
            partial(_made_update, weights=lambda a: (1 - a, 1)),
            "The weights must add up to 1: the batch has momentum, the old value 1 - momentum.",
        ),
        Mistake(
            "old and new are added up",
            partial(_made_update, weights=lambda a: (1, 1)),
            "An average, not a sum: weigh them with 1 - momentum and momentum.",
        ),
        Mistake(
            "old and new weigh the same",
            partial(_made_update, weights=lambda a: (0.5, 0.5)),
            "That is momentum 1/2. The argument says how much the new batch weighs.",
        ),
        Mistake(
            "the momentum is 0.1, whatever is passed",
            partial(_made_update, weights=lambda a: (0.9, 0.1)),
            "0.1 is the usual value. Use the argument.",
        ),
        Mistake(
            "the variance is divided by m",
            partial(_made_update, factor=lambda m, d: 1),
            "The biased variance normalizes the batch. What is kept for later is the unbiased "
            "one, with m - 1, since it shall stand for data beyond this batch.",
        ),
        Mistake(
            "m / (m - 1) is turned upside down",
            partial(_made_update, factor=lambda m, d: (m - 1) / m),
            "The biased variance is too small on average, so the factor must be above 1.",
        ),
        Mistake(
            "m / (m - 1) is there twice",
            partial(_made_update, factor=lambda m, d: (m / (m - 1)) ** 2),
            "ddof=1 divides by m - 1 already.",
        ),
        Mistake(
            "m / (m - 1) multiplies the old variance too",
            partial(
                _made_update,
                factor=lambda m, d: 1,
                blend=lambda old, new, running, var, m: m / (m - 1) * (old * running + new * var),
            ),
            "The old one was corrected when it came in. Correct the variance of the batch, then "
            "blend; else the factor piles up, batch by batch.",
        ),
        Mistake(
            "m - 1 counts the features",
            partial(_made_update, factor=lambda m, d: d / (d - 1)),
            "m is the number of examples, x.shape[0] or len(x).",
        ),
        Mistake(
            "the sum of the squares stands for their mean",
            partial(_made_update, factor=lambda m, d: m),
            "Divide the sum of the squared deviations by m - 1.",
        ),
        Mistake(
            "the mean square of x stands for the variance",
            partial(_made_update, center=lambda mean, running_mean, moved: 0),
            "Subtract the mean of the batch before squaring.",
        ),
        Mistake(
            "the standard deviation stands for the variance",
            partial(_made_update, form=np.sqrt),
            "running_var holds variances, in squared units of x. Evaluation takes the root.",
        ),
        Mistake(
            "standard deviations are averaged, then squared",
            partial(
                _made_update,
                blend=lambda old, new, running, var, m: (
                    (old * np.sqrt(running) + new * np.sqrt(var)) ** 2
                ),
            ),
            "The square of a mean is less than the mean of the squares. Average the variances.",
        ),
        Mistake(
            "the weights are squared for the variance",
            partial(_made_update, weights_of_var=lambda a: ((1 - a) ** 2, a**2)),
            "That is the rule for the variance of a sum. Here two estimates of one variance are "
            "averaged, so the weights are those of the mean and add up to 1.",
        ),
        Mistake(
            "deviations are taken from the old running mean",
            partial(_made_update, center=lambda mean, running_mean, moved: running_mean),
            "The variance of a batch is about the batch's own mean. About another center it is "
            "larger, by the square of the distance.",
        ),
        Mistake(
            "deviations are taken from the new running mean",
            partial(_made_update, center=lambda mean, running_mean, moved: moved),
            "The variance of a batch is about the batch's own mean. Work it out before "
            "running_mean changes, or keep the two under different names.",
        ),
        Mistake(
            "the distance of the means is added to the variance",
            partial(
                _made_update,
                more=lambda mean, running_mean, moved: (mean - running_mean) * (mean - moved),
            ),
            "That is right for the variance of a mixture, old and new together. Batch norm wants "
            "the spread within a batch: the variances alone are averaged.",
        ),
        Mistake(
            "one mean and one variance serve the whole table",
            partial(_made_update, axis=None),
            "Without an axis the features are mixed. Each has its own: axis=0.",
        ),
        Mistake(
            "running_mean and running_var are swapped",
            partial(_made_update, order=-1),
            "The question asks for the mean first.",
        ),
    ),
    hints=(
        "Two statistics of the batch over axis 0: the mean, and the variance with ddof=1.",
        "momentum is the weight of the new batch, 1 - momentum that of the old value.",
        "running_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)",
    ),
    praise="A batch of one example has no unbiased variance. What should happen then?",
)


class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.training = True

    def forward(self, x):
        if not self.training:
            return self.normalize(x, self.running_mean, self.running_var)
        mean, var, m, a = x.mean(axis=0), x.var(axis=0), len(x), self.momentum
        self.running_mean = (1 - a) * self.running_mean + a * mean
        self.running_var = (1 - a) * self.running_var + a * var * m / (m - 1)
        return self.normalize(x, mean, var)

    def normalize(self, x, mean, var):
        return self.gamma * (x - mean) / np.sqrt(var + self.eps) + self.beta


def _use(answer, first, second, other, gamma, beta, eps, momentum):
    """Two batches in training, one in evaluation, one in training again."""
    layer, untouched = (answer(first.shape[1], eps, momentum) for _ in range(2))
    if layer is None:
        return None
    y_first = _output(layer, first)
    if y_first is None or y_first is ...:
        raise NotImplementedError
    layer.gamma, layer.beta = gamma, beta
    y_second = _output(layer, second)
    trained = _state(layer)
    _switch(layer, False)
    y_other = _output(layer, other)
    evaluated = _state(layer)
    _switch(layer, True)
    y_again = _output(layer, first)
    # A layer that has seen nothing may hold the number 0 for all its features.
    start = untouched.running_mean + 0 * first[0]
    return (
        y_first,
        y_second,
        *trained,
        y_other,
        *evaluated,
        y_again,
        _state(layer)[0],
        start,
    )


def _output(layer, x):
    y = layer.forward(x)
    y = y[0] if isinstance(y, tuple) else y  # those of bncourse.nn return a cache too
    if y is None and not getattr(layer, "training", True):
        raise WrongForm("forward returns nothing while training is False.")
    return copy.deepcopy(y)


def _state(layer):
    """A copy: it may be changed in place later."""
    return copy.deepcopy((layer.running_mean, layer.running_var))


def _switch(layer, training):
    method = getattr(layer, "train" if training else "eval", None)
    if method:
        method()
    else:
        layer.training = training


def _batch(batch, before, after):
    return batch


def _before(batch, before, after):
    return before


def _after(batch, before, after):
    return after


class _Made:
    """The layer in parts that can be replaced; right as it stands."""

    def __init__(
        self,
        num_features,
        eps,
        momentum,
        start_var=1.0,
        start_gamma=1.0,
        weights=lambda momentum, batches: (1 - momentum, momentum),
        weights_of_var=None,
        axis=0,
        ddof=0,
        kept_ddof=1,
        kept=lambda var, eps: var,
        train=_batch,
        evaluate=_before,
        moves=lambda training: training,
        root=right_root,
        root_in_evaluation=None,
        affine=lambda gamma, beta, training: (gamma, beta),
        sticks=False,
        forgets=False,
        state=SimpleNamespace,
    ):
        self.parts = SimpleNamespace(**{k: v for k, v in locals().items() if k != "self"})
        self.gamma, self.beta = np.full(num_features, start_gamma), np.zeros(num_features)
        self.state = state()
        self.training, self.evaluated = True, False
        self._reset()

    def _reset(self):
        d = self.parts.num_features
        self.state.running = np.zeros(d), np.full(d, self.parts.start_var)
        self.state.batches = 0

    running_mean = property(lambda self: self.state.running[0])
    running_var = property(lambda self: self.state.running[1])

    def forward(self, x):
        p = self.parts
        if p.forgets and self.training and self.evaluated:
            self._reset()
        self.evaluated |= not self.training
        training = not self.evaluated if p.sticks else self.training
        before = after = self.state.running
        if p.moves(training):
            after = self.state.running = self._moved(x, *before)
        batch = x.mean(axis=p.axis), x.var(axis=p.axis, ddof=p.ddof)
        mean, var = (p.train if training else p.evaluate)(batch, before, after)
        root = p.root if training else p.root_in_evaluation or p.root
        gamma, beta = p.affine(self.gamma, self.beta, training)
        return gamma * (x - mean) / root(var, p.eps) + beta

    def _moved(self, x, mean, var):
        p = self.parts
        self.state.batches += 1
        old, new = p.weights(p.momentum, self.state.batches)
        moved = old * mean + new * x.mean(axis=p.axis)
        old, new = (p.weights_of_var or p.weights)(p.momentum, self.state.batches)
        return moved, old * var + new * p.kept(x.var(axis=p.axis, ddof=p.kept_ddof), p.eps)


ONE_STATE = SimpleNamespace()


def _training_batches(rng):
    """A case with whole numbers, and two at random; eps counts in each."""
    first, second = np.array([[0.0, 2.0], [2.0, 6.0]]), np.array([[4.0, 1.0], [6.0, 1.0]])
    other = np.array([[1.0, 3.0], [2.0, 0.0]])
    cases = [(first, second, other, np.array([2.0, -1.0]), np.array([1.0, 0.0]), 0.5, 0.25)]
    for _ in range(2):
        d = rng.integers(4, 7)  # more than the terms of a running variance: see _describe_layer
        unit = rng.uniform(0.7, 2)  # near the running variance's start, 1
        x = [unit * columns(rng, rng.integers(4, 12), d) for _ in range(3)]
        # Between the running variances, and not 1: else eps squared, or taken for a bound, hides.
        eps, momentum = rng.uniform(1.3, 2), rng.uniform(0.2, 0.4)
        cases.append((*x, scales(rng, d), rng.normal(0, 1, d), eps, momentum))
    return cases


def _hostile_batches(rng, eps):
    x = [far_from_zero(rng, eps) for _ in range(3)]
    d = x[0].shape[1]
    return [(*x, scales(rng, d), rng.normal(0, 1, d), 1e-5, 0.5)]


def _describe_layer(case, got, want):
    """The first thing to go wrong, in the order in which things happen."""
    first, second, other, gamma, beta, eps, momentum = case
    wrong = [not np.allclose(g, w, 1e-4) for g, w in zip(got, want, strict=True)]
    ones = np.ones_like(gamma)
    if wrong[9]:
        return ["A layer that has seen no batch does not start with running_mean 0."]
    if wrong[0]:
        return deviation.first_deviation(first, ones, 0 * ones, eps, got[0])
    if wrong[1]:
        return deviation.first_deviation(second, gamma, beta, eps, got[1])
    lines = []
    for k, start, kind in ((2, 0 * ones, np.mean), (3, ones, partial(np.var, ddof=1))):
        if wrong[k]:
            terms = {"of the start": start} if k == 3 else {}
            terms |= {"of the first batch": kind(first, axis=0)}
            terms |= {"of the second": kind(second, axis=0)}
            lines.append(_read_off(layer.outputs[k], got[k], terms))
    return lines or _describe_evaluation(other, gamma, beta, eps, *got[2:5])


def _describe_evaluation(x, gamma, beta, eps, running_mean, running_var, y):
    """The straight line that evaluation draws in one feature, beside the right one."""
    scale = gamma / np.sqrt(running_var + eps)
    lines = np.stack([scale, beta - scale * running_mean])
    drawn = np.stack([np.polyfit(*xy, 1) for xy in zip(x.T, y.T, strict=True)], axis=1)
    k = int(np.abs(drawn - lines).max(axis=0).argmax())
    if np.allclose(drawn[:, k], lines[:, k], 1e-4, 1e-4):
        return []
    (slope, height), (right_slope, right_height) = drawn[:, k], lines[:, k]
    return [
        f"Read off, in feature {k}: in evaluation y = {slope:.4g} x + {height:.4g}; with "
        f"running_mean and running_var it is {right_slope:.4g} x + {right_height:.4g}."
    ]


layer = Exercise(
    name="layer",
    chapter=CHAPTER,
    question="The layer, as a class: BatchNorm(num_features, eps, momentum) with the attributes "
    "gamma and beta (ones and zeros at first), running_mean and running_var (zeros and ones at "
    "first) and training (True at first), and a method forward(x) -> y for x of shape (N, D). In "
    "training, x is normalized by the mean and the biased variance of the batch, eps inside the "
    "root, and running <- (1 - momentum) * running + momentum * batch, for the mean and the "
    "unbiased variance. Otherwise it is normalized by running_mean and running_var, and these "
    "stay. gamma and beta follow in both modes. Pass the class itself: layer.check(BatchNorm).",
    reference=BatchNorm,
    use=_use,
    inputs=_training_batches,
    outputs=(
        "y of the first batch",
        "y of the second batch",
        "running_mean",
        "running_var",
        "y in evaluation",
        "running_mean after evaluation",
        "running_var after evaluation",
        "y back in training",
        "running_mean in the end",
        "running_mean of another layer",
    ),
    hostile=_hostile_batches,
    fragile=ONE_PASS,
    describe=_describe_layer,
    mistakes=(
        Mistake(
            "evaluation uses the statistics of the batch",
            partial(_Made, evaluate=_batch),
            "So the answer for one example depends on the others beside it. While training is "
            "False, take running_mean and running_var.",
        ),
        Mistake(
            "the statistics move in evaluation",
            partial(_Made, moves=lambda training: True),
            "Then looking at the test data changes the layer. The update belongs under "
            "`if self.training`.",
        ),
        Mistake(
            "the statistics move in evaluation, before they are used",
            partial(_Made, moves=lambda training: True, evaluate=_after),
            "Then a batch of test data leaks into its own answers. The update belongs under "
            "`if self.training`.",
        ),
        Mistake(
            "evaluation is the same as training",
            partial(_Made, moves=lambda training: True, evaluate=_batch),
            "The attribute training is not looked at. While it is False, normalize by the running "
            "statistics, and leave them alone.",
        ),
        Mistake(
            "the two modes are swapped",
            partial(_Made, moves=lambda training: not training, train=_before, evaluate=_batch),
            "While training is True, the statistics of the batch are used, and tracked.",
        ),
        Mistake(
            "training normalizes by the running statistics",
            partial(_Made, train=_after),
            "In training the batch is normalized by its own mean and variance. The running "
            "statistics are only written, for evaluation to read.",
        ),
        Mistake(
            "training normalizes by the running statistics of the batches before",
            partial(_Made, train=_before),
            "In training the batch is normalized by its own mean and variance. The running "
            "statistics are only written, for evaluation to read.",
        ),
        Mistake(
            "the unbiased variance normalizes",
            partial(_Made, ddof=1),
            "Two variances: the biased one normalizes the batch, the unbiased one is kept.",
        ),
        Mistake(
            "the biased variance is kept",
            partial(_Made, kept_ddof=0),
            "The biased variance normalizes the batch. Multiply it by m / (m - 1) before it goes "
            "into running_var.",
        ),
        Mistake(
            "the standard deviation is kept",
            partial(_Made, kept=lambda var, eps: np.sqrt(var)),
            "running_var holds variances; the root is taken in evaluation.",
        ),
        Mistake(
            "eps is kept with the variance",
            partial(_Made, kept=lambda var, eps: var + eps),
            "Evaluation adds eps again, so it counts twice. Keep the variance alone.",
        ),
        Mistake(
            "running_var never moves",
            partial(_Made, weights_of_var=lambda a, k: (1, 0)),
            "Evaluation divides by its start, 1. It needs the same line as running_mean.",
        ),
        Mistake(
            "running_var is that of the last batch",
            partial(_Made, weights_of_var=lambda a, k: (0, 1)),
            "The momentum moves the mean only. running_var needs the same line.",
        ),
        Mistake(
            "running_var starts at 0",
            partial(_Made, start_var=0.0),
            "It starts at 1. With 0, an untrained layer in evaluation divides by sqrt(eps), and "
            "the first batches count for too little.",
        ),
        Mistake(
            "the momentum is turned round",
            partial(_Made, weights=lambda a, k: (a, 1 - a)),
            "Here, as in PyTorch, momentum is the weight of the new batch. In Keras and Flax it "
            "is the weight of the old value.",
        ),
        Mistake(
            "the last batch alone is kept",
            partial(_Made, weights=lambda a, k: (0, 1)),
            "Keep 1 - momentum of what was there.",
        ),
        Mistake(
            "the running statistics never move",
            partial(_Made, weights=lambda a, k: (1, 0)),
            "After training they are still 0 and 1. Is the result of the update assigned to self?",
        ),
        Mistake(
            "the old statistics keep their full weight",
            partial(_Made, weights=lambda a, k: (1, a)),
            "The weights must add up to 1: the old value has 1 - momentum.",
        ),
        Mistake(
            "the momentum is 0.1, whatever is passed",
            partial(_Made, weights=lambda a, k: (0.9, 0.1)),
            "0.1 is the default. Keep what __init__ is given.",
        ),
        Mistake(
            "all batches weigh the same",
            partial(_Made, weights=lambda a, k: (1 - 1 / k, 1 / k)),
            "That is the plain average, momentum=None in PyTorch and here. With a number, a batch "
            "has this weight when it is new, and less with every one that follows.",
        ),
        Mistake(
            "the first batch replaces the start",
            partial(_Made, weights=lambda a, k: (0, 1) if k == 1 else (1 - a, a)),
            "A sensible idea, but not what libraries do: 0 and 1 are blended like any old value.",
        ),
        Mistake(
            "gamma and beta are ignored in evaluation",
            partial(_Made, affine=lambda g, b, training: (g, b) if training else (1, 0)),
            "They were learned for use: gamma * x_hat + beta in both modes.",
        ),
        Mistake(
            "gamma and beta are ignored",
            partial(_Made, affine=lambda gamma, beta, training: (1, 0)),
            "Use self.gamma and self.beta as they are when forward is called: training changes "
            "them after the layer is made.",
        ),
        Mistake(
            "gamma is ignored",
            partial(_Made, affine=lambda gamma, beta, training: (1, beta)),
            "It multiplies x_hat, in both modes.",
        ),
        Mistake(
            "beta is ignored",
            partial(_Made, affine=lambda gamma, beta, training: (gamma, 0)),
            "It is added at the end, in both modes.",
        ),
        Mistake(
            "gamma and beta are swapped",
            partial(_Made, affine=lambda gamma, beta, training: (beta, gamma)),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "gamma starts at 0",
            partial(_Made, start_gamma=0.0),
            "Then a new layer gives 0 for everything. gamma starts at 1, beta at 0.",
        ),
        *wrong_roots(lambda root: partial(_Made, root=root)),
        Mistake(
            "eps is missing in evaluation",
            partial(_Made, root_in_evaluation=lambda var, eps: np.sqrt(var)),
            "Both modes divide by the root of a variance plus eps.",
        ),
        Mistake(
            "eps is missing",
            partial(_Made, root=lambda var, eps: np.sqrt(var)),
            "Without it, a constant feature divides zero by zero.",
        ),
        Mistake(
            "the root is missing in evaluation",
            partial(_Made, root_in_evaluation=lambda var, eps: var + eps),
            "running_var is a variance, so evaluation divides by sqrt(running_var + eps).",
        ),
        Mistake(
            "eps is 1e-5, whatever is passed",
            partial(_Made, root=lambda var, eps: np.sqrt(var + 1e-5)),
            "1e-5 is the default. Keep what __init__ is given.",
        ),
        Mistake(
            "there is no way back from evaluation",
            partial(_Made, sticks=True),
            "After training = True the layer goes on as in evaluation. Ask self.training in every "
            "call of forward.",
        ),
        Mistake(
            "the statistics start again after evaluation",
            partial(_Made, forgets=True),
            "Training goes on where it stopped. A change of mode resets nothing.",
        ),
        Mistake(
            "all layers share one state",
            partial(_Made, state=lambda: ONE_STATE),
            "A layer that has seen no batch has moved along: the statistics live on the class, or "
            "in a default argument, which all layers share. Make them in __init__, on self.",
        ),
        Mistake(
            "one mean and one variance serve the whole table",
            partial(_Made, axis=None),
            "Without an axis the features are mixed. Each has its own: axis=0.",
        ),
    ),
    hints=(
        "__init__ keeps eps and momentum and makes four arrays. forward begins with a question: "
        "if self.training.",
        "In training: mean, var = x.mean(axis=0), x.var(axis=0), and the running statistics move. "
        "Otherwise: mean, var = self.running_mean, self.running_var.",
        "The last line is the same for both: self.gamma * (x - mean) / np.sqrt(var + self.eps) + "
        "self.beta",
    ),
    praise="Does yours take a single example in evaluation? And what does it do with one in "
    "training?",
)


keras_momentum = Quantity(
    name="keras_momentum",
    chapter=CHAPTER,
    question="A layer here has momentum 0.1: running <- (1 - momentum) * running + momentum * "
    "batch. Keras has running <- momentum * running + (1 - momentum) * batch. Which momentum does "
    "it need there, to do the same?",
    answer=0.9,
    mistakes=(
        Mistake(
            "the number is carried over",
            0.1,
            "In Keras that keeps a tenth of the old value with each batch: the statistics would "
            "be nearly those of the last one.",
        ),
        Mistake(
            "that is the default of Keras",
            0.99,
            "It gives a new batch the weight 0.01. Here the new batch has 0.1.",
        ),
        Mistake("that is the reciprocal", 10.0, "A weight lies between 0 and 1."),
        Mistake("the weights add up to 0", -0.1, "They must add up to 1."),
        Mistake("the weights do not add up to 1", 1.1, "1 minus the weight of the new batch."),
    ),
    hints=(
        "Which weight does the new batch have in each of the two formulas?",
        "1 - momentum in Keras must be 0.1.",
    ),
    working="The new batch weighs 0.1 here and 1 - momentum there, so momentum is 1 - 0.1 = 0.9.",
)


def _two_ways(answer, first, second, other, dy, dy_second, dy_other, gamma, beta, eps, momentum):
    """Forward in training, in evaluation and in training again; then back, in another order.

    The mode is switched in between, since that of the forward pass must count. The second batch
    moves the running statistics, since those of the pass in evaluation must count.
    """
    layer = answer(first.shape[1], eps, momentum)
    if layer is None:
        return None
    layer.gamma, layer.beta = gamma, beta
    y, cache = _pair(layer, first)
    _switch(layer, False)
    y_other, other_cache = _pair(layer, other)
    _switch(layer, True)
    _, second_cache = _pair(layer, second)
    dx_other = layer.backward(dy_other, other_cache)
    if dx_other is None or dx_other is ...:
        raise NotImplementedError
    kept = copy.deepcopy(dx_other)
    after_one = _gradients(layer)
    _switch(layer, False)
    dx = copy.deepcopy(layer.backward(dy, cache))
    _switch(layer, True)
    dx_second = layer.backward(dy_second, second_cache)
    return y, y_other, kept, *after_one, dx, dx_second, *_gradients(layer)


def _pair(layer, x):
    out = layer.forward(x)
    if out is None or out is ...:
        raise NotImplementedError
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise WrongForm("forward returns one value; return two, y and the cache.")
    return copy.deepcopy(out[0]), out[1]


def _gradients(layer):
    if hasattr(layer, "grads"):  # the layers of bncourse.nn
        return layer.grads["gamma"], layer.grads["beta"]
    if not (hasattr(layer, "dgamma") and hasattr(layer, "dbeta")):
        raise WrongForm("after backward the layer has no dgamma, or no dbeta.")
    # A layer that has added nothing may hold the number 0 for all its features.
    return copy.deepcopy((layer.dgamma + 0 * layer.gamma, layer.dbeta + 0 * layer.gamma))


def _ways(rng):
    """A case with round numbers, and two at random."""
    x = np.array([[0.0, 2.0], [4.0, 6.0]]), np.array([[1.0, 3.0], [5.0, -1.0]])
    other = np.array([[1.0, 0.0], [2.0, 3.0]])
    dys = [np.array(dy, float) for dy in ([[1, 0], [3, 2]], [[2, 1], [0, 1]], [[1, 1], [1, 0]])]
    cases = [(*x, other, *dys, np.array([2.0, -4.0]), np.array([1.0, 0.0]), 12.0, 0.25)]
    for _ in range(2):
        m, d, unit = rng.integers(5, 12), rng.integers(3, 7), rng.uniform(0.7, 2)
        x = [unit * columns(rng, m, d) for _ in range(3)]
        dys = rng.normal(rng.normal(1, 1, (3, 1, d)), 1, (3, m, d))
        eps, momentum = rng.uniform(0.3, 2), rng.uniform(0.2, 0.4)
        cases.append((*x, *dys, scales(rng, d), rng.normal(0, 1, d), eps, momentum))
    return cases


def _hostile_ways(rng, eps):
    x = [far_from_zero(rng, eps) for _ in range(3)]
    dys = rng.normal(1, 1, (3, *x[0].shape))
    d = x[0].shape[1]
    return [(*x, *dys, scales(rng, d), rng.normal(0, 1, d), 1e-5, 0.5)]


def _describe_ways(case, got, want):
    """Whether the way forward is wrong already; else the path that is, in training."""
    right = [np.allclose(g, w, 1e-4, 1e-6) for g, w in zip(got, want, strict=True)]
    if not (right[0] and right[1]):
        return ["The way forward is not right yet. The exercise `layer` says more about it."]
    if not right[5]:
        x, dy, gamma, eps = case[0], case[3], case[6], case[8]
        return paths.first_deviation(got[5], dy, x, gamma, eps)
    return []


trainable_layer = Exercise(
    name="trainable_layer",
    chapter=CHAPTER,
    question="The layer with its way back, as a class: BatchNorm(num_features, eps, momentum) as "
    "in the exercise `layer`, but forward(x) -> (y, cache), and backward(dy, cache) -> dx, which "
    "adds the gradients of gamma and beta to the attributes dgamma and dbeta (zeros at first). "
    "The cache is whatever you like. There may be several passes forward, in either mode, before "
    "the first one back, and the way back may meet them in any order.",
    reference=layers_both_ways.BatchNorm,
    use=_two_ways,
    inputs=_ways,
    outputs=(
        "y in training",
        "y in evaluation",
        "dx in evaluation",
        "dgamma after evaluation",
        "dbeta after evaluation",
        "dx of the first batch",
        "dx of the second batch",
        "dgamma in the end",
        "dbeta in the end",
    ),
    hostile=_hostile_ways,
    fragile=ONE_PASS,
    describe=_describe_ways,
    mistakes=layers_both_ways.MISTAKES,
    hints=(
        "forward returns y and a tuple of what backward will need: x_hat, s, and its mode.",
        "dgamma and dbeta are sums over the batch, and are added to what is there, in both modes.",
        "In training dx = gamma / s * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0)); in "
        "evaluation dx = gamma / s * dy.",
    ),
    praise="What would go wrong if your cache held self.running_mean, and the update were made in "
    "place?",
)


bias_left = Quantity(
    name="bias_left",
    chapter=CHAPTER,
    question="A bias in front of a batch norm starts at 4. Plain SGD, rate 0.1, weight decay "
    "0.01: b <- b - 0.1 * (db + 0.01 * b), in exact arithmetic. What is b after 1000 steps?",
    answer=4 * 0.999**1000,
    absolute=1e-5,
    mistakes=(
        Mistake(
            "it is still where it was, or nearly",
            4.0,
            "Its gradient is zero, but weight decay acts without the gradient, a thousand times.",
        ),
        Mistake(
            "the rate is forgotten",
            4 * 0.99**1000,
            "Plain weight decay goes through the step like a gradient: each step takes away 0.1 "
            "times 0.01 of it.",
        ),
        Mistake(
            "nothing is left",
            0.0,
            "Each step takes 0.1 times 0.01, a thousandth: of what is left, and not of the 4.",
        ),
        Mistake(
            "the start is forgotten",
            0.999**1000,
            "That is the share which is left. The bias starts at 4.",
        ),
        Mistake(
            "that is what is gone",
            4 * (1 - 0.999**1000),
            "What is left is the other part of the 4.",
        ),
        Mistake(
            "it grows",
            4 * 1.001**1000,
            "Two minus signs: b <- b - 0.1 * (0 + 0.01 * b). It decays.",
        ),
        Mistake(
            "each step takes away two thousandths",
            4 * 0.998**1000,
            "There is no 2 from the square here: the step takes away 0.1 times 0.01 of b.",
        ),
    ),
    hints=(
        "What is db, by the theorem on the useless bias?",
        "What is left is b <- b - 0.1 * 0.01 * b.",
    ),
    working="db is 0, so each step leaves 0.999 of the bias: 4 * 0.999**1000 = 1.4708. The weight "
    "decay has taken away most of it, and no output has noticed.",
)
