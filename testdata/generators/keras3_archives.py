"""Archives (.keras) and weights (.weights.h5) in the layout of Keras 3, by Keras 3 and by Keras 2.15.

Makes testdata/keras3/<world>_<name>.keras, .npz and .expected.json; the world is k3 or k2, by the Keras that runs this.
"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import h5py
import keras
import numpy as np
import tensorflow as tf

import expected
import paths

L = keras.layers
KERAS3 = keras.__version__.startswith("3")
WORLD = "k3" if KERAS3 else "k2"
SHAPE = (7, 9, 4)
saving = keras.saving


def bn(name=None, **options):
    """The epsilon is far from any default."""
    return L.BatchNormalization(epsilon=0.02, name=name, **options)


def functional():
    """Two branches; a batch norm whose own name is the group of another, one without gamma, one without beta."""
    x = keras.Input(SHAPE, name="image")
    y = L.Conv2D(6, (3, 5), name="conv_a", use_bias=False)(x)
    y = bn("bn_a")(y)
    y = L.ReLU(name="relu_a")(y)
    y = L.DepthwiseConv2D(3, name="dw", padding="same")(y)
    y = bn("batch_normalization")(y)
    z = L.Conv2D(6, (3, 5), name="conv_b")(x)
    z = bn("bn_b", scale=False)(z)
    s = L.SeparableConv2D(6, (3, 5), use_bias=False, name="sep")(x)
    s = bn("bn_s", center=False)(s)
    y = L.GlobalAveragePooling2D(name="pool")(L.Add(name="add")([y, z, s]))
    return keras.Model(x, L.Dense(5, name="head")(y), name="net")


def sequential():
    """Three blocks in a row and a batch norm at the end."""
    return keras.Sequential([keras.Input(SHAPE), L.Conv2D(6, (3, 5), name="conv"), bn("bn"), L.ReLU(name="relu"),
                             L.Conv2DTranspose(5, 3, use_bias=False, name="up"), bn("bn_up"), L.Flatten(name="flat"),
                             L.Dense(5, name="head"), bn("bn_head")], name="chain")


def nested():
    """A Sequential and a functional model as layers of a functional one; the inner one is called twice."""
    inner = keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3, padding="same", name="ic"), bn("ibn"),
                              L.ReLU(name="ir")], name="inner")
    a = keras.Input((7, 9, 4), name="fin")
    flat = keras.Model(a, bn("gbn")(L.Conv2D(5, 1, name="gc")(a)), name="g")
    x = keras.Input(SHAPE, name="image")
    y = bn("obn")(L.Conv2D(4, 1, name="oc")(inner(inner(x))))
    return keras.Model(x, L.GlobalAveragePooling2D(name="pool")(flat(y)), name="outer")


def reordered():
    """Without its batch norms, the shorter way to the output is another one, and Keras lists the layers anew."""
    x = keras.Input(SHAPE, name="image")
    y = L.Conv2D(6, 3, name="conv_a", padding="same")(x)
    y = bn("bn_a2")(bn("bn_a1")(y))
    z = L.Conv2D(6, 3, name="conv_b", padding="same")(x)
    z = L.ReLU(name="relu_b")(z)
    y = L.Add(name="add")([y, z])
    y = bn("bn_out")(y)  # stays: its input is a sum
    return keras.Model(x, L.GlobalMaxPooling2D(name="pool")(y), name="net")


def many():
    """More layers of one class than a digit counts."""
    layers = [keras.Input((8,))]
    for i in range(12):
        layers += [L.Dense(8, name=f"dense_{11 - i}", use_bias=i % 2 == 0), bn(f"bn_{11 - i}")]
    return keras.Sequential(layers, name="many")


def shared():
    """A convolution that is called twice, each time with a batch norm of its own behind it."""
    x = keras.Input(SHAPE, name="image")
    conv = L.Conv2D(4, 3, padding="same", name="conv")
    y = bn("bn_1")(conv(x))
    y = bn("bn_2")(conv(y))
    y = bn("bn_3")(L.Conv2D(3, 1, name="last")(y))
    return keras.Model(x, y, name="net")


def wrappers():
    """Layers around layers, whose variables stand deeper."""
    x = keras.Input((6, 4), name="steps")
    y = L.TimeDistributed(L.Dense(5, use_bias=False, name="td_dense"), name="td1")(x)
    y = L.TimeDistributed(bn("td_bn"), name="td2")(y)
    y = L.Bidirectional(L.LSTM(3, name="lstm"), name="bi")(y)
    return keras.Model(x, bn("bn")(L.Dense(5, name="head")(y)), name="net")


@saving.register_keras_serializable(package="Zoo")
class Twice(L.Layer):
    """Not a class of Keras."""

    def build(self, shape):
        """One variable."""
        self.factor = self.add_weight(shape=(shape[-1],), name="factor", initializer="ones")

    def call(self, x):
        """Some product."""
        return x * self.factor


def custom():
    """A layer of somebody's class between what folds."""
    x = keras.Input(SHAPE, name="image")
    y = bn("bn_a")(L.Conv2D(6, 3, name="conv_a")(x))
    y = bn("bn_kept")(Twice(name="twice")(y))
    return keras.Model(x, bn("bn_b")(L.Conv2D(3, 1, name="conv_b")(y)), name="net")


@saving.register_keras_serializable(package="Zoo")
class Subclass(keras.Model):
    """A model without a record of its layers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv1 = L.Conv2D(6, 3, name="conv_one")
        self.bn = bn()
        self.blocks = [L.Conv2D(5, 1), L.Conv2D(3, 1)]

    def call(self, x, training=False):
        """In a row."""
        x = self.bn(self.conv1(x), training=training)
        for block in self.blocks:
            x = block(x)
        return x


def subclass():
    """Built by a call."""
    model = Subclass(name="sub")
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def own_variables(layer):
    """In the order of creation, without those of sublayers."""
    if KERAS3:
        return layer._trainable_variables + layer._non_trainable_variables
    return layer._trainable_weights + layer._non_trainable_weights


def named_variables(layer, prefix=""):
    """(name as people say it, variable) of a model, layers of nested models below their model's name."""
    found = []
    for child in layer._flatten_layers(recursive=False, include_self=False):
        scope = f"{prefix}{child.name}/"
        found += [(scope + v.name.split("/")[-1].split(":")[0], v) for v in own_variables(child)]
        found += named_variables(child, scope)
    return found


def as_array(variable):
    """Its value."""
    return np.asarray(tf.convert_to_tensor(variable.value if KERAS3 else variable))


def randomize(model, random):
    """Random weights; gamma with both signs, biases and shifts not zero."""
    values = []
    for weight in model.weights:
        what = weight.name.split("/")[-1].split(":")[0]
        if what == "moving_variance":
            value = random.uniform(0.5, 2, weight.shape)
        elif what in ("gamma", "factor"):
            value = random.uniform(0.4, 1.6, weight.shape) * np.resize([1, -1, 1], weight.shape)
        else:
            value = 0.5 * random.randn(*weight.shape)
        values.append(value)
    model.set_weights(values)


def run(model, images):
    """Inference as an array."""
    return np.asarray(model(images, training=False))


def fresh(seed):
    """Automatic names count from zero, seeds are set."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return np.random.RandomState(seed)


def describe(path, model, h5):
    """What Keras says of the model's variables, and h5py of the file's datasets."""
    tensors = [expected.describe(name, as_array(v)) for name, v in named_variables(model)]
    tensors.sort(key=lambda tensor: tensor["name"].encode())
    datasets = []
    h5.visititems(lambda name, item: datasets.append(expected.describe(name, item[()]))
                  if isinstance(item, h5py.Dataset) else None)
    expected.write(f"{path}.expected.json", f"keras {keras.__version__}", tensors, datasets=datasets)


def open_weights(path):
    """The HDF5 file inside an archive."""
    import io
    import zipfile
    with zipfile.ZipFile(path) as archive:
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")))


def outputs(model, build, shape, random):
    """Inputs, and outputs in float32 and float64."""
    images = random.randn(2, *shape).astype(np.float32)
    keras.backend.set_floatx("float64")
    wide = build()
    wide.set_weights([w.astype(np.float64) for w in model.get_weights()])
    exact = run(wide, images.astype(np.float64))
    keras.backend.set_floatx("float32")
    assert np.allclose(run(model, images), exact, rtol=1e-4, atol=1e-4)
    return {"input": images, "output": run(model, images), "output_f64": exact}


def save(folder, build, seed, shape=SHAPE, prepare=randomize):
    """The archive, its tensors and its outputs."""
    random = fresh(seed)
    model = build()
    prepare(model, random)
    path = folder / f"{WORLD}_{build.__name__}.keras"
    model.save(path)
    arrays = outputs(model, build, shape, random)
    loaded = saving.load_model(path, compile=False)
    assert np.array_equal(run(loaded, arrays["input"]), arrays["output"])
    np.savez(path.with_suffix(".npz"), **arrays)
    describe(path, model, open_weights(path))
    return model


def train(model, random):
    """Ten epochs of Adam, so that the optimizer has its variables."""
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = random.randint(5, size=64)
    images = (random.randn(64, *SHAPE) + labels[:, None, None, None]).astype(np.float32)
    model.fit(images, labels, batch_size=16, epochs=10, verbose=0, shuffle=False)


def trained():
    """A small chain; compiled and fitted by `train`."""
    return keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 3, name="conv"), bn("bn"), L.ReLU(name="relu"),
                             L.GlobalAveragePooling2D(name="pool"), L.Dense(5, name="head")], name="chain")


def save_weights(folder, build, seed, **options):
    """Weights alone."""
    random = fresh(seed)
    model = build()
    randomize(model, random)
    suffix = ".weights.json" if options else ".weights.h5"
    path = folder / f"{WORLD}_{build.__name__}{suffix}"
    model.save_weights(path, **options)
    if options:
        tensors = [expected.describe(name, as_array(v)) for name, v in named_variables(model)]
        tensors.sort(key=lambda tensor: tensor["name"].encode())
        shards = sorted({file for files in json.loads(path.read_text())["weight_map"].values()
                         for file in (files if isinstance(files, list) else [files])})
        expected.write(f"{path}.expected.json", f"keras {keras.__version__}", tensors, shards=shards)
        return
    with h5py.File(path) as file:
        describe(path, model, file)


def main():
    folder = paths.folder("keras3")
    save(folder, functional, 800)
    save(folder, sequential, 801)
    save(folder, nested, 802)
    save(folder, trained, 803, prepare=train)
    save_weights(folder, functional, 810)
    save_weights(folder, subclass, 811)
    if KERAS3:
        save(folder, reordered, 804)
        save(folder, many, 805, shape=(8,))
        save(folder, shared, 806)
        save(folder, wrappers, 807, shape=(6, 4))
        save(folder, custom, 808)
        save(folder, subclass, 809)
        save_weights(folder, sequential, 812)
        save_weights(folder, many, 813, max_shard_size=1e-6)
    print("keras3,", WORLD)


if __name__ == "__main__":
    main()
