"""Exercises of the chapter on convolution: one gamma a feature map, windows, folding ahead."""

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import scales, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/convolution"


def _gradients(dy, x_hat):
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    dbeta = dy.sum(axis=(0, 2, 3))
    return dgamma, dbeta


def _sums(axes):
    return lambda a: a.sum(axis=axes)


def _divided_by(count):
    """The right sum, divided by a count of the shape (N, C, H, W)."""
    return lambda a: _all_but_channels(a) / count(*a.shape)


_all_but_channels = _sums((0, 2, 3))


def _product_first(a, b, total):
    return total(a * b)


def _made(
    dy,
    x_hat,
    total=_all_but_channels,
    weigh=_product_first,
    factor=lambda dy, x_hat: dy,
    sign=1,
    order=1,
):
    """Both gradients in parts that can be replaced; right as it stands."""
    dgamma = weigh(factor(dy, x_hat), x_hat, total)
    return (sign * dgamma, sign * total(dy))[::order]


def _maps(rng):
    """Whole numbers first. W equals C in each, else sums over the wrong axes have other shapes."""
    dy = np.array([[[[1.0, 0.0]], [[2.0, -1.0]]], [[[3.0, 1.0]], [[0.0, -2.0]]]])
    x_hat = np.array([[[[1.0, -1.0]], [[1.0, 1.0]]], [[[1.0, -2.0]], [[-1.0, -1.0]]]])
    cases = [(dy, x_hat)]
    for _ in range(3):
        n, c, h = 2 + rng.permutation(5)[:3]  # three different numbers
        shape = (n, c, h, c)
        offset = rng.choice([-1.0, 1.0], (1, c, 1, 1)) * rng.uniform(0.5, 2, (1, c, 1, 1))
        cases.append((units(rng) * (offset + rng.normal(0, 1, shape)), rng.normal(0.2, 1, shape)))
    return cases


def _wide(rng, eps):
    """Maps that are not as wide as there are channels."""
    shape = 3, 4, 5, 6
    return [(rng.normal(1, 1, shape), rng.normal(0, 1, shape))]


def _describe(case, got, want):
    dy, _ = case
    n, c, h, w = dy.shape
    for name, g, right in zip(("dgamma", "dbeta"), got, want, strict=True):
        ratio = g / right
        off = np.ptp(ratio) > 1e-4 * np.abs(ratio).max()
        if not off and abs(ratio[0] - 1) > 1e-4:
            return [
                f"Read off: {name} is {ratio[0]:.4g} times the right one in every channel, with "
                f"N = {n}, C = {c}, H = {h}, W = {w}."
            ]
    return []


parameter_gradients = Exercise(
    name="parameter_gradients",
    chapter=CHAPTER,
    question="A batch norm of feature maps, y = gamma * x_hat + beta with one gamma and one beta a "
    "channel: f(dy, x_hat) -> (dgamma, dbeta), with dy and x_hat of shape (N, C, H, W) and the "
    "gradients of shape (C,).",
    reference=_gradients,
    inputs=_maps,
    outputs=("dgamma", "dbeta"),
    hostile=_wide,
    fragile="it must not matter how wide the maps are.",
    describe=_describe,
    mistakes=(
        Mistake(
            "the last axis is taken for the channels",
            partial(_made, total=_sums((0, 1, 2))),
            "Sums over (0, 1, 2), and rows by reshape(-1, C), are for maps with channels last, "
            "(N, H, W, C). Here axis 1 counts the channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            partial(_made, total=_divided_by(lambda n, c, h, w: n * h * w)),
            "The same gamma and beta serve all N H W values of a channel, so the gradients of all "
            "add up. A mean over the batch, if there is one, is in dy already.",
        ),
        Mistake(
            "the positions are averaged",
            partial(_made, total=_divided_by(lambda n, c, h, w: h * w)),
            "The batch is summed over, as for a table, but then the H W positions are averaged. "
            "They share gamma and beta just as the examples do: sum over both.",
        ),
        Mistake(
            "the batch is averaged",
            partial(_made, total=_divided_by(lambda n, c, h, w: n)),
            "Sum over the examples too. If the loss is a mean over the batch, dy has the 1/N.",
        ),
        Mistake(
            "it is divided by the number of channels",
            partial(_made, total=_divided_by(lambda n, c, h, w: c)),
            "Channels have nothing to share: each has its own sum, undivided.",
        ),
        Mistake(
            "only the first image counts",
            partial(_made, total=lambda a: a[0].sum(axis=(1, 2))),
            "All images go through the same gamma and beta: sum over axis 0 too.",
        ),
        Mistake(
            "only one position counts",
            partial(_made, total=lambda a: a[:, :, 0, 0].sum(axis=0)),
            "All positions of a map go through the same gamma and beta: sum over axes 2 and 3 too.",
        ),
        Mistake(
            "x_hat is missing in dgamma",
            lambda dy, x_hat: (dy.sum(axis=(0, 2, 3)),) * 2,
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            partial(_made, order=-1),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "dy is missing in dgamma",
            partial(_made, factor=lambda dy, x_hat: np.ones_like(dy)),
            "That is the sum of x_hat. Each value counts as much as the loss depends on it: "
            "multiply by dy.",
        ),
        Mistake(
            "x_hat is squared in dgamma",
            partial(_made, factor=lambda dy, x_hat: dy * x_hat),
            "y grows by x_hat for each unit of gamma, so x_hat comes in once.",
        ),
        Mistake(
            "sums are multiplied, where products are summed up",
            partial(_made, weigh=lambda a, b, total: total(a) * total(b)),
            "Each dy belongs to its own x_hat: multiply entry by entry first, then sum.",
        ),
        Mistake(
            "the positions are summed up before the product",
            partial(
                _made,
                weigh=lambda a, b, total: (a.sum(axis=(2, 3)) * b.sum(axis=(2, 3))).sum(axis=0),
            ),
            "Each dy belongs to the x_hat at its own position: multiply first, then sum.",
        ),
        Mistake(
            "the batch is summed up before the product",
            partial(
                _made, weigh=lambda a, b, total: (a.sum(axis=0) * b.sum(axis=0)).sum(axis=(1, 2))
            ),
            "Each dy belongs to the x_hat of its own image: multiply first, then sum.",
        ),
        Mistake(
            "the sign is turned round",
            partial(_made, sign=-1),
            "The gradient points uphill. The minus comes with the step of the optimizer.",
        ),
    ),
    hints=(
        "Which values of y does one gamma touch? Their gradients add up.",
        "All axes but the channels': .sum(axis=(0, 2, 3)).",
        "dgamma = (dy * x_hat).sum(axis=(0, 2, 3)); dbeta is the same without x_hat.",
    ),
    praise="With channels last it would be axis=(0, 1, 2). Does anything else change?",
)


values_per_map = Quantity(
    name="values_per_map",
    chapter=CHAPTER,
    question="Feature maps of shape (N, C, H, W) = (32, 64, 28, 28) go into a batch norm. How many "
    "values does each of its means run over?",
    answer=32 * 28 * 28,
    tolerance=0,  # a count is exact
    mistakes=(
        Mistake(
            "the positions are not counted",
            32,
            "That is the batch. Each image has 28 x 28 values in a channel, and all of them are "
            "samples of the same feature map.",
        ),
        Mistake(
            "the batch is not counted",
            28 * 28,
            "Those are the values of one image; instance norm has this mean. There are 32 images.",
        ),
        Mistake(
            "the channels are counted",
            32 * 64 * 28 * 28,
            "That is all there is. Each of the 64 channels has a mean of its own.",
        ),
        Mistake(
            "those are the values of one image",
            64 * 28 * 28,
            "All channels of one image: layer norm has this mean. Batch norm keeps the channels "
            "apart and takes the images together.",
        ),
        Mistake("one side of the maps is missing", 32 * 28, "A map has 28 x 28 positions, not 28."),
        Mistake("that is the number of means", 64, "One a channel. Over how many values is it?"),
        Mistake(
            "that is the number of parameters",
            2 * 64,
            "One gamma and one beta a channel. The question is over how many values a mean runs.",
        ),
        Mistake(
            "the channels stand where the positions belong",
            32 * 64,
            "Each of the 64 channels has a mean of its own, over 32 images of 28 x 28 positions.",
        ),
    ),
    hints=(
        "Which of the four axes has a mean for each of its entries?",
        "Only the channels are kept apart. Multiply the lengths of the other three axes.",
    ),
    working="m' = N H W = 32 * 28 * 28 = 25088. It stands wherever m stands for a table.",
)


effective_values = Quantity(
    name="effective_values",
    chapter=CHAPTER,
    question="A channel has maps of 4 x 4 positions, and a batch 32 images, which are independent "
    "of each other. All values have the same mean and variance, and any two values of one image "
    "have the correlation 0.2. How many independent values would give the mean of the map as "
    "precisely?",
    answer=128,
    mistakes=(
        Mistake(
            "all values are taken to be independent",
            512,
            "That is m'. Values of one image are correlated, so a further one says less that is "
            "new.",
        ),
        Mistake(
            "each image is counted as one value",
            32,
            "It would be so with a correlation of 1. With 0.2 an image says more than that.",
        ),
        Mistake(
            "that is what one image counts for",
            4,
            "Right as far as it goes: 16 / (1 + 15 * 0.2). There are 32 images.",
        ),
        Mistake(
            "each value is paired with itself too",
            512 / (1 + 16 * 0.2),
            "A value has 15 others beside it in its image: 1 + 15 * 0.2.",
        ),
        Mistake(
            "only one other value is counted",
            512 / 1.2,
            "A value is correlated with all 15 others of its image, and each adds 0.2.",
        ),
        Mistake(
            "images are taken to be correlated",
            512 / (1 + 511 * 0.2),
            "Only the 15 other values of its own image are correlated with a value.",
        ),
        Mistake(
            "it is multiplied by the correlation",
            512 * 0.2,
            "Write the variance of the mean as sigma^2 / m' times a factor, and divide m' by it.",
        ),
        Mistake(
            "the correlation is taken off",
            512 * 0.8,
            "Write the variance of the mean as sigma^2 / m' times a factor, and divide m' by it.",
        ),
        Mistake(
            "the factor stands above the line",
            512 * 4,
            "Correlated values give a less certain mean, so they count for less than 512.",
        ),
    ),
    hints=(
        "The variance of an image's mean is (1/16^2) times a sum of 256 covariances.",
        "16 of these are sigma^2, and 240 are 0.2 sigma^2. So it is sigma^2 / 4.",
        "An image counts for 4 values.",
    ),
    working="The mean of an image has the variance sigma^2 (16 + 240 * 0.2) / 16^2 = sigma^2 / 4. "
    "So an image counts for 4 values instead of 16, and 32 images for 128.",
)


def _kernel_gradient(x, dy):
    (_, n_in, height, _), (_, n_out, p, _) = x.shape, dy.shape
    kernel = height - p + 1
    windows = sliding_window_view(x, (kernel, kernel), axis=(2, 3))  # (N, C, P, Q, kernel, kernel)
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, n_in * kernel * kernel)
    dy_rows = dy.transpose(0, 2, 3, 1).reshape(-1, n_out)
    return (dy_rows.T @ rows).reshape(n_out, n_in, kernel, kernel)


_POSITIONS_FIRST = (0, 2, 3, 1, 4, 5)


def _transposed(product):
    return product.T


def _made_gradient(
    x,
    dy,
    image=lambda x: x,
    order=_POSITIONS_FIRST,
    dy_order=(0, 2, 3, 1),
    turn=_transposed,
    shape=lambda dw, o, c, k: dw.reshape(o, c, k, k),
    factor=lambda n, p, q: 1,
    look=lambda dw: dw,
):
    """The gradient of a kernel in parts that can be replaced; right as it stands.

    ``order`` and ``dy_order`` are those of the axes before the windows, and ``dy``, become rows.
    """
    (_, c, height, _), (n, o, p, q) = x.shape, dy.shape
    k = height - p + 1
    windows = sliding_window_view(image(x), (k, k), axis=(2, 3))
    rows = windows.transpose(order).reshape(-1, c * k * k)
    product = rows.T @ dy.transpose(dy_order).reshape(-1, o)
    return factor(n, p, q) * look(shape(turn(product), o, c, k))


def _one_step_early(x):
    framed = np.zeros_like(x)
    framed[:, :, 1:, 1:] = x[:, :, :-1, :-1]
    return framed


def _sums_first(x, dy):
    k = x.shape[2] - dy.shape[2] + 1
    windows = sliding_window_view(x, (k, k), axis=(2, 3)).sum(axis=(0, 2, 3))
    return dy.sum(axis=(0, 2, 3))[:, None, None, None] * windows


def _images(rng):
    """Whole numbers first; then two at least of everything, and never more maps in than out.

    A report shows ``dy`` by the map where dw is off the most, so it needs as many.
    """
    x = np.array([[1.0, 0, 2], [3, 1, 0], [0, 2, 1]]), np.array([[0.0, 2, 1], [1, 1, 3], [2, 0, 4]])
    dy = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0, 0.0], [1.0, -2.0]])
    cases = [(np.stack(x)[:, None], np.stack(dy)[:, None])]
    for _ in range(3):
        n, c, p, kernel = rng.integers(2, 5, 4)
        o, q = c + rng.integers(0, 2), p + rng.integers(1, 3)
        x = rng.normal(0.5, 1, (n, c, p + kernel - 1, q + kernel - 1))
        cases.append((units(rng) * x, rng.normal(0.5, 1, (n, o, p, q))))
    return cases


def _describe_gradient(case, got, want):
    ratio = got[0] / want[0]
    middle = np.median(ratio)
    if np.abs(ratio - middle).max() > 1e-4 * abs(middle):
        return []
    n, _, p, q = case[1].shape
    return [f"Read off: dw is {middle:.4g} times the right one. N = {n}, P = {p}, Q = {q}."]


kernel_gradient = Exercise(
    name="kernel_gradient",
    chapter=CHAPTER,
    question="A convolution without padding, with stride 1, puts out y of shape (N, O, P, Q) for x "
    "of shape (N, C, H, W); its weights w have shape (O, C, r, r), where r = H - P + 1. The "
    "gradient of w: f(x, dy) -> dw, with dy in the shape of y. A convolution is a dense layer on "
    "windows.",
    reference=_kernel_gradient,
    inputs=_images,
    outputs=("dw",),
    describe=_describe_gradient,
    mistakes=(
        Mistake(
            "dy is reshaped before its axes are moved",
            partial(_made_gradient, dy_order=(0, 1, 2, 3)),
            "A reshape keeps the order of the numbers, and in dy the maps stand before the "
            "positions. Bring them to the end first: dy.transpose(0, 2, 3, 1).",
        ),
        Mistake(
            "the windows are reshaped before their axes are moved",
            partial(_made_gradient, order=(0, 1, 2, 3, 4, 5)),
            "A reshape keeps the order of the numbers. sliding_window_view has C in front of the "
            "positions; a row needs the axes in the order N, P, Q, C, i, j.",
        ),
        Mistake(
            "the product is reshaped, not transposed",
            partial(_made_gradient, turn=lambda product: product),
            "rows.T @ dy_rows has shape (C r r, O), and w has O in front: transpose it first.",
        ),
        Mistake(
            "the rows of the windows run down the columns of the image",
            partial(_made_gradient, order=(0, 3, 2, 1, 4, 5)),
            "Row by row, the windows have to be in the same order as dy: n, p, q.",
        ),
        Mistake(
            "the channels come last in a window",
            partial(
                _made_gradient,
                order=(0, 2, 3, 4, 5, 1),
            ),
            "Then w would have the shape (O, r, r, C). Channels first: N, P, Q, C, i, j.",
        ),
        Mistake(
            "each window is transposed",
            partial(_made_gradient, look=lambda dw: dw.swapaxes(2, 3)),
            "i runs down the image and j to the right, in x as in w.",
        ),
        Mistake(
            "the weights are mirrored",
            partial(_made_gradient, look=lambda dw: dw[:, :, ::-1, ::-1]),
            "In deep learning a convolution does not mirror its weights: dw[i, j] belongs to x at "
            "p + i, q + j. Mirrored weights come up in the gradient of x.",
        ),
        Mistake(
            "the windows begin outside of the image",
            partial(_made_gradient, image=_one_step_early),
            "There is no padding: the first window begins with x[0, 0, 0, 0].",
        ),
        Mistake(
            "all windows are of the first image",
            partial(_made_gradient, image=lambda x: np.broadcast_to(x[:1], x.shape)),
            "Each dy belongs to a window of its own image.",
        ),
        Mistake(
            "only the first image counts",
            lambda x, dy: _kernel_gradient(x[:1], dy[:1]),
            "One w serves all images: their gradients add up.",
        ),
        Mistake(
            "only one position counts",
            lambda x, dy: _kernel_gradient(
                x[:, :, : x.shape[2] - dy.shape[2] + 1, : x.shape[3] - dy.shape[3] + 1],
                dy[:, :, :1, :1],
            ),
            "One w serves all positions: their gradients add up.",
        ),
        Mistake(
            "the last window stands for all",
            lambda x, dy: _kernel_gradient(
                x[-1:, :, dy.shape[2] - 1 :, dy.shape[3] - 1 :], dy[-1:, :, -1:, -1:]
            ),
            "One w serves all windows: their gradients add up. Is there a += in the loop?",
        ),
        Mistake(
            "the batch is averaged",
            partial(_made_gradient, factor=lambda n, p, q: 1 / n),
            "One w serves all images, so their gradients add up. If the loss is a mean, dy has "
            "the 1/N.",
        ),
        Mistake(
            "the positions are averaged",
            partial(_made_gradient, factor=lambda n, p, q: 1 / (p * q)),
            "One w serves all positions, so their gradients add up, undivided.",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            partial(_made_gradient, factor=lambda n, p, q: 1 / (n * p * q)),
            "One w serves all N P Q windows, so their gradients add up, undivided.",
        ),
        Mistake(
            "sums are multiplied, where products are summed up",
            _sums_first,
            "Each dy belongs to its own window: multiply first, then sum.",
        ),
        Mistake(
            "the sign is turned round",
            partial(_made_gradient, factor=lambda n, p, q: -1),
            "The gradient points uphill. The minus comes with the step of the optimizer.",
        ),
    ),
    hints=(
        "For a dense layer y = u @ w, dw = u.T @ dy. Here u are the windows as rows, and dy has "
        "to become rows in the same order.",
        "views = np.lib.stride_tricks.sliding_window_view(x, (r, r), axis=(2, 3)) has the shape "
        "(N, C, P, Q, r, r); u = views.transpose(0, 2, 3, 1, 4, 5).reshape(-1, C * r * r).",
        "(dy.transpose(0, 2, 3, 1).reshape(-1, O).T @ u).reshape(O, C, r, r)",
    ),
    praise="Seen from x, dw is a convolution too. Which array slides over which?",
)


def _fold_before(w, b, gamma, beta, mean, var, eps):
    scale = gamma / np.sqrt(var + eps)
    shift = beta - mean * scale  # the batch norm is x * scale + shift
    new_b = b + (w * shift[:, None, None]).sum(axis=(1, 2, 3))
    return w * scale[:, None, None], new_b, -shift / scale


def _shift(beta, mean, scale):
    return beta - mean * scale


def _weigh(w, channels):
    return w * channels[:, None, None]


def _bias(w, b, shift, scale):
    return b + _weigh(w, shift).sum(axis=(1, 2, 3))


def _made_fold(
    w,
    b,
    gamma,
    beta,
    mean,
    var,
    eps,
    numerator=lambda gamma: gamma,
    root=right_root,
    shift=_shift,
    weights=_weigh,
    bias=_bias,
    pad=lambda shift, scale, mean: -shift / scale,
):
    """Folding ahead in parts that can be replaced; right as it stands."""
    scale = numerator(gamma) / root(var, eps)
    shift = shift(beta, mean, scale)
    return weights(w, scale), bias(w, b, shift, scale), pad(shift, scale, mean)


def _norms_and_weights(rng):
    """Round numbers first. As many maps in as out, else wrong axes would not broadcast at all."""
    w = np.array([[[[1.0, 2.0]], [[0.0, 1.0]]], [[[-1.0, 1.0]], [[2.0, 3.0]]]])
    of_norm = np.array([4.0, -3.0]), np.array([1.0, 1.0]), np.array([2.0, 3.0]), np.array([3.0, 8])
    cases = [(w, np.array([1.0, 2.0]), *of_norm, 1.0)]
    for large in (0.5, 0.5, 1e-5):
        n, unit = rng.integers(2, 5), units(rng)
        var = unit**2 * rng.uniform(0.6, 4, n)
        var[0] = 0.2 * unit**2  # below the large eps
        w = rng.normal(0.5, 1, (n, n, *rng.integers(2, 4, 2)))
        beta, mean = rng.normal(0, 1, n), unit * rng.normal(0, 2, n)
        cases.append((w, rng.normal(0, 1, n), scales(rng, n), beta, mean, var, large * unit**2))
    return cases


def _more_maps_out(rng, eps):
    w, b, *of_norm = _norms_and_weights(rng)[-1]
    return [(np.concatenate([w, 2 * w[:1]]), np.append(b, 1.0), *of_norm)]


fold_before = Exercise(
    name="fold_before",
    chapter=CHAPTER,
    question="A batch norm in evaluation, with gamma, beta, mean, var of shape (C,), is followed "
    "by a convolution with w of shape (O, C, kh, kw) and b of shape (O,), which frames its input "
    "with zeros. Fold the two into one convolution: f(w, b, gamma, beta, mean, var, eps) -> (w, b, "
    "pad), where pad, of shape (C,), is what the raw maps have to be framed with instead of zeros.",
    reference=_fold_before,
    inputs=_norms_and_weights,
    outputs=("w", "b", "pad"),
    hostile=_more_maps_out,
    fragile="w has shape (O, C, kh, kw), and O and C need not be equal.",
    mistakes=(
        Mistake(
            "the scale runs along the maps that come out",
            partial(_made_fold, weights=lambda w, scale: w * scale[:, None, None, None]),
            "That is right for a batch norm after the convolution. Here it scales what comes in, "
            "axis 1 of w: scale[:, None, None].",
        ),
        Mistake(
            "w is not scaled",
            partial(_made_fold, weights=lambda w, scale: w),
            "Each map comes in multiplied by gamma / s, and w has to do it now.",
        ),
        Mistake(
            "w is divided by the scale",
            partial(_made_fold, weights=lambda w, scale: _weigh(w, 1 / scale)),
            "The batch norm multiplies by gamma / s, and so must its stand-in.",
        ),
        Mistake(
            "gamma is missing",
            partial(_made_fold, numerator=np.ones_like),
            "The scale is gamma / sqrt(var + eps).",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made_fold, numerator=np.abs),
            "Nothing keeps gamma positive.",
        ),
        Mistake(
            "the scale is gamma alone",
            partial(_made_fold, root=lambda var, eps: np.ones_like(var)),
            "The batch norm also divides by sqrt(var + eps).",
        ),
        Mistake(
            "eps is missing",
            partial(_made_fold, root=lambda var, eps: np.sqrt(var)),
            "The layer that you replace divides by sqrt(var + eps).",
        ),
        Mistake(
            "the root is missing",
            partial(_made_fold, root=lambda var, eps: var + eps),
            "var is a variance. The scale is gamma / sqrt(var + eps).",
        ),
        *wrong_roots(lambda root: partial(_made_fold, root=root)),
        Mistake(
            "the mean is not scaled",
            partial(_made_fold, shift=lambda beta, mean, scale: beta - mean),
            "The mean is subtracted first, and then all is scaled: 0 goes to beta - mean * scale.",
        ),
        Mistake(
            "the mean is missing",
            partial(_made_fold, shift=lambda beta, mean, scale: beta),
            "The batch norm sends 0 to beta - mean * scale, not to beta.",
        ),
        Mistake(
            "the mean has the wrong sign",
            partial(_made_fold, shift=lambda beta, mean, scale: beta + mean * scale),
            "The batch norm subtracts its mean: 0 goes to beta - mean * scale.",
        ),
        Mistake(
            "beta is missing",
            partial(_made_fold, shift=lambda beta, mean, scale: -mean * scale),
            "The batch norm sends 0 to beta - mean * scale.",
        ),
        Mistake(
            "b is as it was",
            partial(_made_fold, bias=lambda w, b, shift, scale: b),
            "The batch norm adds beta - mean * scale to each value of a window, and the weights "
            "sum that up. It is the same number in every window: it belongs into b.",
        ),
        Mistake(
            "the old b is forgotten",
            partial(_made_fold, bias=lambda w, b, shift, scale: _bias(w, 0, shift, scale)),
            "The convolution adds its own b as before.",
        ),
        Mistake(
            "the shift goes into b without the weights",
            partial(_made_fold, bias=lambda w, b, shift, scale: b + shift),
            "The shift comes in before the convolution, so it is weighted: multiply it by w and "
            "sum over the channels and the window.",
        ),
        Mistake(
            "the shift is multiplied by the new weights",
            partial(
                _made_fold, bias=lambda w, b, shift, scale: _bias(_weigh(w, scale), b, shift, scale)
            ),
            "beta - mean * scale holds the scale already; the weights that go with it are the old "
            "ones.",
        ),
        Mistake(
            "the shift runs along the maps that come out",
            partial(
                _made_fold,
                bias=lambda w, b, shift, scale: b + shift * w.sum(axis=(1, 2, 3)),
            ),
            "Each map that comes in has its own shift: multiply along axis 1 of w before you sum.",
        ),
        Mistake(
            "the weighted shifts are averaged over the window",
            partial(
                _made_fold,
                bias=lambda w, b, shift, scale: b + _weigh(w, shift).mean(axis=(2, 3)).sum(axis=1),
            ),
            "A convolution sums over its window; so does the shift that goes through it.",
        ),
        Mistake(
            "b is that of a batch norm after the convolution",
            partial(_made_fold, bias=lambda w, b, shift, scale: b * scale + shift),
            "(b - mean) * scale + beta is for a batch norm behind. Here b stays; the shift comes "
            "in before the weights: w * shift, summed up over channels and window.",
        ),
        Mistake(
            "the old b is scaled",
            partial(_made_fold, bias=lambda w, b, shift, scale: _bias(w, b * scale, shift, scale)),
            "b is added after the convolution; the batch norm before it does not touch it.",
        ),
        Mistake(
            "pad is 0",
            partial(_made_fold, pad=lambda shift, scale, mean: np.zeros_like(shift)),
            "The zeros were added after the batch norm. Which value does the batch norm send to 0?",
        ),
        Mistake(
            "pad is what the batch norm makes of 0",
            partial(_made_fold, pad=lambda shift, scale, mean: shift),
            "It is the other way round: pad is the value that the batch norm sends to 0.",
        ),
        Mistake(
            "pad has the wrong sign",
            partial(_made_fold, pad=lambda shift, scale, mean: shift / scale),
            "Solve pad * scale + shift = 0.",
        ),
        Mistake(
            "pad is not divided by the scale",
            partial(_made_fold, pad=lambda shift, scale, mean: -shift),
            "Solve pad * scale + shift = 0.",
        ),
        Mistake(
            "beta is not divided by the scale in pad",
            partial(_made_fold, pad=lambda shift, scale, mean: mean - (shift + mean * scale)),
            "Solve pad * scale + shift = 0: pad is mean - beta / scale.",
        ),
        Mistake(
            "beta has the wrong sign in pad",
            partial(_made_fold, pad=lambda shift, scale, mean: 2 * mean + shift / scale),
            "Solve pad * scale + shift = 0: pad is mean - beta / scale.",
        ),
        Mistake(
            "pad is the mean",
            partial(_made_fold, pad=lambda shift, scale, mean: mean),
            "The batch norm sends the mean to beta. Which value does it send to 0?",
        ),
    ),
    hints=(
        "The batch norm is x * scale + shift. What are scale and shift, for a channel?",
        "w goes to w * scale[:, None, None]; of the shift, each window has the same weighted sum.",
        "b + (w * shift[:, None, None]).sum(axis=(1, 2, 3)); and pad * scale + shift = 0.",
    ),
    praise="What if some gamma is 0? Then no value is sent to 0, unless beta is 0 too.",
)
