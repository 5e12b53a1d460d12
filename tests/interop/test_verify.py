"""`ckpt verify` against the real Keras and TensorFlow: one network in several containers is the same, and a fault is
found where it was made.

Each network is written by the framework itself as a Keras file and as a graph; the verdict must not depend on which
translation it went through. CKPT_BINARY is the program. Runs under TensorFlow 2.15 and the newest one.
"""

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from tensorflow import keras

layers = keras.layers


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def verify(a, b, *options, expect=0):
    return json.loads(ckpt("verify", a, b, "--format", "json", *options, expect=expect).stdout)


def norm(x, name):
    return layers.BatchNormalization(name=name)(x)


def vgg(x):
    x = layers.ReLU()(norm(layers.Conv2D(6, 3, padding="same", name="c1")(x), "b1"))
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.ReLU(max_value=6.0)(norm(layers.Conv2D(8, 3, strides=2, padding="same", name="c2")(x), "b2"))
    return layers.Dense(5, activation="softmax", name="out")(layers.Flatten()(x))


def residual(x):
    x = layers.Conv2D(6, 3, padding="same", name="c1")(x)
    y = layers.ReLU()(norm(x, "b1"))
    y = norm(layers.Conv2D(6, 3, padding="same", use_bias=False, name="c2")(y), "b2")
    x = layers.LeakyReLU()(layers.Add()([x, y]))
    return layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x))


def mobile(x):
    x = layers.ZeroPadding2D(((0, 1), (1, 2)))(x)
    x = layers.Activation("swish")(norm(layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="d1")(x), "b1"))
    x = norm(layers.SeparableConv2D(7, 3, padding="same", name="s1")(x), "b2")
    gate = layers.Dense(7, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 7))(gate)])
    return layers.Dense(3, name="out")(layers.GlobalMaxPooling2D()(x))


def decoder(x):
    x = layers.ReLU()(norm(layers.Conv2D(6, 4, strides=2, padding="same", name="c1")(x), "b1"))
    x = layers.ELU()(norm(layers.Conv2DTranspose(5, 3, strides=2, padding="same", name="t1")(x), "b2"))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Cropping2D(((1, 0), (0, 2)))(layers.AveragePooling2D(3, strides=2, padding="same")(x))
    return norm(layers.Conv2DTranspose(4, 4, strides=3, padding="valid", name="t2")(x), "b3")


def dense(x):
    x = layers.Permute((2, 1, 3))(x)
    x = layers.Concatenate()([x, layers.Conv2D(3, 1, name="c1")(x)])
    x = layers.Flatten()(x)
    x = layers.Dense(9, activation="tanh", name="d1")(norm(x, "b1"))
    return layers.Dense(4, activation="relu", name="out")(norm(layers.Dropout(0.5)(x), "b2"))


NETS = {f.__name__: f for f in [vgg, residual, mobile, decoder, dense]}


def build(name, seed=3):
    keras.utils.set_random_seed(seed)
    x = keras.Input((9, 11, 3), name="images")
    model = keras.Model(x, NETS[name](x))
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            shape = gamma.shape
            layer.set_weights([random.uniform(0.5, 1.5, shape), random.normal(0, 0.3, shape),
                               random.normal(0, 0.4, shape), random.uniform(0.3, 1.2, shape)])
    return model


def frozen(model, path):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    function = tf.function(lambda images: model(images, training=False))
    spec = tf.TensorSpec([None, 9, 11, 3], tf.float32, name="images")
    graph = convert_variables_to_constants_v2(function.get_concrete_function(spec)).graph.as_graph_def()
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.fixture(params=sorted(NETS))
def files(request, tmp_path):
    model = build(request.param)
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    return model, tmp_path


def test_a_config_and_tensorflows_own_graph_of_it_compute_the_same(files):
    model, folder = files
    graph = frozen(model, folder / "m.pb")
    report = verify(folder / "m.keras", graph)
    # TensorFlow keeps epsilon in float32: all else is equal.
    assert report["verdict"] in ("same", "same up to rounding") and report["steps"]["factor"] <= 1, report
    assert report["outputs"][0]["max_abs"] <= 1e-6 * report["outputs"][0]["size"]
    assert verify(folder / "m.h5", folder / "m.keras")["verdict"] == "same"


def test_a_fold_is_the_same_up_to_rounding_whichever_file_comes_first(files):
    model, folder = files
    graph = frozen(model, folder / "m.pb")
    ckpt("convert", "--bn", "fold", folder / "m.h5", folder / "folded.h5", "--quiet")
    for a, b in [("m.h5", "folded.h5"), ("folded.h5", "m.h5"), ("m.pb", "folded.h5")]:
        report = verify(folder / a, folder / b)
        assert report["verdict"] in ("same", "same up to rounding"), report
        assert report["steps"]["factor"] <= 1 or (a, b) == ("folded.h5", "m.h5"), report["steps"]


def test_the_outputs_are_those_of_the_framework(files):
    """max_abs of a file that differs from A by a known offset of its output is that offset."""
    model, folder = files
    moved = keras.models.clone_model(model)
    moved.set_weights(model.get_weights())
    last = moved.layers[-1]
    weights = last.get_weights()
    weights[1 if len(weights) < 4 else 1][0] += 0.5
    last.set_weights(weights)
    moved.save(folder / "moved.h5")
    x = np.random.default_rng(1).normal(size=(2, 9, 11, 3)).astype(np.float32)
    np.savez(folder / "x.npz", images=x)
    report = verify(folder / "m.h5", folder / "moved.h5", "--input", folder / "x.npz", expect=1)
    expected = np.abs(model(x, training=False).numpy() - moved(x, training=False).numpy()).max()
    assert report["outputs"][0]["max_abs"] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert report["outputs"][0]["size"] == pytest.approx(np.abs(model(x, training=False).numpy()).max(), rel=1e-4)
    assert report["inputs"][0]["values"] == "given"


@pytest.mark.parametrize("name", ["vgg", "residual", "mobile", "decoder"])
def test_a_wrong_statistic_is_found_in_its_own_layer(tmp_path, name):
    model = build(name)
    model.save(tmp_path / "m.h5")
    layer = model.get_layer("b2")
    weights = layer.get_weights()
    weights[3] = weights[3] * np.float32(1024 / 1023)
    layer.set_weights(weights)
    model.save(tmp_path / "wrong.h5")
    report = verify(tmp_path / "m.h5", tmp_path / "wrong.h5", expect=1)
    assert report["verdict"] == "different"
    assert report["steps"]["first_beyond"]["layer"].split("/")[0] in ("b2", "c2", "s1", "t1"), report["steps"]


def test_what_is_not_understood_is_named(tmp_path):
    x = keras.Input((4,), name="x")
    y = layers.Lambda(lambda t: t * 2, name="twice")(layers.Dense(3, name="first")(x))
    model = keras.Model(x, layers.Dense(2, name="last")(y))
    model.save(tmp_path / "m.h5")
    report = verify(tmp_path / "m.h5", tmp_path / "m.h5", expect=3)
    assert report["verdict"] == "cannot tell"
    assert report["unknown"][0]["layer"] == "twice"
    until = verify(tmp_path / "m.h5", tmp_path / "m.h5", "--until", "first")
    assert until["verdict"] == "same"


def with_config(source, target, old, new):
    """The file with another text in its config."""
    import h5py
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        config = file.attrs["model_config"]
        assert config.count(old) == 1, config
        file.attrs["model_config"] = config.replace(old, new)
    return target


def test_a_number_that_old_configs_store_as_an_array_is_read_and_what_is_none_is_not_guessed(tmp_path):
    build("vgg").save(tmp_path / "m.h5")
    bound = '"max_value": 6.0'
    array = with_config(tmp_path / "m.h5", tmp_path / "array.h5", bound, '"max_value": {"type": "ndarray", "value": 6.0}')
    assert verify(tmp_path / "m.h5", array)["verdict"] == "same"
    word = with_config(tmp_path / "m.h5", tmp_path / "word.h5", bound, '"max_value": "six"')
    assert verify(tmp_path / "m.h5", word, expect=3)["verdict"] == "cannot tell"
    other = with_config(tmp_path / "m.h5", tmp_path / "other.h5", bound, '"max_value": 5.0')
    assert verify(tmp_path / "m.h5", other, expect=1)["verdict"] == "different"


def attention(x, y):
    heads, scores = layers.MultiHeadAttention(2, 3, name="heads")(x, y, return_attention_scores=True)
    causal = layers.MultiHeadAttention(1, 2, name="causal")(y, y, use_causal_mask=True)
    return [heads, scores, causal, layers.Attention(use_scale=True, name="luong")([x, heads]),
            layers.AdditiveAttention(name="additive")([y, x])]


def products(x, y):
    return [layers.Dot(axes=2, normalize=True, name="cosine")([x, y]), layers.UnitNormalization(name="unit")(x),
            layers.Resizing(3, 9, name="resized")(layers.Reshape((5, 2, 2))(x))]


def steps(x, y):
    return [layers.SimpleRNN(3, unroll=True, name="simple")(y), layers.LSTM(3, unroll=True, name="lstm")(x),
            layers.Bidirectional(layers.GRU(3, unroll=True, return_sequences=True), name="both")(x)]


@pytest.mark.parametrize("net", [attention, products, steps], ids=lambda net: net.__name__)
def test_layers_of_sequences_compute_what_tensorflows_own_graph_does(tmp_path, net):
    keras.utils.set_random_seed(6)
    x, y = keras.Input((5, 4), name="x"), keras.Input((7, 4), name="y")
    model = keras.Model([x, y], net(x, y))
    random = np.random.default_rng(6)
    model.set_weights([random.uniform(-0.8, 0.8, np.shape(weight)) for weight in model.get_weights()])
    model.save(tmp_path / "m.keras")
    module = tf.Module()
    module.model = model
    module.serve = tf.function(lambda x, y: {f"out{i}": out for i, out in enumerate(model([x, y], training=False))})
    specs = {name: tf.TensorSpec([None, steps, 4], tf.float32, name=name) for name, steps in [("x", 5), ("y", 7)]}
    tf.saved_model.save(module, str(tmp_path / "served"), signatures=module.serve.get_concrete_function(**specs))
    # A recurrent layer is one step there and many here: its values agree, and no step proves it.
    report = verify(tmp_path / "m.keras", tmp_path / "served", expect=3 if net is steps else 0)
    for output in report["outputs"]:
        assert output["max_abs"] <= 2e-7 * output["size"], output


def test_large_constants_in_the_functions_of_a_saved_model_are_read(tmp_path):
    """One of more than a MiB, which no variable holds, beside a smaller one that is left in the file too."""
    random = np.random.default_rng(4)
    wide, narrow = random.normal(0, 0.05, (600, 600)).astype(np.float32), random.normal(size=(600, 5)).astype(np.float32)

    class Net(tf.Module):
        def __init__(self, wide):
            self.scale, self.wide = tf.Variable(2.0), wide

        @tf.function(input_signature=[tf.TensorSpec([None, 600], tf.float32, name="x")])
        def serve(self, x):
            return {"y": self.scale * tf.tanh(x @ tf.constant(self.wide)) @ tf.constant(narrow)}

    def saved(name, wide):
        net = Net(wide)
        tf.saved_model.save(net, str(tmp_path / name), signatures=net.serve)
        return net

    net = saved("a", wide)
    report = verify(tmp_path / "a", tmp_path / "a")
    assert report["verdict"] == "same", report
    x = random.normal(size=(3, 600)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    other = wide.copy()
    other[7, 11] += 1
    moved = saved("b", other)
    report = verify(tmp_path / "a", tmp_path / "b", "--input", tmp_path / "x.npz", expect=1)
    expected = np.abs(net.serve(x)["y"].numpy() - moved.serve(x)["y"].numpy()).max()
    assert report["outputs"][0]["max_abs"] == pytest.approx(expected, rel=1e-3)
    ckpt("convert", tmp_path / "a", tmp_path / "c", "--to", "saved-model", "--quiet")
    assert verify(tmp_path / "a", tmp_path / "c")["verdict"] == "same"
    again = tf.saved_model.load(str(tmp_path / "c")).signatures["serving_default"]
    np.testing.assert_allclose(again(tf.constant(x))["y"], net.serve(x)["y"], rtol=1e-5, atol=1e-5)
