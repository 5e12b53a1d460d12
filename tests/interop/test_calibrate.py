"""`ckpt calibrate`: statistics that training never updated, computed again from data, are those of the whole set as one
batch, and Keras serves the file as it would serve a model whose statistics were right.

The expected values are Keras' own: a model whose batch norms have momentum 0 and are called once with training=True over
the whole set, layer after layer. CKPT_BINARY is the program. Runs under TensorFlow 2.15 and the newest one.
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
EXAMPLES = 40


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def build(momentum=0.99):
    """Two trained-looking batch norms with initial statistics; dropout between them."""
    keras.utils.set_random_seed(4)
    x = keras.Input((8, 8, 3), name="images")
    y = layers.BatchNormalization(momentum=momentum, name="b1")(layers.Conv2D(5, 3, padding="same", name="c1")(x))
    y = layers.Dropout(0.5, name="drop")(layers.ReLU(name="r1")(y))
    y = layers.BatchNormalization(momentum=momentum, name="b2")(layers.Conv2D(6, 3, strides=2, name="c2")(y))
    model = keras.Model(x, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D(name="gap")(layers.ReLU(name="r2")(y))))
    random = np.random.default_rng(2)
    for name in ("b1", "b2"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([random.uniform(0.5, 1.5, gamma.shape), random.normal(0, 0.3, beta.shape), mean, variance])
    return model


# The fused kernel, which Keras 2 uses for images in float32, stores the variance over n - 1.
FUSED = tf.__version__.startswith("2.15")


def population(model, x):
    """Statistics in float64, each layer over what the earlier ones yield with theirs as they are stored."""
    def conv(value, name):
        layer = model.get_layer(name)
        kernel, bias = [w.astype(np.float64) for w in layer.get_weights()]
        return (tf.nn.conv2d(tf.constant(value), tf.constant(kernel), layer.strides, layer.padding.upper()) + bias).numpy()

    found, value = {}, x.astype(np.float64)
    for convolution, name in (("c1", "b1"), ("c2", "b2")):
        value = conv(value, convolution)
        mean, variance = value.mean((0, 1, 2)), value.var((0, 1, 2), ddof=1 if FUSED else 0)
        found[name] = (mean, variance)
        gamma, beta = [w.astype(np.float64) for w in model.get_layer(name).get_weights()[:2]]
        stored = mean.astype(np.float32).astype(np.float64), variance.astype(np.float32).astype(np.float64)
        value = np.maximum(gamma * (value - stored[0]) / np.sqrt(stored[1] + 1e-3) + beta, 0)
    return found


@pytest.fixture(params=["m.h5", "m.keras"])
def case(request, tmp_path):
    model = build()
    model.save(tmp_path / request.param)
    x = (np.random.default_rng(9).normal(size=(EXAMPLES, 8, 8, 3)) * 2 + 0.5).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=x)
    return model, tmp_path / request.param, x


def test_statistics_are_those_of_the_whole_set_as_one_batch(case):
    model, path, x = case
    output = path.with_name("out" + path.suffix)
    report = json.loads(ckpt("calibrate", path, output, "--data", path.parent / "x.npz", "--format", "json").stdout)
    assert report["schema"] == "ckpt.calibrate/1"
    assert sorted(entry["batch_norm"] for entry in report["calibrated"]) == ["b1", "b2"]
    assert report["data"][0]["max"] == pytest.approx(float(x.max()))
    written = keras.models.load_model(output)
    for name, (mean, variance) in population(model, x).items():
        stored = written.get_layer(name).get_weights()
        assert np.abs(stored[2] - mean).max() <= 6e-8 * np.abs(mean).max() + 1e-9 * np.sqrt(variance.max())
        assert np.allclose(stored[3], variance, rtol=6.1e-8, atol=0)
    for layer in model.layers:
        if not layer.name.startswith("b"):
            for mine, theirs in zip(layer.get_weights(), written.get_layer(layer.name).get_weights()):
                assert np.array_equal(mine, theirs)


def test_keras_serves_what_its_own_statistics_of_the_set_would_serve(case):
    model, path, x = case
    reference = build(momentum=0.0)
    reference.get_layer("drop").rate = 0.0
    without = keras.Model(reference.input, reference.output)
    for name in ("b1", "b2"):  # layer after layer, as serving will see them
        inner = keras.Model(reference.input, reference.get_layer("c" + name[1]).output)
        reference.get_layer(name)(inner(x, training=False), training=True)
    output = path.with_name("out" + path.suffix)
    ckpt("calibrate", path, output, "--data", path.parent / "x.npz", "--quiet")
    mine, theirs = keras.models.load_model(output)(x, training=False), without(x, training=False)
    stale = model(x, training=False)
    assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()
    assert np.abs(stale - theirs).max() > 1000 * np.abs(mine - theirs).max()
    assert ckpt("audit", "--fail-on", "warning", output)


def test_batch_order_of_files_and_a_lone_array_change_nothing(case):
    model, path, x = case
    folder = path.parent
    np.save(folder / "a.npy", x[:17])
    np.save(folder / "b.npy", x[17:])
    outputs = []
    for i, options in enumerate([["x.npz"], ["a.npy", "b.npy"], ["x.npz", "--batch", "1"], ["x.npz", "--batch", "7"]]):
        output = path.with_name(f"out{i}{path.suffix}")
        files = [folder / option if option.endswith(("npz", "npy")) else option for option in options]
        ckpt("calibrate", path, output, "--data", *files, "--quiet")
        outputs.append([w for layer in keras.models.load_model(output).layers for w in layer.get_weights()])
    for other in outputs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(outputs[0], other))


def test_what_cannot_be_done_is_refused(case):
    _, path, x = case
    folder, output = path.parent, path.with_name("out" + path.suffix)
    good = path.with_name("good" + path.suffix)
    ckpt("calibrate", path, good, "--data", folder / "x.npz", "--quiet")
    assert "nothing to calibrate" in ckpt("calibrate", good, output, "--data", folder / "x.npz", expect=3).stderr
    np.savez(folder / "other.npz", images=x, labels=np.zeros(EXAMPLES))
    assert "labels" in ckpt("calibrate", path, output, "--data", folder / "other.npz", expect=2).stderr
    np.savez(folder / "shape.npz", images=x[:, :, :, :2])
    ckpt("calibrate", path, output, "--data", folder / "shape.npz", expect=2)
    ckpt("calibrate", path, output, expect=2)
    ckpt("calibrate", path, path, "--data", folder / "x.npz", "--force", expect=2)
    assert not output.exists()
    dry = json.loads(ckpt("calibrate", path, output, "--data", folder / "x.npz", "--dry-run", "--format", "json").stdout)
    assert len(dry["calibrated"]) == 2 and not output.exists()
