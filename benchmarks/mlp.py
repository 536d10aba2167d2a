"""How fast the course's network trains, beside PyTorch and JAX on the same CPU.

784-100-100-100-10, sigmoid, batch norm before it, batches of 60, float32, plain SGD: the network
of the chapter "Two nets, one curve". A step takes a batch, goes forward and back, changes the
parameters and reads the loss. All train in one process, in turn, so that whatever else the machine
does hits all alike. A process has one number of threads, so each number runs in its own.

    python benchmarks/mlp.py                     # 1 and 2 threads, prints a table
    python benchmarks/mlp.py --record            # and writes benchmarks/results/mlp.json

Needs the extra 'peers'; JAX is measured if it is installed.
"""

import sys
from importlib.util import find_spec

import numpy as np
from conv_net import main, quartiles

SIZES, RATE, BATCH, STEPS = (784, 100, 100, 100, 10), 0.1, 60, 20


def examples():
    """Images, their labels, and 100 batches of indices."""
    rng = np.random.default_rng(0)
    x = rng.random((6000, SIZES[0]), dtype=np.float32)
    return x, rng.integers(10, size=6000), rng.integers(6000, size=(100, BATCH))


def ours(norm):
    """``steps(n)`` of ours, which returns the last loss, and the weights it starts from."""
    from bncourse.experiments.two_nets import Config, network
    from bncourse.optim import SGD
    from bncourse.training import Step

    x, labels, batches = examples()
    net = network(Config(norm=norm, std=0.1, lr=RATE), SIZES[0])
    step = Step(net, SGD(net, RATE))
    weights = [layer.w.copy() for layer in net.layers if "w" in layer.parameter_names]

    def steps(n):
        for i in range(n):
            chosen = batches[i]
            loss = step(x.take(chosen, axis=0), labels.take(chosen))
        return loss

    return steps, weights


def in_torch(norm, weights):
    """The same in PyTorch, eager, from the same weights."""
    import torch

    x, labels, batches = map(torch.from_numpy, examples())
    layers = []
    for i, w in enumerate(weights):
        last = i == len(weights) - 1
        dense = torch.nn.Linear(*w.shape, bias=last or not norm)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(w.T))
            if dense.bias is not None:
                dense.bias.zero_()
        layers.append(dense)
        if not last:
            layers += [torch.nn.BatchNorm1d(w.shape[1])] * norm + [torch.nn.Sigmoid()]
    net, loss_of = torch.nn.Sequential(*layers), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)

    def steps(n):
        for i in range(n):
            chosen = batches[i]
            optimizer.zero_grad()
            loss = loss_of(net(x[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            value = loss.item()
        return value

    return steps


def in_jax(norm, weights):
    """The same in JAX: one compiled function a step, whose arguments it may overwrite."""
    import jax
    import jax.numpy as jnp

    x, labels, batches = examples()
    hidden = [np.ones(w.shape[1], np.float32) for w in weights[:-1]]
    zeros = [np.zeros(w.shape[1], np.float32) for w in weights]
    learned = {"w": weights, "b": zeros if not norm else zeros[-1:]}
    if norm:
        learned |= {"gamma": hidden, "beta": zeros[:-1]}
    learned = jax.tree.map(jnp.asarray, learned)
    running = jax.tree.map(jnp.asarray, [(zeros[i], hidden[i]) for i in range(3)] if norm else [])

    def loss_of(learned, running, x, labels):
        moved = []
        for i in range(3):
            x = x @ learned["w"][i]
            if not norm:
                x = jax.nn.sigmoid(x + learned["b"][i])
                continue
            mean, var = x.mean(0), x.var(0)
            n = x.shape[0]
            old_mean, old_var = running[i]
            moved.append((0.9 * old_mean + 0.1 * mean, 0.9 * old_var + 0.1 * var * n / (n - 1)))
            x = (x - mean) * jax.lax.rsqrt(var + 1e-5) * learned["gamma"][i] + learned["beta"][i]
            x = jax.nn.sigmoid(x)
        scores = jax.nn.log_softmax(x @ learned["w"][3] + learned["b"][-1])
        return -jnp.take_along_axis(scores, labels[:, None], 1).mean(), moved

    def step(learned, running, x, labels):
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, running), grads = value_and_grad(learned, running, x, labels)
        return jax.tree.map(lambda p, g: p - RATE * g, learned, grads), running, loss

    step = jax.jit(step, donate_argnums=(0, 1))

    def steps(n):
        nonlocal learned, running
        for i in range(n):
            chosen = batches[i]
            learned, running, loss = step(
                learned, running, x.take(chosen, axis=0), labels.take(chosen)
            )
            value = float(loss)
        return value

    return steps


def measure(threads, rounds):
    """One process's part of the result."""
    import torch

    from bncourse.bench.rounds import measure as in_turn

    torch.set_num_threads(threads)
    result = {}
    for name, norm in (("plain", False), ("batch norm", True)):
        mine, weights = ours(norm)
        contenders = {"ours": mine, "torch": in_torch(norm, weights)}
        if find_spec("jax") is not None:
            contenders["jax"] = in_jax(norm, weights)
        losses = {who: round(steps(STEPS), 3) for who, steps in contenders.items()}
        if np.ptp(list(losses.values())) > 0.01:
            sys.exit(f"{name}: the losses differ, so this is not the same work: {losses}")
        calls = {who: lambda steps=steps: steps(STEPS) for who, steps in contenders.items()}
        times = {who: 1e3 * t / STEPS for who, t in in_turn(calls, rounds).items()}
        result[name] = {
            who: {"ms": quartiles(t), "ratio": quartiles(t / times["ours"])}
            for who, t in times.items()
        }
    return result


def show(result):
    """The table: ratios first; above 1, ours is faster."""
    where = result["machine"]
    print(f"{where['cpu']}, {where['cores']} cores, load {where['load_before']}, {where['date']}")
    print("time of a step, divided by ours (above 1 ours is faster): median and quartiles")
    for threads, found in result["threads"].items():
        for name, row in found.items():
            for who, cell in row.items():
                low, middle, high = cell["ratio"]
                print(
                    f"  {threads} thread(s)  {name:10s}  {who:6s} {cell['ms'][1]:6.3f} ms"
                    f"  {middle:5.2f}  ({low:.2f} to {high:.2f})"
                )


if __name__ == "__main__":
    main(__file__, __doc__, "training step of a dense network with batch norm", 40, measure, show)
