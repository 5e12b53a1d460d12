"""Batch norms that move across layers of Keras between them and a kernel, computed by Keras in float64.

Each model is converted with its batch norm folded where that is exact, and computes the same; where it is not exact
the batch norm stays.
"""

import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import pytest

L = keras.layers
THREE = keras.__version__.startswith("3")


def set_policy(policy):
    (keras.mixed_precision.set_dtype_policy if THREE else keras.mixed_precision.set_global_policy)(policy)


def conv(x, filters=4, size=1):
    return L.Conv2D(filters, size)(x)


def norm(x, **options):
    return L.BatchNormalization(name="bn", **options)(x)


# Builder, is the batch norm folded?
CASES = {
    "permute": (lambda x: norm(L.Permute((3, 1, 2))(conv(x)), axis=1), True),
    "permute_and_another_axis": (lambda x: norm(L.Permute((3, 1, 2))(conv(x)), axis=2), False),
    "cropping": (lambda x: norm(L.Cropping2D(((1, 0), (0, 2)))(conv(x, size=2))), True),
    "cropping_behind": (lambda x: conv(L.Cropping2D(1)(norm(x)), size=2), True),
    "permute_behind": (lambda x: conv(L.Permute((2, 3, 1))(norm(x, axis=1)), size=2), True),
    "reshape": (lambda x: norm(L.Reshape((30, 4))(conv(x))), True),
    "reshape_to_a_vector": (lambda x: L.Dense(3)(L.Reshape((90,))(norm(x))), True),
    "reshape_apart": (lambda x: norm(L.Reshape((-1, 2))(conv(x))), False),
    "reshape_across": (lambda x: norm(L.Reshape((4, 30))(conv(x)), axis=1), False),
    "no_padding": (lambda x: norm(L.ZeroPadding2D(0)(conv(x))), True),
    "padding": (lambda x: norm(L.ZeroPadding2D(1)(conv(x))), False),
    "difference": (lambda x: norm(L.Subtract()([conv(x), conv(x)])), True),
    "average": (lambda x: norm(L.Average()([conv(x), conv(x)])), True),
    "maximum": (lambda x: norm(L.Maximum()([conv(x), conv(x)])), False),
    "product": (lambda x: norm(L.Multiply()([conv(x), conv(x)])), False),
    "lambda_in_front": (lambda x: norm(conv(L.Lambda(lambda t: t * 2, output_shape=(6, 5, 3))(x), size=2), axis=3),
                        True),
    "resizing": (lambda x: norm(L.Resizing(8, 9)(conv(x))), True),
    "resizing_behind": (lambda x: conv(L.Resizing(4, 7, interpolation="nearest")(norm(x)), size=2), True),
}


@pytest.fixture(autouse=True)
def in_float64():
    # The policy of whoever made a layer before stays, whatever floatx becomes.
    policies = keras.mixed_precision
    before, policy = keras.backend.floatx(), policies.dtype_policy() if THREE else policies.global_policy()
    keras.backend.set_floatx("float64")
    set_policy("float64")
    yield
    keras.backend.set_floatx(before)
    set_policy(policy)


def randomize(model, random):
    """Weights of either sign, and variances that are none."""
    for layer in model.layers:
        values = []
        for weight in layer.weights:
            value = random.normal(size=weight.shape)
            values.append(np.abs(value) + 0.5 if "variance" in weight.name else value)
        if values:
            layer.set_weights(values)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_batch_norm_moves_where_that_is_exact(name, tmp_path):
    build, folds = CASES[name]
    inputs = L.Input((6, 5, 3))
    model = keras.Model(inputs, build(inputs))
    random = np.random.default_rng(sorted(CASES).index(name))
    randomize(model, random)
    model.save(tmp_path / "model.keras")
    done = subprocess.run([os.environ["CKPT_BINARY"], "convert", str(tmp_path / "model.keras"),
                           str(tmp_path / "folded.keras"), "--bn", "fold", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    folded = keras.saving.load_model(tmp_path / "folded.keras", compile=False, safe_mode=False)
    assert ("bn" not in [layer.name for layer in folded.layers]) == folds
    x = random.normal(size=(3, 6, 5, 3))
    # Resizing of Keras 3 is called for training by default, and has what follows it trained, too.
    expected, got = np.asarray(model(x, training=False)), np.asarray(folded(x, training=False))
    assert expected.dtype == np.float64
    # TensorFlow resizes in float32.
    bound = 1e-5 if "resizing" in name else 1e-12
    assert np.abs(expected - got).max() <= bound * np.abs(expected).max()
