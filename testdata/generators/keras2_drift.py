"""A trained network, the same one with statistics whose updates stopped half way, and data.

`drift/good.h5` and `drift/stale.h5` hold the same weights; in training no layer reads its moving statistics, so the second
is what the program would have saved had its updates stopped at that step. `drift/data.npz` holds examples that training did
not see. `drift/expected.json` says for each file and batch norm how far the stored statistics are from the data's, computed
in float64 with tf.nn of TensorFlow, layer after layer: `served`, where the layers before use what the file stores, and
`alone`, where they use the statistics of the data; `skewed` is the good file over data * 1.5 + 30.
"""

import json

import keras2_common
import numpy as np
import paths
import tensorflow as tf

keras = tf.keras
layers = keras.layers

CLASSES, STEPS, STOPPED, BATCH, EXAMPLES = 10, 400, 200, 32, 96
SIZE = 12


def images(random, count, patterns):
    """Patterns moved, scaled and lit at random, with noise: bytes."""
    labels = random.randint(CLASSES, size=count)
    shifts = random.randint(-2, 3, size=(count, 2))
    moved = np.stack([np.roll(patterns[label], shift, (0, 1)) for label, shift in zip(labels, shifts)])
    contrast, light = random.uniform(20, 45, (count, 1, 1, 1)), random.uniform(90, 160, (count, 1, 1, 1))
    noisy = moved * contrast + light + random.randn(*moved.shape) * 12
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8), labels


def smooth_patterns(random):
    coarse = random.randn(CLASSES, SIZE // 3, SIZE // 3, 3)
    return coarse.repeat(3, 1).repeat(3, 2)


def network(momentum=0.9):
    """Plain, residual, strided, depthwise and dense blocks."""
    def norm(x, name):
        return layers.ReLU(name=name + "_relu")(layers.BatchNormalization(momentum=momentum, name=name)(x))

    inputs = keras.Input((SIZE, SIZE, 3), name="images")
    x = layers.Rescaling(1 / 127.5, -1, name="rescale")(inputs)
    x = norm(layers.Conv2D(16, 3, padding="same", name="c1")(x), "b1")
    y = norm(layers.Conv2D(16, 3, padding="same", use_bias=False, name="c2")(x), "b2")
    y = layers.BatchNormalization(momentum=momentum, name="b3")(
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="c3")(y))
    x = layers.ReLU(name="b3_relu")(layers.Add(name="add")([x, y]))
    x = norm(layers.Conv2D(24, 3, strides=2, padding="same", name="c4")(x), "b4")
    x = norm(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="c5")(x), "b5")
    x = norm(layers.Conv2D(24, 1, name="c6")(x), "b6")
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = norm(layers.Conv2D(24, 3, padding="same", name="c7")(x), "b7")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = norm(layers.Dense(24, name="d8")(x), "b8")
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x))


def statistics(model):
    return {layer.name: layer.get_weights()[2:] for layer in model.layers if layer.name in NORMS}


def set_statistics(model, values):
    for name, (mean, variance) in values.items():
        gamma, beta = model.get_layer(name).get_weights()[:2]
        model.get_layer(name).set_weights([gamma, beta, mean, variance])


NORMS = ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"]
EPSILON = 1e-3


def run(model, data, replaced):
    """What each batch norm reads, in float64; with `replaced` the statistics of the data stand in for the stored ones."""
    def weights(name):
        return [w.astype(np.float64) for w in model.get_layer(name).get_weights()]

    read = {}

    def norm(x, name, relu=True):
        x = np.asarray(x)
        gamma, beta, mean, variance = weights(name)
        axes = tuple(range(x.ndim - 1))
        read[name] = x
        if replaced:
            mean, variance = x.mean(axes), x.var(axes)
        y = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
        return np.maximum(y, 0) if relu else y

    def conv(x, name, strides=1):
        kernel, *bias = weights(name)
        return tf.nn.conv2d(tf.constant(x), kernel, strides, "SAME").numpy() + (bias[0] if bias else 0)

    x = norm(conv(data.astype(np.float64) / 127.5 - 1, "c1"), "b1")
    y = norm(conv(norm(conv(x, "c2"), "b2"), "c3"), "b3", relu=False)
    x = np.maximum(x + y, 0)
    x = norm(conv(x, "c4", 2), "b4")
    x = norm(tf.nn.depthwise_conv2d(tf.constant(x), weights("c5")[0], [1, 1, 1, 1], "SAME").numpy(), "b5")
    x = norm(conv(x, "c6"), "b6")
    x = tf.nn.max_pool2d(tf.constant(x), 2, 2, "VALID").numpy()
    x = norm(conv(x, "c7"), "b7").mean((1, 2))
    kernel, bias = weights("d8")
    norm(x @ kernel + bias, "b8")
    return read


def drift(model, data):
    """By layer: the medians over the channels of both distances."""
    result = {}
    for view in ("served", "alone"):
        for name, x in run(model, data, view == "alone").items():
            _, _, mean, variance = [w.astype(np.float64) for w in model.get_layer(name).get_weights()]
            axes = tuple(range(x.ndim - 1))
            shift = np.abs(x.mean(axes) - mean) / np.sqrt(variance + EPSILON)
            spread = np.abs(np.log2((x.var(axes) + EPSILON) / (variance + EPSILON)))
            result.setdefault(name, {})[view] = {
                "mean_shift": float(np.median(shift)), "mean_shift_largest": float(shift.max()),
                "log2_variance": float(np.median(spread)), "log2_variance_largest": float(spread.max())}
    return result


def trained(seed, steps=STEPS, kept=(STOPPED,), momentum=0.9, batch=BATCH):
    """A trained model, the statistics of earlier steps, data that it has not seen, and how often it is right about them."""
    random = keras2_common.fresh(seed)
    patterns = smooth_patterns(random)
    model = network(momentum)
    model.compile(keras.optimizers.legacy.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    earlier = {}
    for step in range(steps):
        if step in kept:
            earlier[step] = statistics(model)
        model.train_on_batch(*images(random, batch, patterns))
    return model, earlier, random, patterns


def accuracy(model, data, labels):
    return float((model.predict(data.astype(np.float32), verbose=0).argmax(1) == labels).mean())


def main():
    folder = paths.folder("drift")
    model, earlier, random, patterns = trained(1)
    data, labels = images(random, EXAMPLES, patterns)
    np.savez_compressed(folder / "data.npz", images=data)
    expected = {"good": drift(model, data), "skewed": drift(model, data * 1.5 + 30)}
    model.save(folder / "good.h5", include_optimizer=False)
    print("accuracy", accuracy(model, data, labels), "skewed", accuracy(model, data * 1.5 + 30, labels))
    set_statistics(model, earlier[STOPPED])
    expected["stale"] = drift(model, data)
    model.save(folder / "stale.h5", include_optimizer=False)
    print("stale", accuracy(model, data, labels))
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
