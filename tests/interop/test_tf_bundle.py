"""TensorFlow itself reads the bundles that ckpt writes, restores them and computes the stored outputs.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. The reader's tests run under every TensorFlow, the
graph-mode ones where tf.layers exists (TensorFlow 2.15).
"""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
import tensorflow as tf

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
GRAPH_MODE = tf.__version__.startswith("2.15")
sys.path.insert(0, str(TESTDATA / "generators"))
tf1 = tf.compat.v1

BUNDLES = ["tf1/resnet/correct", "tf1/mnist/correct", "tf/slim/ema", "tf/bundles/partitioned/sliced", "tf/bundles/sharded",
           "tf/bundles/numeric_dtypes", "tf/bundles/strings", "tf/bundles/shapes", "tf/rewritten/big_endian",
           "tf/rewritten/snappy_index"]


def ckpt(*arguments):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"


def read(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def original(folder):
    """The prefix that the folder's state file, or its only index, names."""
    latest = tf.train.latest_checkpoint(str(TESTDATA / folder))
    if latest:
        return latest
    [index] = (TESTDATA / folder).glob("*.index")
    return str(index)[:-len(".index")]


@pytest.mark.parametrize("folder", BUNDLES)
def test_reader_finds_the_values_that_the_source_has(folder, tmp_path):
    ckpt("convert", "--to", "tf-bundle", "--keep-training-state", TESTDATA / folder, tmp_path / "out.ckpt")
    before, after = read(original(folder)), read(tmp_path / "out.ckpt")
    assert sorted(after) == sorted(before)
    for name, value in before.items():
        np.testing.assert_array_equal(np.asarray(after[name]), np.asarray(value), err_msg=name)


def restored_output(prefix, build, images):
    """Builds an inference graph, restores every variable of it with a plain Saver, and runs it."""
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        placeholder = tf1.placeholder(tf.float32, [None, *images.shape[1:]])
        output = build(placeholder)
        tf1.train.Saver(tf1.global_variables()).restore(session, str(prefix))
        return session.run(output, {placeholder: images})


def assert_serves(prefix, build, reference):
    """The batch's output, and the first row alone, agree with the float64 run of the original."""
    exact = reference["output_f64"]
    scale = np.abs(exact).max()
    batch = restored_output(prefix, build, reference["input"])
    single = restored_output(prefix, build, reference["input"][:1])
    assert np.abs(batch - exact).max() <= 1e-5 * scale
    assert np.abs(single[0] - exact[0]).max() <= 1e-5 * scale


@pytest.fixture
def ref_variables():
    """The variables of TensorFlow 1. Only for a test: graph_mode() of the generators would end eager execution in the
    whole process, and other modules need it."""
    tf1.disable_resource_variables()
    yield
    tf1.enable_resource_variables()


@pytest.mark.skipif(not GRAPH_MODE, reason="needs tf.layers")
@pytest.mark.parametrize("program", ["resnet", "mnist"])
def test_saver_restores_and_serves(program, tmp_path, ref_variables):
    module = __import__(f"tf1_{program}")
    folder = f"tf1/{program}/correct"
    ckpt("convert", "--to", "tf-bundle", TESTDATA / folder, tmp_path / "out.ckpt")
    assert_serves(tmp_path / "out.ckpt", lambda x: module.infer_graph(x, tf.float32),
                  np.load(TESTDATA / folder / "reference.npz"))


def folded_mnist(images):
    """The founding MNIST network without its batch norms."""
    x = images
    for name, filters in (("block1", 4), ("block2", 6)):
        with tf1.variable_scope(name):
            x = tf1.layers.conv2d(x, filters, 3, padding="same", name="conv")
            x = tf1.layers.max_pooling2d(tf.nn.relu(x), 2, 2)
    return tf1.layers.dense(tf1.layers.flatten(x), 10, name="head")


@pytest.mark.skipif(not GRAPH_MODE, reason="needs tf.layers")
@pytest.mark.parametrize("pairing", ["--pair-by-order", "--pair-by-name"])
def test_folded_mnist_serves_without_batch_norm(pairing, tmp_path, ref_variables):
    ckpt("convert", "--to", "tf-bundle", "--bn", "fold", pairing, "--epsilon", "0.001", "--strict",
         TESTDATA / "tf1/mnist/correct", tmp_path / "out.ckpt")
    assert not [name for name in read(tmp_path / "out.ckpt") if "/bn/" in name]
    assert_serves(tmp_path / "out.ckpt", folded_mnist, np.load(TESTDATA / "tf1/mnist/correct/reference.npz"))


@pytest.mark.parametrize("variant", ["trainable_only", "updates_not_run"])
@pytest.mark.parametrize("program", ["resnet", "mnist"])
def test_a_checkpoint_that_cannot_serve_is_not_clean(program, variant):
    done = subprocess.run([os.environ["CKPT_BINARY"], "audit", str(TESTDATA / "tf1" / program / variant)],
                          capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.skipif(not GRAPH_MODE, reason="Keras 3 writes no such weights")
def test_a_model_within_a_model_folds_by_its_variables_own_names(tmp_path):
    """The whole file calls them "inner/conv/kernel", the checkpoint "conv/kernel". Held against the formula in float64."""
    tf.keras.utils.set_random_seed(5)
    inner_input = tf.keras.Input((8, 8, 3))
    hidden = tf.keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(inner_input)
    inner = tf.keras.Model(inner_input, tf.keras.layers.BatchNormalization(name="bn")(hidden), name="inner")
    outer_input = tf.keras.Input((8, 8, 3))
    model = tf.keras.Model(outer_input, tf.keras.layers.Dense(2, name="head")(inner(outer_input)))
    random = np.random.default_rng(6)
    norm = inner.get_layer("bn")
    norm.set_weights([random.uniform(0.5, 2, weight.shape) for weight in norm.weights])
    model.save(tmp_path / "model.h5")
    model.save_weights(str(tmp_path / "weights"))
    ckpt("convert", "--bn", "fold", "--graph", tmp_path / "model.h5", tmp_path / "weights", tmp_path / "out.npz")
    written = np.load(tmp_path / "out.npz")
    gamma, beta, mean, variance = (weight.numpy().astype(np.float64) for weight in norm.weights)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    kernel = inner.get_layer("conv").kernel.numpy().astype(np.float64)
    assert sorted(written) == ["conv/bias", "conv/kernel", "head/bias", "head/kernel"]
    np.testing.assert_allclose(written["conv/kernel"], kernel * scale, rtol=2e-7)
    np.testing.assert_allclose(written["conv/bias"], beta - mean * scale, rtol=1e-6, atol=1e-7)
