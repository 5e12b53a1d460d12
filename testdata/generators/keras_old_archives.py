"""Archives (.keras) of Keras 2.13 and 2.14, whose lists of layers have another name and are counted in other ways.

Makes testdata/keras_old/k<version>_net.keras and .weights.h5, .npz and .expected.json; run by each of the two.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np

import expected
import paths

L = keras.layers
SHAPE = (6, 7, 3)


def net():
    """Five layers of one class with weights, two without, in a model and in a model within it."""
    x = keras.Input(SHAPE, name="image")
    y = L.BatchNormalization(epsilon=0.02, name="bn_a")(L.Conv2D(4, (2, 3), use_bias=False, name="conv_a")(x))
    y = L.ReLU(name="relu_a")(y)
    y = L.BatchNormalization(epsilon=0.02, name="bn_b")(L.Conv2D(5, 2, name="conv_b")(y))
    y = L.ReLU(name="relu_b")(y)
    inner = keras.Sequential([keras.Input((4, 4, 5)), L.Conv2D(6, 1, name="conv_c"),
                              L.BatchNormalization(epsilon=0.02, name="bn_c"), L.ReLU(name="relu_c"),
                              L.Conv2D(3, 2, name="conv_d"), L.BatchNormalization(epsilon=0.02, name="bn_d")],
                             name="inner")
    y = L.Flatten(name="flat")(inner(y))
    return keras.Model(x, L.BatchNormalization(epsilon=0.02, name="bn_e")(L.Dense(2, name="head")(y)), name="net")


def main():
    folder = paths.folder("keras_old")
    random = np.random.RandomState(900)
    model = net()
    model.set_weights([random.uniform(0.5, 2, w.shape) if "variance" in v.name else random.randn(*w.shape) * 0.5
                       for v, w in zip(model.weights, model.get_weights())])
    stem = "k" + "".join(keras.__version__.split(".")[:2]) + "_net"
    model.save(folder / f"{stem}.keras")
    model.save_weights(folder / f"{stem}.weights.h5")
    images = random.randn(2, *SHAPE).astype(np.float32)
    np.savez(folder / f"{stem}.npz", input=images, output=model.predict(images, verbose=0))
    tensors = []
    for layer in model.layers:
        below = [(f"inner/{part.name}", part) for part in layer.layers] if layer.name == "inner" else [(layer.name, layer)]
        for name, part in below:
            tensors += [expected.describe(f"{name}/{v.name.split('/')[-1].split(':')[0]}", v.numpy()) for v in part.weights]
    tensors.sort(key=lambda tensor: tensor["name"].encode())
    expected.write(folder / f"{stem}.keras.expected.json", f"keras {keras.__version__}", tensors)


main()
