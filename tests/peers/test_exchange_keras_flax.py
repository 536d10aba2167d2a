"""Networks from and to Keras, on its PyTorch backend, and Flax."""

import os

import numpy as np
import pytest

from bncourse import interop, nn

os.environ.setdefault("KERAS_BACKEND", "torch")


def ours(eps=1e-3):
    options = {"momentum": 0.01, "eps": eps, "variance": "biased"}
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), bias=False),
        nn.BatchNorm(4, **options),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 3),
        nn.Flatten(),
        nn.BatchNorm(6 * 5 * 6, **options),
        nn.Dense(6 * 5 * 6, 5),
        nn.LayerNorm(5, eps=eps),
        nn.Dense(5, 3, bias=False),
    )


def images(seed=0, shape=(8, 5, 5, 2)):
    return np.random.default_rng(seed).normal(1, 2, shape).astype("float32")


def first(x):
    return np.moveaxis(x, -1, 1)


class TestKeras:
    @pytest.fixture
    def theirs(self):
        reason = "Keras is not installed, or lacks its backend"
        keras = pytest.importorskip("keras", reason=reason, exc_type=ImportError)
        layers = keras.layers
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((5, 5, 2)),
                layers.Conv2D(4, (3, 2), use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2DTranspose(6, 3),
                layers.Flatten(),
                layers.BatchNormalization(),
                layers.Dense(5),
                layers.LayerNormalization(),
                layers.Dense(3, use_bias=False),
            ]
        )

    def assert_alike(self, net, theirs):
        x = images(9)
        for training in (False, True, False):
            expected = np.asarray(theirs(x, training=training).detach())
            y, _ = net.train(training).forward(first(x))
            np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
        for found, expected in zip(interop.to_keras(net), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_from_keras(self, theirs):
        for k in range(40):
            theirs(images(k), training=True)
        self.assert_alike(interop.from_keras(ours(), theirs.get_weights()), theirs)

    def test_to_keras(self, theirs):
        net = ours()
        for k in range(40):
            net.forward(first(images(k)))
        theirs.set_weights(interop.to_keras(net))
        self.assert_alike(net, theirs)


class TestFlax:
    @pytest.fixture
    def flax(self):
        return pytest.importorskip("flax.linen", reason="Flax is not installed")

    def net(self, flax):
        return flax.Sequential(
            [
                flax.Conv(4, (3, 2), use_bias=False, padding="VALID"),
                flax.BatchNorm(use_running_average=False),
                flax.relu,
                flax.ConvTranspose(6, (3, 3), padding="VALID"),
                lambda x: x.reshape(len(x), -1),
                flax.BatchNorm(use_running_average=False),
                flax.Dense(5),
                flax.LayerNorm(epsilon=1e-5),
                flax.Dense(3, use_bias=False),
            ]
        )

    def test_from_and_to_flax(self, flax):
        import jax

        theirs = self.net(flax)
        variables = theirs.init(jax.random.key(0), images())
        # Parameters of scale and shift that are not as they began.
        leaves, tree = jax.tree.flatten(variables)
        rng = np.random.default_rng(3)
        leaves = [a + 0.3 * rng.random(a.shape).astype("float32") for a in leaves]
        variables = jax.tree.unflatten(tree, leaves)
        net = interop.from_flax(ours(eps=1e-5), variables)
        expected, moved = theirs.apply(variables, images(9), mutable=["batch_stats"])
        y, _ = net.forward(first(images(9)))
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
        there = interop.to_flax(net)
        assert jax.tree.structure(there) == jax.tree.structure(dict(variables))
        wanted = jax.tree.leaves(moved["batch_stats"])
        for found, leaf in zip(jax.tree.leaves(there["batch_stats"]), wanted, strict=True):
            np.testing.assert_allclose(found, leaf, rtol=1e-4, atol=1e-5)

    def test_compact_names(self, flax):
        import jax

        class Compact(flax.Module):
            @flax.compact
            def __call__(self, x):
                x = flax.Dense(4)(x)
                x = flax.BatchNorm(use_running_average=True)(x)
                return flax.Dense(2)(flax.relu(x))

        x = images(0, (6, 3))
        variables = Compact().init(jax.random.key(0), x)
        net = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.ReLU(), nn.Dense(4, 2))
        interop.from_flax(net, variables, compact=True)
        expected = Compact().apply(variables, x)
        np.testing.assert_allclose(net.eval().forward(x)[0], expected, rtol=1e-4, atol=1e-5)
