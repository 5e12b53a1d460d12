"""What Keras' own training leaves in files: statistics that drift under frozen layers, found between two runs.

CKPT_BINARY is the program. Every file is made here, by the Keras of this world, in the form that people save.
"""

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

layers = keras.layers
CONTAINERS = ["keras", "h5", "weights.h5"]


def images(seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, size=(8, 6, 6, 3)).astype("f4")


def ckpt(*arguments, codes=(0,)):
    done = subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode in codes, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def findings(newer, older, rule):
    """Of this rule: subject and message of each."""
    report = json.loads(ckpt("audit", newer, "--since", older, "--format", "json", codes=(0, 1)))
    return [(f["subject"], f["message"]) for f in report["inputs"][0]["findings"] if f["rule"] == rule]


def backbone(**options):
    """No layer has a name of its own: Keras numbers them, on and on within one process."""
    image = layers.Input((6, 6, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    x = layers.BatchNormalization()(layers.Conv2D(5, 3)(x))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), **options)


def classifier(base, classes, nested):
    if nested:
        image = layers.Input((6, 6, 3))
        return keras.Model(image, layers.Dense(classes)(base(image)))
    return keras.Model(base.input, layers.Dense(classes)(base.output))


def save(model, path):
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def learn_statistics(model, seed, shift):
    for step in range(20):
        model(images(seed + step, shift), training=True)


def move_head(model):
    kernel = model.layers[-1].weights[0]
    kernel.assign(np.asarray(kernel) + 0.5)


# The second run puts the backbone, frozen, under another head; only that is trained, but batches run in training mode.
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("nested", [(False, False), (True, True), (False, True)],
                         ids=["flat", "nested", "flat to nested"])
def test_frozen_layers_that_drifted_are_found_though_numbered_anew(nested, container, tmp_path):
    keras.utils.set_random_seed(3)
    keras.backend.clear_session()
    first = backbone()
    learn_statistics(first, 0, 0.0)
    older = save(classifier(first, 3, nested[0]), tmp_path / f"older.{container}")
    second = backbone()
    second.set_weights(first.get_weights())
    kept = save(classifier(second, 7, nested[1]), tmp_path / f"kept.{container}")
    learn_statistics(second, 100, 2.0)
    newer = save(classifier(second, 7, nested[1]), tmp_path / f"newer.{container}")
    drifted = findings(newer, older, "BN051")
    print(container, nested, drifted, findings(newer, older, "CK007"))
    assert drifted and "frozen" in drifted[0][1] and not findings(newer, older, "CK007")
    assert not findings(kept, older, "BN051")


def test_what_a_new_head_adds_is_not_compared_and_said(tmp_path):
    keras.backend.clear_session()
    first = backbone()
    second = backbone()
    second.set_weights(first.get_weights())
    head = layers.BatchNormalization(name="head_norm")(layers.Dense(7)(second.output))
    for container in CONTAINERS:
        older = save(classifier(first, 3, False), tmp_path / f"older.{container}")
        newer = save(keras.Model(second.input, head), tmp_path / f"newer.{container}")
        (_, said), = findings(newer, older, "CK007")
        # Keras 2 records no names in weights files.
        assert "1 of 3" in said and ("head_norm" in said or "layers/batch_normalization_2" in said)


def called_in_training(nested, training=True):
    """A network whose batch norm is called with training=True, or as it is called where that is closed."""
    keras.utils.set_random_seed(7)
    image = layers.Input((6, 6, 3))
    call = {"training": True} if training else {}
    norm = layers.BatchNormalization(name="norm")
    x = layers.Conv2D(4, 3, name="conv")(image)
    if nested:
        inner = layers.Input((4, 4, 4))
        x = keras.Model(inner, layers.ReLU()(norm(inner)), name="inner")(x, **call)
    else:
        x = layers.ReLU()(norm(x, **call))
    model = keras.Model(image, layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x)))
    values = np.random.default_rng(11)
    for variable in norm.weights:
        variable.assign(values.uniform(0.5, 2.0, variable.shape))
    return model


@pytest.mark.parametrize("fold", [False, True], ids=["preserve", "fold"])
@pytest.mark.parametrize("container", ["keras", "h5"])
@pytest.mark.parametrize("nested", [False, True], ids=["layer", "model"])
def test_closed_training_mode_is_the_model_that_keras_builds_without_it(nested, container, fold, tmp_path):
    source = save(called_in_training(nested), tmp_path / f"m.{container}")
    target = tmp_path / f"closed.{container}"
    options = ["--bn", "fold"] if fold else []
    overridden = int(keras.__version__.split(".")[0]) >= 3  # by predict(): it stays as it is called
    if not overridden:
        ckpt("convert", source, target, *options, codes=(3,))
        assert not target.exists()
    report = json.loads(ckpt("convert", "--close-training-mode", source, target, *options, "--format", "json"))
    scope = "inner/norm" if nested else "norm"
    assert [entry["batch_norm"] for entry in report["changed"]] == ([] if overridden else [scope])
    model = keras.models.load_model(target, compile=False)
    batch = images(13, 1.0)
    closed = np.asarray(called_in_training(nested, training=False)(batch, training=False))
    assert np.abs(model.predict(batch, verbose=0) - closed).max() < 1e-5
    # Called as a server calls it: nothing says which mode.
    assert overridden or np.abs(np.asarray(model(batch)) - closed).max() < 1e-5
    assert ckpt("audit", target, codes=(0, 1)).count("BN060") == overridden
