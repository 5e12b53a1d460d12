"""Keras models of layers beside the convolutional ones, and what Keras computes with them.

Makes testdata/keras_networks/NAME.{h5,keras} with random weights and NAME.npz with inputs ("in_...") and outputs ("out_...",
by the names that `ckpt` gives the outputs: the layer's, ":1" behind it for its second one). All in float64. Run by Keras 2.15
and by Keras 3: k2_... and k3_...; Keras 2.15 also makes k1_layers.h5, a file as Keras 1.2 writes it on TensorFlow: what its
layers compute is what the TensorFlow operations do that it calls (keras/backend/tensorflow_backend.py of 1.2.2).
"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow import keras

import paths

layers = keras.layers
KERAS3 = tf.__version__ >= "2.16"
FOLDER = paths.folder("keras_networks")
ops = keras.ops if KERAS3 else None


def sequences():
    return keras.Input((5, 4), name="x"), keras.Input((7, 4), name="y")


def recurrent():
    x, y = sequences()
    encoded = layers.LSTM(3, return_state=True, name="encoder")(x)
    decoded = layers.LSTM(3, return_sequences=True, activation="relu", name="decoder")(y, initial_state=encoded[1:])
    gru = layers.GRU(4, return_sequences=True, go_backwards=True, name="gru")(x)
    before = layers.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid", name="before")(gru)
    simple, state = layers.SimpleRNN(2, return_sequences=True, return_state=True, use_bias=False, name="simple")(decoded)
    return [x, y], [decoded, encoded[2], before, simple, state, layers.Dense(2, name="head")(before)]


def bidirectional():
    x, y = sequences()
    outputs = []
    for mode in ("concat", "sum", "mul", "ave"):
        layer = layers.LSTM(3, return_sequences=True) if mode != "mul" else layers.SimpleRNN(2)
        outputs.append(layers.Bidirectional(layer, merge_mode=mode, name=mode)(x))
    states = layers.Bidirectional(layers.GRU(3, return_state=True), name="states")(y)
    both = layers.Bidirectional(layers.GRU(2, return_sequences=True), backward_layer=layers.GRU(
        2, return_sequences=True, go_backwards=True, activation="relu"), name="both")(y)
    return [x, y], outputs + list(states) + [both]


def attention():
    x, y = sequences()
    heads = layers.MultiHeadAttention(2, 3, name="heads")(x, y)
    scored, scores = layers.MultiHeadAttention(2, 3, value_dim=5, use_bias=False, name="scored")(
        heads, x, return_attention_scores=True)
    causal = layers.MultiHeadAttention(1, 2, name="causal")(y, y, use_causal_mask=True)
    dot = layers.Attention(use_scale=True, name="luong")([x, y])
    concat = layers.Attention(use_scale=True, score_mode="concat", name="concat")([x, y, y])
    additive = layers.AdditiveAttention(name="additive")([y, x])
    plain, weights = layers.AdditiveAttention(use_scale=False, name="plain")([x, y], return_attention_scores=True)
    return [x, y], [scored, scores, causal, dot, concat, additive, plain, weights]


def products():
    x, y = sequences()
    images = keras.Input((8, 9, 3), name="images")
    flat_x, flat_y = layers.Flatten()(x), layers.Flatten()(layers.Cropping1D(1)(y))
    return [x, y, images], [
        layers.Dot(axes=(2, 2), name="dot")([x, y]),
        layers.Dot(axes=2, normalize=True, name="cosine")([x, y]),
        layers.Dot(axes=1, name="flat")([flat_x, flat_y]),
        layers.UnitNormalization(name="unit")(x),
        layers.UnitNormalization(axis=(1, 2), name="units")(x),
        layers.Resizing(5, 12, name="bilinear")(images),
        layers.Resizing(5, 12, interpolation="nearest", name="nearest")(images),
    ]


def steps():
    films = keras.Input((3, 6, 5, 2), name="films")
    each = layers.TimeDistributed
    x = each(layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"), name="conv_each")(films)
    pooled = each(layers.MaxPooling2D(2), name="pool_each")(x)
    normal = each(layers.LayerNormalization(name="norm"), name="norm_each")(pooled)
    flat = each(layers.Flatten(), name="flat_each")(normal)
    batch = each(layers.BatchNormalization(name="batch"), name="batch_each")(x)
    inner = each(layers.GRU(3, name="gru"), name="gru_each")(each(layers.Reshape((6, 4)), name="shape_each")(flat))
    return [films], [x, pooled, flat, batch, inner, layers.LSTM(2, name="lstm")(flat),
                     each(layers.Dense(3, activation="softmax", name="dense"), name="dense_each")(flat)]


def functions_of_tensorflow():
    x, y = sequences()
    mean = tf.reduce_mean(x, axis=1, keepdims=True)
    z = tf.reshape(mean, (-1, 4))
    z = tf.concat([z, tf.nn.relu(z) * 2 + 1], axis=1)
    first, second = tf.split(z, 2, axis=1)
    z = tf.nn.softmax(first) - tf.math.sigmoid(second)
    z = tf.pow(z, 2.0) / 3.0 + 1.0 / (tf.square(z) + 1.0)
    z = tf.squeeze(tf.expand_dims(z, 0), 0)
    z = tf.clip_by_value(-z, -1.5, 0.5)
    scores = tf.matmul(x[:, 1:, :], y[:, :3], transpose_b=True)
    last = tf.transpose(x, [0, 2, 1])[:, :, -1]
    return [x, y], [layers.Dense(2, name="head")(z), scores, tf.keras.activations.gelu(last), tf.exp(tf.reduce_max(y, axis=[1, 2])),
                    tf.stack([last, tf.abs(last)], axis=1), tf.nn.leaky_relu(last, alpha=0.3), tf.nn.swish(last)]


def functions_of_keras():
    x, y = sequences()
    mean = ops.mean(x, axis=1, keepdims=True)
    z = ops.reshape(mean, (-1, 4))
    z = ops.concatenate([z, ops.relu(z) * 2 + 1], axis=1)
    first, second = ops.split(z, 2, axis=1)
    z = ops.softmax(first, axis=-1) - ops.sigmoid(second)
    z = ops.power(z, 2.0) / 3.0 + 1.0 / (ops.square(z) + 1.0)
    z = ops.squeeze(ops.expand_dims(z, 0), 0)
    z = ops.clip(-z, -1.5, 0.5)
    scores = ops.matmul(x[:, 1:, :], ops.transpose(y[:, :3], (0, 2, 1)))
    last = ops.transpose(x, (0, 2, 1))[:, :, -1]
    return [x, y], [layers.Dense(2, name="head")(z), scores, ops.gelu(last), ops.exp(ops.max(y, axis=(1, 2))),
                    ops.stack([last, ops.absolute(last)], axis=1), ops.leaky_relu(last, negative_slope=0.3), ops.silu(last),
                    ops.einsum("bij,bkj->bik", x, y), ops.var(x, axis=1), ops.log_softmax(last, axis=1)]


def keras1_layer(class_name, name, source, **config):
    inbound = [[[source, 0, 0]]] if source else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": inbound}


def keras1_gates(kernel, recurrent, bias, names):
    """One tensor for each gate, kernel by kernel, in the order in which Keras 1 stores them."""
    parts = [np.split(tensor, len(names), axis=-1) for tensor in (kernel, recurrent, bias)]
    return {f"{stem}_{gate}": parts[i][place] for place, gate in enumerate(names) for i, stem in enumerate("WUb")}


def keras1():
    import h5py

    random = np.random.RandomState(5)
    sequence, images = random.normal(size=(2, 6, 4)), random.normal(size=(2, 4, 5, 3))

    def draw(*shape):
        return random.uniform(-0.8, 0.8, shape)

    conv = {"W": draw(3, 1, 4, 5), "b": draw(5)}
    deconv = {"W": draw(3, 2, 3, 4), "b": draw(4)}
    kernel, recurrent, bias = draw(5, 12), draw(3, 12), draw(12)
    lstm = keras1_gates(kernel, recurrent, bias, "ifco")
    gru_weights = draw(5, 6), draw(2, 6), draw(6)
    gru = keras1_gates(*gru_weights, "zrh")
    config = {"name": "k1", "layers": [
        keras1_layer("InputLayer", "x", None, batch_input_shape=[None, 6, 4], input_dtype="float64", sparse=False),
        keras1_layer("InputLayer", "images", None, batch_input_shape=[None, 4, 5, 3], input_dtype="float64", sparse=False),
        keras1_layer("Convolution1D", "conv", "x", nb_filter=5, filter_length=3, border_mode="same", subsample_length=2,
                     activation="linear", bias=True, input_dim=4),
        keras1_layer("LSTM", "lstm", "conv", output_dim=3, activation="tanh", inner_activation="hard_sigmoid",
                     return_sequences=True, go_backwards=False, stateful=False, input_dim=5),
        keras1_layer("GRU", "gru", "conv", output_dim=2, activation="tanh", inner_activation="hard_sigmoid",
                     return_sequences=False, go_backwards=True, stateful=False, input_dim=5),
        keras1_layer("Deconvolution2D", "deconv", "images", nb_filter=4, nb_row=3, nb_col=2, border_mode="valid",
                     subsample=[2, 2], dim_ordering="tf", output_shape=[None, 9, 11, 4], activation="relu", bias=True),
        keras1_layer("Deconvolution2D", "same", "images", nb_filter=4, nb_row=3, nb_col=2, border_mode="same",
                     subsample=[2, 3], dim_ordering="tf", output_shape=[None, 7, 14, 4], activation="linear", bias=True),
    ], "input_layers": [["x", 0, 0], ["images", 0, 0]], "output_layers": [
        [name, 0, 0] for name in ("conv", "lstm", "gru", "deconv", "same")]}
    weights = {"conv": conv, "lstm": lstm, "gru": gru, "deconv": deconv, "same": deconv}
    with h5py.File(FOLDER / "k1_layers.h5", "w", track_order=False) as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config}).encode()
        groups = file.create_group("model_weights")
        groups.attrs["layer_names"] = [layer["name"].encode() for layer in config["layers"]]
        for layer in config["layers"]:
            group = groups.create_group(layer["name"])
            tensors = {f"{layer['name']}_{key}": value for key, value in weights.get(layer["name"], {}).items()}
            group.attrs["weight_names"] = [key.encode() for key in tensors] if tensors else np.zeros((0,), "S1")
            for key, value in tensors.items():
                group[key] = value

    def recurrent_of(layer, x, tensors):
        layer.build(x.shape)
        layer.set_weights(tensors)
        return layer(x)

    convolved = tf.nn.bias_add(tf.nn.conv2d(sequence[:, :, None, :], conv["W"], (2, 1), "SAME"), conv["b"])[:, :, 0, :]
    filters = np.transpose(deconv["W"], (0, 1, 3, 2))
    full = tf.nn.conv2d_transpose(images, filters, (2, 9, 11, 4), (2, 2), "VALID") + deconv["b"]
    same = tf.nn.conv2d_transpose(images, filters, (2, 7, 14, 4), (2, 3), "SAME") + deconv["b"]
    outputs = {
        "conv": convolved,
        "lstm": recurrent_of(layers.LSTM(3, recurrent_activation="hard_sigmoid", return_sequences=True), convolved,
                             [kernel, recurrent, bias]),
        "gru": recurrent_of(layers.GRU(2, recurrent_activation="hard_sigmoid", reset_after=False, go_backwards=True), convolved,
                            list(gru_weights)),
        "deconv": tf.nn.relu(full), "same": same}
    np.savez_compressed(FOLDER / "k1_layers.npz", in_x=sequence, in_images=images,
                        **{"out_" + name: np.asarray(value) for name, value in outputs.items()})


def randomised(model, random):
    """No weight is left as it was initialised: zero biases prove nothing."""
    model.set_weights([random.uniform(-0.8, 0.8, np.shape(weight)) for weight in model.get_weights()])
    for layer in model.layers:
        layer = getattr(layer, "layer", layer)
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(random.uniform(0.3, 1.2, layer.moving_variance.shape))


def output_names(model):
    """As the config lists them: the layer, and the place among its outputs."""
    ends = model.get_config()["output_layers"]
    ends = [ends] if isinstance(ends[0], str) else ends
    return [name + (f":{place}" if place else "") for name, _, place in ends]


def main():
    keras.backend.set_floatx("float64")
    nets = [recurrent, bidirectional, attention, products, functions_of_keras if KERAS3 else functions_of_tensorflow, steps]
    for number, net in enumerate(nets):
        keras.utils.set_random_seed(number)
        keras.backend.clear_session()
        random = np.random.RandomState(number)
        model = keras.Model(*net())
        randomised(model, random)
        inputs = [random.normal(size=(2, *tensor.shape[1:])) for tensor in model.inputs]
        outputs = model(inputs, training=False)
        name = ("k3_" if KERAS3 else "k2_") + net.__name__
        model.save(FOLDER / (name + ".keras"))
        model.save(FOLDER / (name + ".h5"))
        values = {"in_" + tensor.name.split(":")[0]: value for tensor, value in zip(model.inputs, inputs)}
        values |= {"out_" + end: np.asarray(value) for end, value in zip(output_names(model), outputs)}
        assert all(value.dtype == np.float64 for value in values.values())
        np.savez_compressed(FOLDER / (name + ".npz"), **values)
    if not KERAS3:
        keras1()


if __name__ == "__main__":
    main()
