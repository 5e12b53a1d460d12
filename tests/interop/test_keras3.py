"""Keras itself loads the archives and weights that ckpt wrote and computes the stored outputs.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. Runs under Keras 2.15 and Keras 3, each with the
files of its own generation.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import pytest

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
FOLDER = TESTDATA / "keras3"
sys.path.insert(0, str(TESTDATA / "generators"))

import keras3_archives as archives  # registers the classes of the fixtures

ARCHIVES = sorted(path.stem for path in FOLDER.glob(f"{archives.WORLD}_*.keras"))
# Batch norms that must stay; all others must be gone.
KEPT = {"reordered": ["bn_out"], "shared": ["bn_1"], "subclass": ["batch_normalization"]}


def ckpt(*arguments, code=0):
    """Runs the program, which must end with this exit code; returns what it says."""
    done = subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def convert(source, target, *options):
    """The path that was written."""
    ckpt("convert", source, target, "--quiet", *options)
    return target


def load(path, **options):
    """A model of Keras, not compiled unless told."""
    return keras.saving.load_model(path, **{"compile": False, **options})


def batch_norms(model):
    """Names of all batch norms, those of nested models and wrappers too."""
    found = []
    for layer in model._flatten_layers(recursive=False, include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer.name)
        elif isinstance(getattr(layer, "layer", None), keras.layers.BatchNormalization):
            found.append(layer.name)
        elif isinstance(layer, keras.Model):
            found += batch_norms(layer)
    return sorted(found)


def check_outputs(model, stem):
    """Compared with the network in float64."""
    arrays = np.load(FOLDER / f"{stem}.npz")
    exact = arrays["output_f64"]
    error = np.abs(archives.run(model, arrays["input"]) - exact).max()
    assert error <= 2e-5 * max(1.0, np.abs(exact).max()), error


def short(stem):
    return stem.split("_", 1)[1]


@pytest.mark.parametrize("stem", ARCHIVES)
def test_preserved_archive_is_the_same_model(stem, tmp_path):
    source = FOLDER / f"{stem}.keras"
    model = load(convert(source, tmp_path / "m.keras"))
    images = np.load(FOLDER / f"{stem}.npz")["input"]
    # Beside the source and on one processor: others round what was recorded in another way.
    assert np.array_equal(archives.run(model, images), archives.run(load(source), images))
    check_outputs(model, stem)


@pytest.mark.parametrize("stem", [stem for stem in ARCHIVES if short(stem) != "subclass"])
def test_folded_archive_computes_the_same(stem, tmp_path):
    folded = load(convert(FOLDER / f"{stem}.keras", tmp_path / "m.keras", "--bn", "fold"))
    assert batch_norms(folded) == KEPT.get(short(stem), [])
    check_outputs(folded, stem)


@pytest.mark.parametrize("stem", ["reordered", "shared"])
def test_leftovers_become_affine(stem, tmp_path):
    stem = f"{archives.WORLD}_{stem}"
    if stem not in ARCHIVES:
        pytest.skip("a fixture of Keras 3")
    source = FOLDER / f"{stem}.keras"
    folded = load(convert(source, tmp_path / "m.keras", "--bn", "fold", "--leftover", "affine"))
    check_outputs(folded, stem)


@pytest.mark.parametrize("name", ["functional", "sequential", "nested", "trained"])
def test_weights_alone_load_into_the_model(name, tmp_path):
    source = FOLDER / f"{archives.WORLD}_{name}.keras"
    weights = convert(source, tmp_path / "m.weights.h5")
    model = getattr(archives, name)()
    model.load_weights(weights)
    check_outputs(model, f"{archives.WORLD}_{name}")
    # Read again, the weights have the archive's names and values.
    assert ckpt("diff", source, weights, "--ignore-training-state")


@pytest.mark.parametrize("name", ["functional", "nested", "trained"])
def test_folded_weights_load_into_the_folded_model(name, tmp_path):
    source = FOLDER / f"{archives.WORLD}_{name}.keras"
    model = load(convert(source, tmp_path / "m.keras", "--bn", "fold"))
    before = archives.run(model, np.load(FOLDER / f"{source.stem}.npz")["input"])
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    model.load_weights(convert(source, tmp_path / "m.weights.h5", "--bn", "fold"))
    assert np.array_equal(archives.run(model, np.load(FOLDER / f"{source.stem}.npz")["input"]), before)


@pytest.mark.parametrize("name", ["functional", "subclass"])
def test_weights_files_come_back(name, tmp_path):
    stem = f"{archives.WORLD}_{name}"
    weights = convert(FOLDER / f"{stem}.weights.h5", tmp_path / "m.weights.h5")
    expected = json.loads((FOLDER / f"{stem}.weights.h5.expected.json").read_text())["tensors"]
    model = getattr(archives, name)()
    model.load_weights(weights)
    got = [archives.expected.describe(n, archives.as_array(v)) for n, v in archives.named_variables(model)]
    assert [t["crc32"] for t in sorted(got, key=lambda t: t["name"].encode())] == [t["crc32"] for t in expected]


def test_training_goes_on_where_it_stopped(tmp_path):
    source = FOLDER / f"{archives.WORLD}_trained.keras"
    model = load(convert(source, tmp_path / "m.keras", "--keep-training-state"), compile=True)
    original = load(source, compile=True)
    values = [np.asarray(v) for v in (model.optimizer.variables() if callable(model.optimizer.variables)
                                      else model.optimizer.variables)]
    others = [np.asarray(v) for v in (original.optimizer.variables() if callable(original.optimizer.variables)
                                      else original.optimizer.variables)]
    assert len(values) > 2 and all(np.array_equal(a, b) for a, b in zip(values, others, strict=True))


def test_without_training_state_nothing_is_compiled(tmp_path):
    model = load(convert(FOLDER / f"{archives.WORLD}_trained.keras", tmp_path / "m.keras"), compile=True)
    assert not getattr(model, "compiled", False) and getattr(model, "optimizer", None) is None


def test_the_same_input_gives_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a.keras", "b.keras"):
        path = convert(FOLDER / f"{archives.WORLD}_nested.keras", tmp_path / name, "--bn", "fold")
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_subclassed_model_is_not_folded(tmp_path):
    if f"{archives.WORLD}_subclass" not in ARCHIVES:
        pytest.skip("a fixture of Keras 3")
    out = ckpt("convert", FOLDER / f"{archives.WORLD}_subclass.keras", tmp_path / "m.keras", "--bn", "fold")
    assert "kept" in out
    check_outputs(load(tmp_path / "m.keras"), f"{archives.WORLD}_subclass")


def test_a_set_becomes_one_file(tmp_path):
    if archives.WORLD != "k3":
        pytest.skip("Keras 2 writes no sets")
    sharded, one = archives.many(), archives.many()
    sharded.load_weights(FOLDER / "k3_many.weights.json")
    one.load_weights(convert(FOLDER / "k3_many.weights.json", tmp_path / "m.weights.h5"))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), sharded.get_weights(), strict=True))


@pytest.mark.parametrize("size", ["300", "1KB", "5GB"])
@pytest.mark.parametrize("name", ["functional", "nested", "trained"])
def test_a_set_is_loaded_by_keras(name, size, tmp_path):
    if archives.WORLD != "k3":
        pytest.skip("Keras 2 reads no sets")
    source = FOLDER / f"k3_{name}.keras"
    index = convert(source, tmp_path / "m.weights.json", "--shard-size", size)
    shards = sorted(tmp_path.glob("m_*.weights.h5"))
    assert len(shards) > 1 if size == "300" else shards
    model = getattr(archives, name)()
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    model.load_weights(index)
    check_outputs(model, f"k3_{name}")
    # A smaller set leaves nothing of the larger one behind.
    convert(source, index, "--force")
    assert len(list(tmp_path.glob("m_*.weights.h5"))) == 1


def test_a_folded_set_is_loaded_by_the_folded_model(tmp_path):
    if archives.WORLD != "k3":
        pytest.skip("Keras 2 reads no sets")
    source = FOLDER / "k3_functional.keras"
    model = load(convert(source, tmp_path / "m.keras", "--bn", "fold"))
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    model.load_weights(convert(source, tmp_path / "m.weights.json", "--bn", "fold", "--shard-size", "300"))
    check_outputs(model, "k3_functional")


# Whole models in the older layout, by Keras 3 and by Keras 2.15.
OLDER = TESTDATA / "keras_h5"


@pytest.mark.parametrize("options", [(), ("--bn", "fold")], ids=["preserve", "fold"])
@pytest.mark.parametrize("name", ["functional", "sequential", "nested", "trained_sequential"])
def test_an_older_whole_model_becomes_an_archive(name, options, tmp_path):
    if archives.WORLD != "k3":
        pytest.skip("archives of such files are for Keras 3")
    model = load(convert(OLDER / f"keras3_{name}.h5", tmp_path / "m.keras", *options))
    arrays = np.load(OLDER / f"keras3_{name}.npz")
    exact = arrays["output_f64"]
    assert np.abs(archives.run(model, arrays["input"]) - exact).max() <= 2e-5 * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("name", ["conv2d_bn", "separable_bn", "conv_bn_no_scale", "nested_functional", "sequential_bn",
                                  "time_distributed_bn", "shared_conv_two_bns", "add_two_convs_bn"])
def test_weights_of_an_older_whole_model(name, tmp_path):
    source = OLDER / f"{name}.h5"
    try:
        model = keras.models.load_model(source, compile=False)
    except Exception as error:  # whatever a loader raises for a file of another generation
        pytest.skip(f"this Keras does not load the unconverted file: {str(error)[:100]}")
    values = model.get_weights()
    model.set_weights([np.zeros_like(value) for value in values])
    model.load_weights(convert(source, tmp_path / "m.weights.h5"))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), values, strict=True))


def test_an_archive_needs_a_config_that_keras_3_reads(tmp_path):
    ckpt("convert", OLDER / "conv2d_bn.h5", tmp_path / "m.keras", code=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shape", "layer", "options"), [
    ((2, 4, 5, 3), "Conv2D", {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "same"}),
    ((2, 4, 5, 3), "DepthwiseConv2D", {"kernel_size": 2, "strides": 2, "padding": "same"}),
    ((3, 8, 5, 3), "Conv2D", {"filters": 4, "kernel_size": (1, 2), "strides": (1, 2), "padding": "same"}),
    ((4, 8, 3), "Conv1D", {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "causal"}),
    ((2, 4, 6, 3), "Conv2D", {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "valid"}),
])
def test_zeros_within_each_step_of_a_sequence_pad(shape, layer, options, tmp_path):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape), keras.layers.BatchNormalization(),
                              keras.layers.TimeDistributed(getattr(keras.layers, layer)(**options))])
    random = np.random.default_rng(4)
    for weight in model.layers[0].weights:
        weight.assign(random.uniform(0.5, 2, weight.shape))
    source, target = tmp_path / "in.keras", tmp_path / "out.keras"
    model.save(source)
    report = json.loads(ckpt("convert", "--format", "json", "--bn", "fold", "--no-verify", source, target))
    assert len(report["folded"]) == (options["padding"] == "valid"), report
    x = random.standard_normal((2, *shape)).astype(np.float32)
    before, after = model.predict(x, verbose=0), keras.models.load_model(target).predict(x, verbose=0)
    assert float(np.max(np.abs(after - before))) < 1e-5 * max(1, float(np.max(np.abs(before))))
