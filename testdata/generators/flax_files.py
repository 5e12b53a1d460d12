"""Flax checkpoints, written by flax.serialization: a trained net with batch norm, and the encoding's corners.

Makes testdata/flax/. Run with the packages of requirements-flax.txt.
"""

import shutil

import flax
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training import train_state

import expected
import paths

STEPS = 300


class Net(nn.Module):
    """Convolution, batch norm, ReLU, twice; then a dense layer."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(5, (3, 3), use_bias=False, name="conv_a")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name="bn_a")(x))
        x = nn.Conv(6, (3, 3), strides=2)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(3)(x.mean(axis=(1, 2)))


class TrainState(train_state.TrainState):
    """Flax's train state with the statistics beside the parameters."""
    batch_stats: dict


def batches(seed):
    """Endless images whose channels are far from mean 0 and variance 1."""
    random = np.random.RandomState(seed)
    templates = random.randn(3, 6, 6, 2)
    while True:
        labels = random.randint(3, size=16)
        images = (templates[labels] + 0.5 * random.randn(16, 6, 6, 2)) * [0.5, 3.0] + [-2.0, 4.0]
        yield images.astype(np.float32), labels


def train(steps):
    """A trained state."""
    net = Net()
    source = batches(4)
    variables = net.init(jax.random.PRNGKey(3), next(source)[0], train=True)
    state = TrainState.create(apply_fn=net.apply, params=variables["params"],
                              batch_stats=variables["batch_stats"], tx=optax.adam(3e-3))

    @jax.jit
    def step(state, images, labels):
        def loss(params):
            logits, updates = net.apply({"params": params, "batch_stats": state.batch_stats}, images, train=True,
                                        mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates
        grads, updates = jax.grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads=grads).replace(batch_stats=updates["batch_stats"])

    for _ in range(steps):
        state = step(state, *next(source))
    return net, state


def leaves(tree, path=""):
    """path -> array, as flax.serialization sees the tree."""
    if isinstance(tree, dict):
        return {p: v for key, value in tree.items() for p, v in leaves(value, f"{path}/{key}" if path else key).items()}
    return {} if tree is None else {path: np.asarray(tree)}


def public_name(path):
    """The name without the collection."""
    for collection in ("params/", "batch_stats/"):
        if path.startswith(collection):
            return path[len(collection):]
    return path


def save(path, target):
    """Writes the file, reads it back with Flax and lists what it holds."""
    path.write_bytes(flax.serialization.to_bytes(target))
    restored = leaves(flax.serialization.msgpack_restore(path.read_bytes()))
    given = leaves(flax.serialization.to_state_dict(target))
    assert restored.keys() == given.keys()
    assert all(np.array_equal(restored[p], given[p]) for p in given)
    tensors = [expected.describe(public_name(p), v) for p, v in restored.items()]
    tensors.sort(key=lambda tensor: tensor["name"].encode())
    expected.write(f"{path}.expected.json", f"flax {flax.__version__}, msgpack_restore", tensors)


def main():
    folder = paths.folder("flax")
    shutil.rmtree(folder)
    folder = paths.folder("flax")
    net, state = train(STEPS)
    model = {"params": state.params, "batch_stats": state.batch_stats}
    save(folder / "model.msgpack", model)
    save(folder / "train_state.msgpack", state)
    save(folder / "params_only.msgpack", {"params": state.params})
    initial = net.init(jax.random.PRNGKey(3), next(batches(4))[0], train=True)
    save(folder / "never_updated.msgpack", train(STEPS)[1].replace(batch_stats=initial["batch_stats"]))
    save(folder / "dtypes.msgpack", {
        **{d: jnp.arange(6).reshape(2, 3).astype(d) for d in
           ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "bfloat16", "float32",
            "float8_e4m3fn", "float8_e5m2", "complex64")},
        "float64": np.linspace(-1, 1, 5), "int64": np.array([-2**62, 5]), "complex128": np.array([1 - 2j]),
        "python": {"int": 7, "negative": -70000, "float": 0.25, "true": True, "none": None, "complex": 3 - 4j},
        "numpy": {"float32": np.float32(1.5), "int64": np.int64(-9)},
        "list": [np.zeros((0, 3), np.float32), np.full((), 2.5, np.float32)],
        **{f"many/{i}": np.full(2, i, np.int16) for i in range(20)}})
    flax.serialization.MAX_CHUNK_SIZE = 64
    save(folder / "chunked.msgpack", {"params": {"wide": np.arange(77, dtype=np.float32).reshape(7, 11)}})
    flax.serialization.MAX_CHUNK_SIZE = 2**30
    images, _ = next(batches(9))
    out = net.apply(model, images, train=False)
    np.savez(folder / "model.npz", input=images, output=np.asarray(out))
    print("flax")


if __name__ == "__main__":
    main()
