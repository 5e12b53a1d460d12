"""Averages of Keras' optimizers (use_ema): what ckpt convert --ema writes is what Keras itself predicts with them.

CKPT_BINARY is the program. Every file is made here, by the Keras of this world; its own
finalize_variable_values puts the averages into the model.
"""

import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

layers = keras.layers
MAJOR = int(keras.__version__.split(".")[0])


def functional():
    image = layers.Input((6, 6, 3))
    stem = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, use_bias=False)(image)))
    branch = layers.BatchNormalization(scale=False)(layers.Conv2D(4, 3, padding="same", name="a")(stem))
    pooled = layers.GlobalAveragePooling2D()(layers.Add()([stem, branch]))
    return keras.Model(image, layers.Dense(4, name="head")(layers.Dense(4, name="z")(pooled)))


def nested():
    def tower(name):
        image = layers.Input((6, 6, 3))
        x = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
        return keras.Model(image, layers.GlobalAveragePooling2D()(x), name=name)

    image = layers.Input((6, 6, 3))
    both = layers.Concatenate()([tower("second")(image), tower("first")(image)])
    return keras.Model(image, layers.Dense(4)(both))


def wrapped():
    film = layers.Input((5, 6, 6, 3))
    x = layers.TimeDistributed(layers.Conv2D(4, 3))(film)
    x = layers.TimeDistributed(layers.BatchNormalization())(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    x = layers.BatchNormalization()(layers.Bidirectional(layers.LSTM(3))(x))
    return keras.Model(film, layers.Dense(4)(x))


@keras.saving.register_keras_serializable("averages")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.z = layers.Conv2D(4, 3)
        self.bn = layers.BatchNormalization()
        self.blocks = [layers.Dense(4), layers.Dense(4)]
        self.pool = layers.GlobalAveragePooling2D()

    def call(self, x, training=None):
        x = self.pool(self.bn(self.z(x), training=training))
        for block in self.blocks:
            x = block(x)
        return x


def attention():
    words = layers.Input((5, 4))
    x = layers.MultiHeadAttention(2, 2)(words, words)
    x = layers.BatchNormalization()(layers.Conv1D(4, 3)(x))
    return keras.Model(words, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


NETS = {"functional": functional, "nested": nested, "wrapped": wrapped, "subclassed": Subclassed, "attention": attention}
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9),
    "sgd": lambda: keras.optimizers.SGD(0.02, momentum=0.5, use_ema=True, ema_momentum=0.9),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.02, momentum=0.5, use_ema=True, ema_momentum=0.9),
}


def shape(net):
    return {"wrapped": (8, 5, 6, 6, 3), "attention": (8, 5, 4)}.get(net, (8, 6, 6, 3))


def trained(net, optimizer):
    keras.utils.set_random_seed(5)
    model, values = NETS[net](), np.random.default_rng(1)
    model.compile(optimizer, "mse")
    for _ in range(5):
        model.train_on_batch(values.normal(size=shape(net)).astype("f4"), values.normal(size=(8, 4)).astype("f4"))
    return model


def ckpt(*arguments, code=0):
    done = subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def save(model, path):
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def load(path, net, probe):
    if not path.name.endswith(".weights.h5"):
        return keras.models.load_model(path, compile=False)
    model = NETS[net]()
    model.predict(probe, verbose=0)  # builds it
    model.load_weights(path)
    return model


# SGD and RMSprop have as many slots with averages as with other options; only a name or a config tells.
def is_told(optimizer, container, net):
    if container != "weights.h5" and not (container == "keras" and net == "subclassed"):
        return True
    return optimizer == "adam" or (optimizer == "sgd" and MAJOR >= 3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
def test_the_model_of_the_averages_is_written(net, optimizer, tmp_path):
    model = trained(net, OPTIMIZERS[optimizer]())
    # Keras writes no whole model of a subclass as HDF5.
    containers = ["keras", "weights.h5"] + (["h5"] if net != "subclassed" else [])
    sources = {container: save(model, tmp_path / f"m.{container}") for container in containers}
    probe = np.random.default_rng(2).normal(size=shape(net)).astype("f4")
    raw = model.predict(probe, verbose=0)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    averaged = model.predict(probe, verbose=0)
    assert np.abs(averaged - raw).max() > 1e-3
    for container, source in sources.items():
        target = tmp_path / f"averages.{container}"
        if not is_told(optimizer, container, net):
            told = ckpt("convert", "--ema", source, target, code=3)
            assert "use_ema" in told and not target.exists()
            continue
        ckpt("convert", "--ema", source, target)
        assert np.abs(load(target, net, probe).predict(probe, verbose=0) - averaged).max() < 1e-6, container


def test_slots_are_no_averages(tmp_path):
    model = trained("functional", keras.optimizers.Adam(0.02))
    for container in "keras", "h5", "weights.h5":
        source = save(model, tmp_path / f"m.{container}")
        told = ckpt("convert", "--ema", source, tmp_path / f"averages.{container}", code=3)
        assert "no moving averages" in told


# The order of the two decides which average is whose, and the file does not say it.
def test_layers_of_equal_shapes_in_an_order_that_is_not_known_get_no_averages(tmp_path):
    image = layers.Input((6, 6, 4))
    x = layers.Conv2DTranspose(4, 3, name="up")(layers.Conv2D(4, 3, name="down")(image))
    model = keras.Model(image, layers.BatchNormalization()(x))
    model.compile(keras.optimizers.Adam(0.02, use_ema=True), "mse")
    model.train_on_batch(np.ones((2, 6, 6, 4)), np.ones((2, 6, 6, 4)))
    source = save(model, tmp_path / "m.weights.h5")
    ckpt("convert", "--ema", source, tmp_path / "averages.weights.h5", code=3)
    assert not (tmp_path / "averages.weights.h5").exists()


def test_weights_alone_do_not_tell_the_averages_where_layers_are_frozen(tmp_path):
    model = NETS["functional"]()
    next(layer for layer in model.layers if layer.weights).trainable = False
    model.compile(keras.optimizers.Adam(0.02, use_ema=True), "mse")
    model.train_on_batch(np.ones((2, *shape("functional")[1:])), np.ones((2, 4)))
    source = save(model, tmp_path / "m.weights.h5")
    told = ckpt("convert", "--ema", source, tmp_path / "averages.weights.h5", code=3)
    assert "cannot be told" in told and "frozen" in told and not (tmp_path / "averages.weights.h5").exists()
