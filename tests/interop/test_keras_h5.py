"""Keras itself loads what ckpt wrote from legacy HDF5 files and computes the stored outputs.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. Runs under Keras 2.15 and Keras 3; a file that the
Keras at hand cannot load unconverted is skipped.
"""

import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import h5py
import numpy as np
import pytest
import tensorflow as tf

keras = tf.keras
L = keras.layers

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
FOLDER = TESTDATA / "keras_h5"
WHOLE_MODELS = sorted(path.stem for path in FOLDER.glob("*.h5") if path.with_suffix(".npz").exists())
WEIGHTS_ONLY = ("conv2d_bn", "nested_functional", "sequential_bn", "shared_conv_two_bns")

# Batch norms that must stay, by the rules of docs/folding.md; all others must be gone.
KEPT = {"bn_alone", "bn_conv_same_shift", "concat_with_input_bn", "conv_activation_bn", "conv_also_output",
        "conv_flatten_bn", "conv_maxpool_bn_mixed", "conv_relu_bn", "conv_two_consumers", "conv_zeropadding_bn",
        "dense_3d_bn_axis1", "dense_relu_bn_output", "lambda_layer", "shared_conv_two_bns"}
# Compared with the network in float64. An output sums some hundred products, gammas reach 1.6.
TOLERANCE = {"conv2d_bn_float16": 2e-2, "conv2d_bn_mixed_float16": 2e-2, "conv2d_bn_bfloat16": 2e-1,
             "conv2d_bn_float64": 1e-12}


def convert(source, target, *options):
    """Runs the program, which must succeed; returns the path that it wrote."""
    command = [os.environ["CKPT_BINARY"], "convert", str(source), str(target), "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return target


def load(path, **options):
    """A model, or nothing where this Keras cannot load such a file."""
    options.setdefault("compile", False)
    return keras.models.load_model(path, safe_mode=False, **options)


def load_original(path, **options):
    try:
        return load(path, **options)
    except Exception as error:  # whatever a loader raises for a file of another generation
        pytest.skip(f"this Keras does not load the unconverted file: {str(error)[:100]}")


def run(model, inputs):
    """Inference, through XLA: plain TensorFlow has no grouped convolution on a CPU."""
    dtype = model.inputs[0].dtype
    arguments = [tf.cast(x, dtype) for x in inputs]

    @tf.function(jit_compile=True)
    def call(tensors):
        return model(tensors[0] if len(tensors) == 1 else tensors, training=False)

    return [np.asarray(tf.cast(y, tf.float64)) for y in tf.nest.flatten(call(arguments))]


def numbered(arrays, key):
    """`key`, `key_2`, ... of an npz file."""
    names = [key] + [f"{key}_{i}" for i in range(2, 10)]
    return [arrays[name] for name in names if name in arrays]


def batch_norms(model):
    """All batch norms of a model, those of nested models and wrappers too."""
    found = []
    for layer in model.layers:
        inner = getattr(layer, "layer", None)
        if isinstance(layer, keras.Model):
            found += batch_norms(layer)
        elif isinstance(layer, L.BatchNormalization) or isinstance(inner, L.BatchNormalization):
            found.append(layer)
    return found


def is_exact(name, model, arrays):
    """Does the model compute the stored outputs, up to the rounding of its precision?"""
    tolerance = TOLERANCE.get(name, 2e-5)
    exact = numbered(arrays, "output_f64")
    got = run(model, numbered(arrays, "input"))
    return all(np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max()) for a, b in zip(got, exact, strict=True))


def check_outputs(name, converted, original):
    """The original is run only where the converted model fails, as it may fail the same way."""
    arrays = np.load(FOLDER / f"{name}.npz")
    try:
        if is_exact(name, converted, arrays):
            return
    except tf.errors.InvalidArgumentError:
        pass
    try:
        assert not is_exact(name, original, arrays), "the unconverted model computes the stored outputs"
    except tf.errors.InvalidArgumentError as error:
        pytest.skip(f"this processor does not run the unconverted model: {str(error)[:100]}")
    pytest.skip("this Keras does not compute the stored outputs from the unconverted file either")


@pytest.mark.parametrize("name", WHOLE_MODELS)
def test_folded_model_computes_the_same(name, tmp_path):
    original = load_original(FOLDER / f"{name}.h5")
    folded = load(convert(FOLDER / f"{name}.h5", tmp_path / "folded.h5", "--bn", "fold"))
    assert len(batch_norms(folded)) == (len(batch_norms(original)) if name in KEPT else 0)
    check_outputs(name, folded, original)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_leftover_batch_norm_becomes_one_scale_and_one_offset(name, tmp_path):
    original = load_original(FOLDER / f"{name}.h5")
    folded = load(convert(FOLDER / f"{name}.h5", tmp_path / "affine.h5", "--bn", "fold", "--leftover", "affine"))
    assert len(batch_norms(folded)) == len(batch_norms(original))
    for layer in batch_norms(folded):
        assert layer.scale and layer.center
        assert not np.any(layer.moving_mean)
        assert np.all(np.asarray(layer.moving_variance) + np.float32(layer.epsilon) == 1)
    check_outputs(name, folded, original)


@pytest.mark.parametrize("name", ["conv_bn_neither", "conv_bn_renorm", "nested_frozen_bn", "sequential_list_config",
                                  "conv2d_channels_first_bn", "keras3_nested", "trained_functional_adam"])
def test_preserved_model_is_the_same(name, tmp_path):
    original = load_original(FOLDER / f"{name}.h5")
    copy = load(convert(FOLDER / f"{name}.h5", tmp_path / "copy.h5", "--bn", "preserve"))
    for old, new in zip(original.get_weights(), copy.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert [layer.get_config() for layer in copy.layers] == [layer.get_config() for layer in original.layers]
    with h5py.File(tmp_path / "copy.h5") as file:
        assert "optimizer_weights" not in file and "training_config" not in file.attrs


@pytest.mark.parametrize("name", ["trained_functional_adam", "trained_sequential_momentum",
                                  "keras3_trained_sequential"])
def test_training_state_is_kept_on_request(name, tmp_path):
    original = load_original(FOLDER / f"{name}.h5", compile=True)
    copy = load(convert(FOLDER / f"{name}.h5", tmp_path / "copy.h5", "--keep-training-state"), compile=True)
    old, new = ([np.asarray(v) for v in m.optimizer.variables] for m in (original, copy))
    assert len(old) > 1
    for a, b in zip(old, new, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", WEIGHTS_ONLY)
def test_weights_alone_are_loaded(name, tmp_path):
    model = load_original(FOLDER / f"{name}.h5")
    wanted = model.get_weights()
    path = convert(FOLDER / f"weights_only_{name}.h5", tmp_path / "copy.h5")
    model.set_weights([np.zeros_like(w) for w in wanted])
    model.load_weights(path)
    for a, b in zip(wanted, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_names_from_another_format_are_loaded_by_name(tmp_path):
    model = load_original(FOLDER / "conv2d_bn.h5")
    wanted = model.get_weights()
    convert(FOLDER / "conv2d_bn.h5", tmp_path / "flat.npz")
    path = convert(tmp_path / "flat.npz", tmp_path / "back.h5")
    model.set_weights([np.zeros_like(w) for w in wanted])
    model.load_weights(path, by_name=True)
    for a, b in zip(wanted, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def config_models():
    """Builders of testdata/generators/keras_configs.py: branches, shared layers, nested models."""
    sys.path.insert(0, str(TESTDATA / "generators"))
    sys.argv = sys.argv[:1]
    import keras_configs
    return keras_configs


@pytest.mark.parametrize("name", ["branches", "shared", "nested", "two_ended", "odd_calls"])
def test_graphs_keep_every_weight_at_its_layer(name, tmp_path):
    """Removing batch norms changes the order of layers, and weights are loaded by their place."""
    configs = config_models()
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model = getattr(configs, name)(configs.Builder(True))
    random = np.random.RandomState(7)
    model.set_weights([random.uniform(0.5, 2.0, w.shape) if "variance" in v.name else 0.3 * random.randn(*w.shape)
                       for v, w in zip(model.weights, model.get_weights())])
    inputs = [random.randn(2, *tensor.shape[1:]).astype(np.float32) for tensor in model.inputs]
    model.save(tmp_path / "model.h5")
    load_original(tmp_path / "model.h5")
    closing = ["--close-training-mode"] if name == "odd_calls" else []
    folded = load(convert(tmp_path / "model.h5", tmp_path / "folded.h5", "--bn", "fold", *closing))
    if name != "odd_calls":  # there a dropout stays on at serving: nothing to compare but what is there
        assert len(batch_norms(folded)) < len(batch_norms(model))
        for a, b in zip(run(folded, inputs), run(model, inputs), strict=True):
            assert np.abs(a - b).max() <= 2e-5 * max(1.0, np.abs(b).max())
    with h5py.File(tmp_path / "folded.h5") as file:
        listed = [n.decode() if isinstance(n, bytes) else n for n in file["model_weights"].attrs["layer_names"]]
        recorded = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert listed == [layer.name for layer in folded.layers]
    assert [layer["name"] for layer in recorded if layer["name"] in listed] == listed


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first, second = (convert(FOLDER / "nested_functional.h5", tmp_path / f"{i}.h5", "--bn", "fold") for i in (1, 2))
    assert first.read_bytes() == second.read_bytes()
