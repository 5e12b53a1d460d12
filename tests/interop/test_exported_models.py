"""SavedModels that Keras exports (`model.export`) become serving models that compute the same.

Keras 3 keeps two objects and two handles of each name in such a folder, and reshapes biases before it adds them.
CKPT_BINARY is the program. Runs under Keras 2.15 and Keras 3.
"""

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
import tensorflow as tf

layers = tf.keras.layers


def convolutions():
    x = inputs = layers.Input((12, 12, 3))
    for layer in (layers.Conv2D(6, 3, padding="same"), layers.DepthwiseConv2D(3, depth_multiplier=2),
                  layers.SeparableConv2D(5, 3), layers.Conv2DTranspose(4, 3, strides=2),
                  layers.Conv2D(4, 3, dilation_rate=2, use_bias=False)):
        x = layers.ReLU()(layers.BatchNormalization()(layer(x)))
    return tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))), 5


def sequences():
    x = inputs = layers.Input((20, 3))
    for layer in (layers.Conv1D(5, 3, padding="causal", dilation_rate=2), layers.Conv1DTranspose(3, 3, strides=2)):
        x = layers.ReLU()(layers.BatchNormalization(scale=False)(layer(x)))
    return tf.keras.Model(inputs, x), 2


def other_norms():
    """Keras 2 writes layer norms as fused batch norms in training mode, and group norms by weighted moments."""
    x = inputs = layers.Input((9, 9, 3))
    x = layers.GroupNormalization(2)(layers.LayerNormalization()(layers.Conv2D(4, 3)(x)))
    x = layers.ReLU()(layers.BatchNormalization(center=False)(layers.Conv2D(4, 3)(x)))
    return tf.keras.Model(inputs, layers.Conv2D(2, 1)(x)), 1


def recurrent():
    """Loops as functions before and behind the batch norms; one of the norms lies between two of them."""
    x = inputs = layers.Input((9, 4))
    x = layers.BatchNormalization()(layers.Conv1D(5, 3)(x))
    x = layers.BatchNormalization()(layers.LSTM(6, return_sequences=True)(x))
    return tf.keras.Model(inputs, layers.Dense(2)(layers.Bidirectional(layers.GRU(3))(x))), 1


def train(model):
    """Statistics, gamma and beta as after training."""
    random = np.random.RandomState(3)
    for weight in model.weights:
        leaf = getattr(weight, "path", weight.name).split("/")[-1].split(":")[0]
        if leaf in ("gamma", "moving_variance"):
            weight.assign(random.uniform(0.3, 2.0, weight.shape))
        elif leaf in ("beta", "moving_mean", "bias"):
            weight.assign(random.normal(size=weight.shape))


@pytest.mark.parametrize("mode", ["fold", "preserve"])
@pytest.mark.parametrize("build", [convolutions, sequences, other_norms, recurrent])
def test_an_exported_model_serves(build, mode, tmp_path):
    model, count = build()
    train(model)
    model.export(str(tmp_path / "exported"))
    images = np.random.RandomState(1).randn(4, *model.input_shape[1:]).astype(np.float32)
    expected = np.asarray(model(images, training=False))
    done = subprocess.run([os.environ["CKPT_BINARY"], "convert", "--bn", mode, "--to", "saved-model", "--format", "json",
                           tmp_path / "exported", tmp_path / "serving"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert len(report["folded"]) == (count if mode == "fold" else 0), report["kept"]
    served = tf.saved_model.load(str(tmp_path / "serving")).signatures["serving_default"]
    (name,) = served.structured_input_signature[1]
    (output,) = served(**{name: tf.constant(images)}).values()
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(output) - expected).max() <= 1e-5 * scale
    audit = subprocess.run([os.environ["CKPT_BINARY"], "audit", tmp_path / "exported"], capture_output=True, text=True)
    assert audit.returncode == 0, audit.stdout
