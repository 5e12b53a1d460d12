"""`ckpt calibrate` on layers that need care: called twice, frozen, renormalised, behind noise, with too little data.

CKPT_BINARY is the program. Runs under TensorFlow 2.15 and the newest one.
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
KERAS2 = tf.__version__.startswith("2.15")


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def data(tmp_path, count, size=6, name="x.npy"):
    x = (np.random.default_rng(6).normal(size=(count, size, size, 3)) * 2 + 1).astype(np.float32)
    np.save(tmp_path / name, x)
    return x


def saved(tmp_path, outputs, inputs, name="m.keras"):
    model = keras.Model(inputs, outputs)
    random = np.random.default_rng(2)
    for layer in model.layers:
        if layer.name.startswith("b"):
            weights = layer.get_weights()
            weights[0] = random.uniform(0.5, 1.5, weights[0].shape)
            layer.set_weights(weights)
    model.save(tmp_path / name)
    return model, tmp_path / name


def calibrated(path, *options):
    output = path.with_name("out.keras")
    report = json.loads(ckpt("calibrate", path, output, "--force", "--format", "json", *options).stdout)
    return report, keras.models.load_model(output)


def two_norms(frozen=()):
    keras.utils.set_random_seed(4)
    x = keras.Input((6, 6, 3), name="images")
    y = layers.BatchNormalization(name="b1", trainable="b1" not in frozen)(layers.Conv2D(4, 3, name="c1")(x))
    y = layers.BatchNormalization(name="b2", trainable="b2" not in frozen)(layers.Conv2D(5, 3, name="c2")(layers.ReLU(name="r1")(y)))
    return layers.GlobalAveragePooling2D(name="gap")(y), x


def test_examples_in_another_order_change_the_last_digits_at_most(tmp_path):
    _, path = saved(tmp_path, *two_norms())
    x = data(tmp_path, 60)
    by_brightness = x[np.argsort(x.mean((1, 2, 3)))]
    np.save(tmp_path / "sorted.npy", by_brightness)
    weights = []
    for name in ("x.npy", "sorted.npy"):
        weights.append(calibrated(path, "--data", tmp_path / name)[1].get_weights())
    for one, other in zip(*weights):
        assert np.allclose(one, other, rtol=1.2e-7, atol=1e-9)  # a float32 that rounds to either side


def test_noise_and_dropout_are_off(tmp_path):
    keras.utils.set_random_seed(4)
    x = keras.Input((6, 6, 3), name="images")
    y = layers.Conv2D(4, 3, name="c1")(x)
    plain_norm = layers.BatchNormalization(name="b1")
    noisy = plain_norm(layers.SpatialDropout2D(0.5)(layers.GaussianDropout(0.3)(layers.GaussianNoise(0.9)(y))))
    model, path = saved(tmp_path, noisy, x)
    images = data(tmp_path, 50)
    _, written = calibrated(path, "--data", tmp_path / "x.npy")
    kernel, bias = [w.astype(np.float64) for w in model.get_layer("c1").get_weights()]
    value = (tf.nn.conv2d(tf.constant(images.astype(np.float64)), tf.constant(kernel), 1, "VALID") + bias).numpy()
    stored = written.get_layer("b1").get_weights()
    assert np.allclose(stored[2], value.mean((0, 1, 2)), rtol=1e-6, atol=1e-7)
    assert np.allclose(stored[3], value.var((0, 1, 2), ddof=1 if KERAS2 else 0), rtol=1e-6)


def test_a_frozen_layer_keeps_its_statistics_unless_it_is_asked_for(tmp_path):
    _, path = saved(tmp_path, *two_norms(frozen=["b1"]))
    data(tmp_path, 40)
    report, written = calibrated(path, "--data", tmp_path / "x.npy")
    assert [entry["batch_norm"] for entry in report["calibrated"]] == ["b2"]
    assert not written.get_layer("b1").get_weights()[2].any()
    report, written = calibrated(path, "--layers", "b1", "--data", tmp_path / "x.npy")
    assert [entry["batch_norm"] for entry in report["calibrated"]] == ["b1"]
    assert written.get_layer("b1").get_weights()[2].all() and not written.get_layer("b2").get_weights()[2].any()
    report, _ = calibrated(path, "--all", "--data", tmp_path / "x.npy")
    assert [entry["batch_norm"] for entry in report["calibrated"]] == ["b2"]  # frozen ones by name alone


def test_a_layer_that_is_called_twice_is_refused_by_name(tmp_path):
    keras.utils.set_random_seed(4)
    x, norm = keras.Input((6, 6, 3), name="images"), layers.BatchNormalization(name="b_shared")
    y = norm(layers.Conv2D(4, 3, padding="same", name="c1")(x))
    y = norm(layers.Conv2D(4, 3, padding="same", name="c2")(layers.ReLU(name="r1")(y)))
    _, path = saved(tmp_path, y, x)
    data(tmp_path, 40)
    said = ckpt("calibrate", "--all", path, tmp_path / "out.keras", "--data", tmp_path / "x.npy", expect=3).stderr
    assert "b_shared" in said and not (tmp_path / "out.keras").exists()


@pytest.mark.skipif(not KERAS2, reason="renormalisation went with Keras 3")
def test_a_renormalised_layer_is_refused_by_name(tmp_path):
    x = keras.Input((6, 6, 3), name="images")
    norm = tf.compat.v1.keras.layers.BatchNormalization(renorm=True, name="b_renorm")
    _, path = saved(tmp_path, norm(layers.Conv2D(4, 3, name="c1")(x)), x, "m.h5")
    data(tmp_path, 40)
    said = ckpt("calibrate", "--all", path, tmp_path / "out.h5", "--data", tmp_path / "x.npy", expect=3).stderr
    assert "b_renorm" in said and not (tmp_path / "out.h5").exists()


def test_one_element_a_channel_has_no_variance_and_few_examples_are_warned_of(tmp_path):
    x = keras.Input((6, 6, 3), name="images")
    y = layers.BatchNormalization(name="b_dense")(layers.Dense(4, name="d")(layers.GlobalAveragePooling2D(name="gap")(x)))
    _, path = saved(tmp_path, y, x)
    data(tmp_path, 1, name="one.npy")
    said = ckpt("calibrate", path, tmp_path / "out.keras", "--data", tmp_path / "one.npy", expect=3).stderr
    assert "b_dense" in said and "1" in said and not (tmp_path / "out.keras").exists()
    data(tmp_path, 9, name="nine.npy")
    done = ckpt("calibrate", path, tmp_path / "out.keras", "--data", tmp_path / "nine.npy")
    assert "9 examples are few" in done.stdout and "1/sqrt(9)" in done.stdout


def test_a_channel_that_is_constant_in_the_data_is_stored_as_it_is_and_said(tmp_path):
    x = keras.Input((6, 6, 3), name="images")
    y = layers.BatchNormalization(name="b1")(layers.Conv2D(4, 3, name="c1")(x))
    model, path = saved(tmp_path, layers.GlobalAveragePooling2D(name="gap")(y), x)
    kernel, bias = model.get_layer("c1").get_weights()
    kernel[..., 2], bias[2] = 0, 0.75
    model.get_layer("c1").set_weights([kernel, bias])
    model.save(path)
    data(tmp_path, 40)
    report, written = calibrated(path, "--all", "--data", tmp_path / "x.npy")
    (entry,) = report["calibrated"]
    assert entry["constant_channels"] == 1 and 0 < entry["mean_shift"] < 100
    _, _, mean, variance = written.get_layer("b1").get_weights()
    assert mean[2] == 0.75 and variance[2] == 0 and np.all(variance[[0, 1, 3]] > 0)
    text = ckpt("calibrate", "--all", path, tmp_path / "text.keras", "--data", tmp_path / "x.npy").stdout
    assert "constant in these data: 1 channel" in text
