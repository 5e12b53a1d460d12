"""What a Keras file records of training: frozen layers, steps, calls, averages, classes of one's own.

Makes testdata/keras_training/<world>_<name>.{h5,keras,weights.h5}; the world is k3 or k2, by the Keras that runs this.
<world>_average.npz has the averages that the optimizer keeps, by the names of the weights.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np

import paths

L = keras.layers
WORLD = "k3" if keras.__version__.startswith("3") else "k2"
OUT = paths.folder("keras_training")
SHAPE = (5, 5, 3)


def fresh():
    """A model starts with names that count from zero and with set seeds; returns images and targets."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    random = np.random.RandomState(11)
    return random.rand(6, *SHAPE).astype(np.float32), random.rand(6, 2).astype(np.float32)


def base(kind, norm=L.BatchNormalization, **options):
    """A convolution and its batch norm as a model, with what training elsewhere has left in them."""
    if kind == "sequential":
        model = keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3, name="bc"), norm(name="bbn", **options),
                                  L.ReLU(name="br")], name="base")
    else:
        image = keras.Input(SHAPE, name="base_image")
        model = keras.Model(image, norm(name="bbn", **options)(L.Conv2D(4, 3, name="bc")(image)), name="base")
    return model


def pretrain(model):
    """Statistics of another run: the mean is far from 0, no variance is below 1.5."""
    random = np.random.RandomState(5)
    model.get_layer("bbn").set_weights([random.uniform(0.5, 1.5, 4), 0.3 * random.randn(4), 2 + 0.5 * random.randn(4),
                                        random.uniform(1.5, 3, 4)])


def headed(model, **call):
    """`model` under a dense head."""
    image = keras.Input(SHAPE, name="image")
    y = L.GlobalAveragePooling2D(name="pool")(model(image, **call))
    return keras.Model(image, L.Dense(2, name="head")(y), name="net")


def train(model, steps, optimizer=None):
    """A few steps, one batch each."""
    images, targets = fresh_data
    model.compile(optimizer or keras.optimizers.Adam(1e-2), "mse")
    for _ in range(steps):
        model.train_on_batch(images, targets)
    return model


def save(model, name, containers=("h5", "keras", "weights.h5")):
    """The same run in several containers."""
    for container in containers:
        path = str(OUT / f"{WORLD}_{name}.{container}")
        (model.save_weights if container == "weights.h5" else model.save)(path)


@keras.saving.register_keras_serializable(package="Zoo")
class Scaled(L.BatchNormalization):
    """A class of one's own that computes what it inherits."""


@keras.saving.register_keras_serializable(package="Zoo")
class Block(L.Layer):
    """A convolution and a batch norm inside a layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = L.Conv2D(4, 3, use_bias=False, name="conv")
        self.norm = L.BatchNormalization(name="norm")

    def call(self, x, training=None):
        return self.norm(self.conv(x), training=training)


@keras.saving.register_keras_serializable(package="Zoo")
class Stage(L.Layer):
    """Two blocks inside a layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = Block(name="first"), Block(name="second")

    def call(self, x, training=None):
        return self.second(self.first(x, training=training), training=training)


for kind in ("sequential", "functional"):
    fresh_data = fresh()
    model = base(kind)
    pretrain(model)
    model.trainable = False
    save(train(headed(model), 3), f"frozen_{kind}")

    fresh_data = fresh()
    save(train(headed(base(kind), training=True), 100), f"called_in_training_{kind}", ("h5", "keras"))

# fit() of Keras 3 overrides such a call.
if WORLD == "k2":
    fresh_data = fresh()
    model = base("functional")
    pretrain(model)
    save(train(headed(model, training=False), 3), "called_for_inference", ("h5", "keras"))

fresh_data = fresh()
save(train(headed(base("functional")), 3), "few_steps")

# In a program of one's own that never says training=True.
fresh_data = fresh()
import tensorflow as tf  # noqa: E402

model = headed(base("functional"))
model.compile(keras.optimizers.Adam(1e-2), "mse")
for _ in range(5):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(fresh_data[0], training=False) - fresh_data[1]) ** 2)
    weights = model.trainable_variables
    model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
save(model, "never_updated")

fresh_data = fresh()
model = train(headed(base("functional", momentum=0.5)), 20,
              keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.8))
save(model, "average", ("h5", "keras"))
names = [getattr(w, "path", w.name).removesuffix(":0") for w in model.trainable_variables]
np.savez(OUT / f"{WORLD}_average.npz",
         **{name.removeprefix("net/"): np.asarray(average)
            for name, average in zip(names, model.optimizer._model_variables_moving_average)})

fresh_data = fresh()
save(train(headed(base("functional", Scaled, epsilon=0.02, momentum=0.5)), 20), "own_class", ("h5", "keras"))

fresh_data = fresh()
image = keras.Input(SHAPE, name="image")
model = keras.Model(image, L.Dense(2, name="head")(L.GlobalAveragePooling2D(name="pool")(Stage(name="stage")(image))),
                    name="net")
save(train(model, 20), "own_layer")
