"""`ckpt calibrate` on the founding programs: statistics that were never updated, or never saved, are computed again, and
TensorFlow restores the file into the serving graph with a Saver over all variables.

The expected statistics are TensorFlow's own: the moments of the training graph in float64, over the whole set as one
batch. CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. Needs tf.layers (TensorFlow 2.15).
"""

import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
import tensorflow as tf

if not tf.__version__.startswith("2.15"):
    pytest.skip("needs tf.layers", allow_module_level=True)

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
sys.path.insert(0, str(TESTDATA / "generators"))
tf1 = tf.compat.v1
PROGRAMS = ["mnist", "resnet"]
EXAMPLES = 512


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(autouse=True)
def ref_variables():
    """The variables of TensorFlow 1, for a test only."""
    tf1.disable_resource_variables()
    yield
    tf1.enable_resource_variables()


def read(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def images_of(program, count):
    """Images of the distribution that the program was trained on."""
    import tf1_common as common
    size = {"mnist": dict(seed=2, channels=1, classes=10), "resnet": dict(seed=1, channels=3, classes=4)}[program]
    return common.Images(height=8, width=8, **size).batch(count)[0]


def serve(program, images):
    return __import__(f"tf1_{program}").infer_graph(images, images.dtype)


def train(program, images):
    module = __import__(f"tf1_{program}")
    if program == "mnist":
        return module.network(images, True)
    return module.ResNet(images, "train", images.dtype).logits


def moments(program, values, images):
    """Mean and variance of each batch norm's input over the whole set, by the training graph in float64."""
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        placeholder = tf1.placeholder(tf.float64, [None, *images.shape[1:]])
        train(program, placeholder)
        session.run(tf1.global_variables_initializer())
        for variable in tf1.global_variables():
            if variable.op.name in values:
                variable.load(values[variable.op.name].astype(np.float64), session)
        scopes = [v.op.name.rsplit("/", 1)[0] for v in tf1.global_variables() if v.op.name.endswith("moving_mean")]
        fetches = {scope: (f"{scope}/moments/Squeeze:0", f"{scope}/moments/Squeeze_1:0") for scope in scopes}
        return session.run(fetches, {placeholder: images.astype(np.float64)})


def restored_output(program, prefix, images):
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        placeholder = tf1.placeholder(tf.float32, [None, *images.shape[1:]])
        output = serve(program, placeholder)
        tf1.train.Saver().restore(session, str(prefix))  # over all variables
        return session.run(output, {placeholder: images})


@pytest.fixture(params=[(p, v) for p in PROGRAMS for v in ("updates_not_run", "trainable_only")], ids="/".join)
def case(request, tmp_path):
    program, variant = request.param
    folder = TESTDATA / "tf1" / program / variant
    images = images_of(program, EXAMPLES)
    np.savez(tmp_path / "x.npz", images=images)
    done = ckpt("calibrate", folder, tmp_path / "out", "--data", tmp_path / "x.npz", "--format", "json")
    return program, variant, folder, tmp_path, images, json.loads(done.stdout)


def test_statistics_are_those_of_the_whole_set_in_the_graphs_own_names_and_types(case):
    program, variant, folder, out, images, report = case
    ckpt("calibrate", "--variance", "biased", folder, out / "biased", "--data", out / "x.npz")
    before, after = read(tf.train.latest_checkpoint(str(folder))), read(out / "biased")
    expected = moments(program, before, images)
    assert sorted(entry["batch_norm"] for entry in report["calibrated"]) == sorted(expected)
    for scope, (mean, variance) in expected.items():
        stored_mean, stored_variance = after.pop(f"{scope}/moving_mean"), after.pop(f"{scope}/moving_variance")
        assert stored_mean.dtype == stored_variance.dtype == np.float32
        assert np.abs(stored_mean - mean).max() <= 1e-6 * np.sqrt(variance).max() + 6e-8 * np.abs(mean).max()
        assert np.allclose(stored_variance, variance, rtol=1e-6, atol=0)
    statistics = {f"{scope}/{name}" for scope in expected for name in ("moving_mean", "moving_variance")}
    assert sorted(after) == sorted(set(before) - statistics)
    assert all(np.array_equal(after[name], before[name]) for name in after)
    if variant == "trainable_only":
        assert any("tf.train.Saver() over all variables" in note for note in report["notes"])


def test_the_variance_is_the_one_that_the_programs_kernel_would_have_stored(case):
    """TensorFlow's fused kernel, which tf.layers uses, stores n/(n - 1); the program by hand does not."""
    program, _, folder, out, images, report = case
    scope = {"mnist": "block1/bn", "resnet": "init/init_bn"}[program]
    [entry] = [entry for entry in report["calibrated"] if entry["batch_norm"] == scope]
    assert entry["elements"] == EXAMPLES * 64
    variance = moments(program, read(tf.train.latest_checkpoint(str(folder))), images)[scope][1]
    if program == "mnist":
        variance = variance * entry["elements"] / (entry["elements"] - 1)
    assert entry["variance"] == ("unbiased" if program == "mnist" else "biased")
    assert np.allclose(read(out / "out")[f"{scope}/moving_variance"], variance, rtol=1e-7, atol=0)


def test_a_saver_over_all_variables_restores_it_and_it_predicts_like_the_correct_run(case):
    program, _, folder, out, _, _ = case
    reference = np.load(folder / "reference.npz")
    served = restored_output(program, out / "out", reference["input"])
    right, stale = reference["output_true_statistics_f64"], reference["output_f64"]
    scale = np.abs(right).max()
    assert np.array_equal(served.argmax(-1), right.argmax(-1))
    # The reference has moving averages over batches of 32, whose own noise is some per cent.
    error = np.abs(served - right).max()
    assert error <= 0.1 * scale
    assert np.abs(stale - right).max() > 5 * error


def test_the_output_is_clean_and_freezes(case):
    _, _, folder, out, _, _ = case
    assert "clean" in ckpt("audit", "--fail-on", "warning", out / "out").stdout
    [meta] = folder.glob("*.meta")
    ckpt("convert", "--graph", meta, "--bn", "fold", out / "out", out / "served.npz")


@pytest.mark.parametrize("name", ["model.ckpt", "model_v1.ckpt"])
def test_batch_norms_written_by_hand_are_found_by_what_the_graph_does_with_them(name, tmp_path):
    folder = TESTDATA / "tf1" / "hand_written"
    images = np.random.default_rng(3).normal(0.3, 1.5, (EXAMPLES, 6, 6, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    ckpt("calibrate", "--all", folder / name, tmp_path / "out", "--data", tmp_path / "x.npy")
    before, after = read(folder / "model.ckpt"), read(tmp_path / "out")
    f64 = {key: value.astype(np.float64) for key, value in before.items()}
    conv = tf.nn.conv2d(images.astype(np.float64), f64["conv/weights"], 2, "SAME").numpy()
    mean, variance = conv.mean((0, 1, 2)), conv.var((0, 1, 2))
    assert np.allclose(after["conv_norm/pop_mean"], mean, rtol=1e-6, atol=1e-7)
    assert np.allclose(after["conv_norm/pop_var"], variance, rtol=1e-6, atol=0)
    scale, beta = f64["conv_norm/scale"], f64["conv_norm/beta"]
    hidden = np.maximum(scale * (conv - mean) / np.sqrt(variance + 0.001) + beta, 0).reshape(EXAMPLES, -1)
    hidden = hidden @ f64["hidden/weights"]
    assert np.allclose(after["hidden_norm/pop_mean"], hidden.mean(0), rtol=1e-6, atol=1e-6)
    assert np.allclose(after["hidden_norm/pop_var"], hidden.var(0), rtol=1e-6, atol=0)
