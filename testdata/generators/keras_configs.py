"""Configs of Keras models, with what Keras itself says of the layers.

Run by both interpreters: makes testdata/keras_configs/keras2_<name>.json or keras3_<name>.json. Each has

    keras_version, model_config   the attributes of the legacy HDF5 file
    layers                        one for each layer of the whole model that is no model itself, nested ones by path:
                                  path, class, weights (last part of the name -> shape), trainable, epsilon, momentum,
                                  calls: for each call the rank of the output and the layers that it reads from
    order                         names of model.layers
    order_without_bn              the same of a twin that was built without batch norm

Calls inside nested models are those of one call of the model.
"""

import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import h5py
import tensorflow as tf

import paths

keras = tf.keras
L = keras.layers
GENERATION = "keras3" if tf.version.VERSION >= "2.16" else "keras2"


class Builder:
    """Makes layers; without batch norm, those leave their input as it is."""

    def __init__(self, with_bn):
        self.with_bn = with_bn

    def bn(self, name, **options):
        layer = L.BatchNormalization(name=name, epsilon=0.02, **options)
        return layer if self.with_bn else lambda x: x

    def chain(self, x, *layers):
        for layer in layers:
            x = layer(x)
        return x


def branches(b):
    """Branches whose depths differ by their batch norms alone, joined in several places."""
    x = keras.Input((8, 8, 3), name="image")
    one = b.chain(x, L.Conv2D(4, 3, padding="same", name="one_a"), b.bn("one_bn_a"), b.bn("one_bn_b"), L.ReLU(name="one"))
    two = b.chain(x, L.Conv2D(4, 3, padding="same", name="two_a"), L.Conv2D(4, 1, name="two_b"))
    three = b.chain(two, L.DepthwiseConv2D(3, padding="same", name="three_a"), b.bn("three_bn"))
    added = L.Add(name="add")([three, one, two])
    side = b.chain(one, b.bn("side_bn"), L.Conv2D(2, 1, name="side"), b.bn("side_bn_2"))
    joined = L.Concatenate(name="concat")([side, added, b.chain(two, b.bn("late_bn"))])
    return keras.Model(x, [L.Conv2D(3, 1, name="head")(joined), L.GlobalAveragePooling2D(name="pool")(side)], name="net")


def shared(b):
    """Layers called several times, on one another's outputs."""
    x, y = keras.Input((6,), name="x"), keras.Input((6,), name="y")
    dense, bn, other = L.Dense(6, name="dense"), b.bn("bn"), L.Dense(6, name="other")
    first = bn(dense(x))
    second = bn(dense(first))
    third = L.Subtract(name="subtract")([other(second), other(bn(dense(y)))])
    return keras.Model([x, y], {"b": third, "a": second}, name="net")


def nested(b):
    """A functional model in a Sequential in a functional model; one called twice."""
    inner_in = keras.Input((8, 8, 4), name="inner_in")
    y = b.chain(inner_in, L.Conv2D(5, 3, padding="same", name="conv"), b.bn("bn"), L.ReLU(6.0, name="relu6"))
    inner = keras.Model(inner_in, L.Conv2D(4, 1, name="conv2")(y), name="inner")
    block = [keras.Input((8, 8, 4)), inner, L.BatchNormalization(name="block_bn", trainable=False)] if b.with_bn else \
        [keras.Input((8, 8, 4)), inner]
    block = keras.Sequential(block + [L.SeparableConv2D(4, 3, padding="same", name="separable")], name="block")
    x = keras.Input((8, 8, 4), name="image")
    z = block(block(x))
    z = b.chain(z, b.bn("outer_bn"), L.Flatten(name="flatten"), L.Dense(3, activation="softmax", name="head"))
    return keras.Model(x, z, name="net")


def two_ended(b):
    """A nested model with two inputs and two outputs."""
    p, q = keras.Input((4,), name="p"), keras.Input((5,), name="q")
    sums = b.chain(L.Concatenate(name="concat")([q, p]), L.Dense(6, name="inner_dense"), b.bn("inner_bn"))
    inner = keras.Model([p, q], [sums, L.Dense(2, name="side")(p)], name="inner")
    x, y = keras.Input((4,), name="x"), keras.Input((5,), name="y")
    one, two = inner([x, y])
    return keras.Model([x, y], [L.Dense(3, name="head")(two), b.bn("bn")(one)], name="net")


def odd_calls(b):
    """What must not be taken for its usual meaning: training=True, tensors by keyword, operators."""
    x = keras.Input((8, 6), name="x")
    y = L.Dense(6, name="dense")(x)
    y = L.BatchNormalization(name="bn_training")(y, training=True)
    y = L.Dropout(0.5, name="dropout_training")(y, training=True)
    y = L.Dropout(0.5, name="dropout")(y, training=False)
    y = L.MultiHeadAttention(2, 3, name="attention")(y, value=x)
    y = y * 2.0 + x
    y = L.TimeDistributed(L.Dense(5), name="steps")(y)
    y = L.TimeDistributed(L.BatchNormalization(), name="steps_bn")(y)
    y = L.Bidirectional(L.LSTM(2, return_sequences=True), name="both_ways")(y)
    return keras.Model(x, L.Reshape((4, 8), name="reshape")(y), name="net")


def is_model(layer):
    return isinstance(layer, keras.Model)


def own_nodes(model, layer):
    """The calls of `layer` that belong to `model`."""
    if GENERATION == "keras3":
        keys = model._functional._nodes if isinstance(model, keras.Sequential) else model._nodes
        return [n for i, n in enumerate(layer._inbound_nodes) if f"{id(layer)}_ib-{i}" in keys]
    return [n for i, n in enumerate(layer._inbound_nodes) if f"{layer.name}_ib-{i}" in model._network_nodes]


def describe_call(node):
    outputs = node.output_tensors if GENERATION == "keras3" else node.outputs
    output = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
    sources = [(p.operation if GENERATION == "keras3" else p.layer).name for p in node.parent_nodes]
    return {"rank": len(output.shape), "reads": sources}


def describe(model, prefix=""):
    """The layers of a model, those of nested models in their place."""
    rows = []
    for layer in model.layers:
        path = prefix + layer.name
        if is_model(layer):
            rows += describe(layer, path + "/")
            continue
        if prefix and isinstance(layer, L.InputLayer):
            continue
        weights = {w.name.split("/")[-1].split(":")[0]: list(w.shape) for w in layer.weights}
        row = {"path": path, "class": type(layer).__name__, "weights": weights, "trainable": layer.trainable,
               "calls": [describe_call(node) for node in own_nodes(model, layer)]}
        if isinstance(layer, L.BatchNormalization):
            row.update(epsilon=layer.epsilon, momentum=layer.momentum)
        rows.append(row)
    return rows


def attributes(model):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.h5"
        model.save(path)
        with h5py.File(path) as file:
            return {key: file.attrs[key] for key in ("keras_version", "model_config")}


def main():
    folder = paths.folder("keras_configs")
    for build in (branches, shared, nested, two_ended, odd_calls):
        keras.backend.clear_session()
        model = build(Builder(True))
        record = attributes(model)
        record.update(layers=describe(model), order=[layer.name for layer in model.layers])
        keras.backend.clear_session()
        record["order_without_bn"] = [layer.name for layer in build(Builder(False)).layers]
        (folder / f"{GENERATION}_{build.__name__}.json").write_text(json.dumps(record, indent=1) + "\n")
        print("keras_configs", build.__name__)


if __name__ == "__main__":
    main()
