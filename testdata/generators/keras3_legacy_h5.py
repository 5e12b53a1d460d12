"""Legacy HDF5 files as Keras 3 writes them: other weight names, other forms of the config.

Makes testdata/keras_h5/keras3_<name>.h5 and .npz, functional, sequential and nested, and one trained.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np

import expected
import paths

L = keras.layers
SHAPE = (7, 9, 4)


def conv_bn(prefix=""):
    """conv-BN-ReLU; the epsilon is far from any default."""
    return [L.Conv2D(6, (3, 5), name=f"{prefix}conv"), L.BatchNormalization(epsilon=0.02, name=f"{prefix}bn"),
            L.ReLU(name=f"{prefix}relu")]


def functional():
    """Two branches of convolution and batch norm, one without gamma, added and pooled."""
    x = keras.Input(SHAPE, name="image")
    y = x
    for layer in conv_bn():
        y = layer(y)
    z = L.Conv2D(6, (3, 5), use_bias=False, name="conv_b")(x)
    z = L.BatchNormalization(epsilon=0.02, scale=False, name="bn_b")(z)
    return keras.Model(x, L.Dense(5, name="head")(L.GlobalAveragePooling2D(name="pool")(L.Add(name="add")([y, z]))))


def sequential():
    """A Sequential model: its weight names begin with the model's name."""
    return keras.Sequential([keras.Input(SHAPE), *conv_bn(), L.GlobalAveragePooling2D(name="pool"),
                             L.Dense(5, name="head")])


def nested():
    """A Sequential model as a layer of a functional one."""
    inner = keras.Sequential([keras.Input(SHAPE), *conv_bn("inner_")], name="inner")
    x = keras.Input(SHAPE, name="image")
    return keras.Model(x, L.BatchNormalization(epsilon=0.02, name="bn")(L.Conv2D(5, 1, name="conv")(inner(x))))


def randomize(model, random):
    """Random weights; gamma with both signs, biases and shifts not zero."""
    for weight in model.weights:
        if weight.name == "moving_variance":
            value = random.uniform(0.5, 2, weight.shape)
        elif weight.name == "gamma":
            value = random.uniform(0.4, 1.6, weight.shape) * np.resize([1, -1, 1], weight.shape)
        else:
            value = 0.5 * random.randn(*weight.shape)
        weight.assign(value)


def train(model, random):
    """600 steps of Adam, so that optimizer weights and training_config exist."""
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = random.randint(5, size=64)
    images = random.randn(64, *SHAPE) + labels[:, None, None, None]
    model.fit(images, labels, batch_size=16, epochs=150, verbose=0, shuffle=False)


def run(model, images):
    """Inference as an array."""
    return keras.ops.convert_to_numpy(model(images, training=False))


def save(folder, name, build, prepare, seed):
    """The model, its tensors, and its outputs in float32 and float64."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    random = np.random.RandomState(seed)
    model = build()
    prepare(model, random)
    path = folder / f"keras3_{name}.h5"
    model.save(path)
    images = random.randn(2, *SHAPE).astype(np.float32)
    loaded = keras.saving.load_model(path, compile=False)
    assert np.array_equal(run(model, images), run(loaded, images))
    keras.config.set_floatx("float64")
    wide = build()
    wide.set_weights([w.astype(np.float64) for w in model.get_weights()])
    exact = run(wide, images.astype(np.float64))
    keras.config.set_floatx("float32")
    assert np.allclose(run(model, images), exact, rtol=1e-4, atol=1e-4)
    np.savez(path.with_suffix(".npz"), input=images, output=run(model, images), output_batch1=run(model, images[:1]),
             output_f64=exact)
    expected.from_h5(path)


def main():
    folder = paths.folder("keras_h5")
    for seed, build in enumerate((functional, sequential, nested), start=700):
        save(folder, build.__name__, build, randomize, seed)
    save(folder, "trained_sequential", sequential, train, 710)
    print("keras_h5, Keras 3")


if __name__ == "__main__":
    main()
