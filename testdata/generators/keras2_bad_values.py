"""One small trained Keras 2 net, and copies of it whose batch-norm values are spoiled.

Makes testdata/bad_values/<case>.h5.  Some keep the optimizer's slots (WITH_OPTIMIZER), so that "trained, yet never
updated" is provable there; looks_never_updated.h5 is the same without.  The spoiling is done on the arrays; nothing
else about the net changes.
bad_values_flat.py makes npz and safetensors files of the same weights.
"""

import keras2_common as common  # first: it sets what TensorFlow reads at its import
from keras2_common import keras

import h5py
import numpy as np

import expected
import paths

L = keras.layers
LAYERS = ("bn1", "bn2")
MEAN, VARIANCE = "moving_mean", "moving_variance"


def network():
    """Two dense-BN-ReLU blocks and a head; epsilon 1e-5."""
    x = features = keras.Input((4,), name="features")
    for index, units in enumerate((5, 7), start=1):
        x = L.Dense(units, use_bias=False, name=f"dense{index}")(x)
        x = L.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"bn{index}")(x)
        x = L.ReLU(name=f"relu{index}")(x)
    return keras.Model(features, L.Dense(3, name="head")(x), name="net")


def train():
    """The net after 160 steps of SGD with momentum, its statistics collected by training."""
    random = common.fresh(20)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    labels = random.randint(3, size=128)
    features = (random.randn(128, 4) * [1, 2, 0.5, 3] + labels[:, None] + [2, -1, 4, 0]).astype(np.float32)
    model.fit(features, labels, batch_size=32, epochs=40, verbose=0)
    return model


def one(layer, what, channel, value):
    """A single value replaced."""
    def spoil(arrays):
        arrays[layer, what][channel] = value
    return spoil


def never_updated(*layers):
    """The statistics of some layers as they were initialized."""
    def spoil(arrays):
        for layer in layers:
            arrays[layer, MEAN][:] = 0
            arrays[layer, VARIANCE][:] = 1
    return spoil


def absorbed(arrays):
    """Statistics folded into gamma and beta, as converters do; then mean 0 and variance 1 are right.

    Before that, gamma is spread over signs and sizes, as long training may leave it.
    """
    for layer in LAYERS:
        scale = arrays[layer, "gamma"] * np.resize([3, -1, 0.1, -7], arrays[layer, "gamma"].shape)
        scale /= np.sqrt(arrays[layer, VARIANCE] + 1e-5)
        arrays[layer, "beta"] -= scale * arrays[layer, MEAN]
        arrays[layer, "gamma"][:] = scale * np.sqrt(1 + 1e-5)
    never_updated(*LAYERS)(arrays)


def swapped(arrays):
    """Mean and variance under each other's name."""
    for layer in LAYERS:
        mean = arrays[layer, MEAN].copy()
        arrays[layer, MEAN][:] = arrays[layer, VARIANCE]
        arrays[layer, VARIANCE][:] = mean


def zero_variance(arrays):
    """Two dead channels: variance 0."""
    arrays["bn2", VARIANCE][[1, 4]] = 0


def huge(arrays):
    """A variance beyond float16; sound in float32."""
    arrays["bn2", VARIANCE][2] = 146335
    arrays["bn2", MEAN][2] = -70000


CASES = {
    "good": lambda arrays: None,
    "nan_variance": one("bn2", VARIANCE, 3, np.nan),
    "inf_mean": one("bn2", MEAN, 0, np.inf),
    "negative_variance_tiny": one("bn2", VARIANCE, 5, -9.99989e-06),
    "negative_variance": one("bn2", VARIANCE, 5, -0.5),
    "zero_variance": zero_variance,
    "denormal_variance": one("bn2", VARIANCE, 1, 5.6e-45),
    "never_updated": never_updated(*LAYERS),
    "looks_never_updated": never_updated(*LAYERS),
    "never_updated_some_layers": never_updated("bn1"),
    "absorbed": absorbed,
    "swapped": swapped,
    "huge_variance": huge,
}
WITH_OPTIMIZER = ("good", "never_updated", "never_updated_some_layers")


def read_arrays(model):
    """The weights by (layer, kind), as copies."""
    return {(layer.name, common.kind(w)): v.copy() for layer in model.layers
            for w, v in zip(layer.weights, layer.get_weights())}


def write_case(folder, case, model, good):
    """The trained net as Keras saves it, with the datasets of the weights overwritten."""
    arrays = {key: value.copy() for key, value in good.items()}
    CASES[case](arrays)
    path = folder / f"{case}.h5"
    model.save(path, save_format="h5", include_optimizer=case in WITH_OPTIMIZER)
    with h5py.File(path, "r+") as file:
        for (layer, what), value in arrays.items():
            file[f"model_weights/{layer}/{layer}/{what}:0"][()] = value
    loaded = keras.models.load_model(path, compile=False)
    for key, value in read_arrays(loaded).items():
        assert np.array_equal(value, arrays[key], equal_nan=True)
    expected.from_h5(path)


def main():
    folder = paths.folder("bad_values")
    model = train()
    good = read_arrays(model)
    assert all(np.any(good[layer, MEAN]) for layer in LAYERS)
    for case in CASES:
        write_case(folder, case, model, good)
    print("bad_values")


if __name__ == "__main__":
    main()
