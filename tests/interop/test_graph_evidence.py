"""The graph beside a TensorFlow 1 checkpoint decides what is folded where only tensors are written.

Each program is saved in float32, folded into an .npz, and run twice in float64 by TensorFlow: with the tensors of the
checkpoint, and with those of the .npz, the folded batch norms made identities.
"""

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1
if not hasattr(tf1, "layers"):
    pytest.skip("no tf.layers", allow_module_level=True)
try:
    tf1.layers.batch_normalization
except (AttributeError, ImportError):
    pytest.skip("no tf.layers", allow_module_level=True)

EPSILON = 1e-3


def norm(x, phase, name):
    return tf1.layers.batch_normalization(x, training=phase, epsilon=EPSILON, name=name)


def digits(x, phase, partitioner):
    """Hand-written and tf.layers' convolutions, a dense layer behind a flatten, every variable partitioned."""
    with tf1.variable_scope("net", partitioner=partitioner):
        h = tf.nn.conv2d(x, tf1.get_variable("c1/w", [5, 5, 1, 8], x.dtype), 2, "SAME")
        h = tf.nn.relu(norm(h, phase, "bn1"))
        h = tf.nn.conv2d(h, tf1.get_variable("c2/w", [3, 3, 8, 12], x.dtype), 2, "SAME")
        h = h + tf1.get_variable("c2/b", [12], x.dtype)
        h = tf.nn.relu(norm(h, phase, "bn2"))
        h = tf.reshape(h, [-1, 3 * 3 * 12])
        h = tf.matmul(h, tf1.get_variable("fc/w", [108, 10], x.dtype))
        return norm(h, phase, "bn3")


def pre_activation(x, phase, partitioner):
    """Names nested as tf_slim's, the batch norm before the convolution of its scope."""
    del partitioner
    h = tf.nn.conv2d(x, tf1.get_variable("stem/weights", [3, 3, 1, 8], x.dtype), 2, "SAME")
    for unit in ("unit1", "unit2"):
        with tf1.variable_scope(unit):
            y = tf.nn.relu(norm(h, phase, "BatchNorm"))
            h = h + tf.nn.conv2d(y, tf1.get_variable("weights", [3, 3, 8, 8], x.dtype), 1, "SAME")
    return tf.reduce_mean(h, [1, 2])


def towers(x, phase, partitioner):
    """Two calls of one convolution and its batch norm."""
    del partitioner
    halves = []
    for i in range(2):
        with tf1.variable_scope("shared", reuse=i > 0), tf1.name_scope(f"tower_{i}"):
            h = tf.nn.conv2d(x[:, 6 * i:6 * i + 6], tf1.get_variable("w", [3, 3, 1, 8], x.dtype), 1, "SAME")
            halves.append(tf.nn.relu(norm(h, phase, "bn")))
    return tf.reduce_mean(tf.concat(halves, 1), [1, 2])


def full_name(variable):
    return variable._save_slice_info.full_name if variable._save_slice_info else variable.op.name


def save(program, partitioner, prefix):
    """A training program with random values; returns those by name."""
    values = {}
    random = np.random.RandomState(3)
    with tf.Graph().as_default(), tf1.Session() as session:
        phase = tf1.placeholder_with_default(False, [], name="phase")
        x = tf1.placeholder(tf.float32, [None, 12, 12, 1], name="x")
        logits = tf.identity(program(x, phase, partitioner), name="logits")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        with tf.control_dependencies(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
            tf1.train.GradientDescentOptimizer(0.1).minimize(loss, name="train")
        session.run(tf1.global_variables_initializer())
        for variable in tf1.global_variables():
            shape = variable.shape.as_list()
            positive = full_name(variable).endswith(("gamma", "moving_variance"))
            value = random.rand(*shape) + 0.3 if positive else random.randn(*shape) * 0.3
            variable.load(value.astype(np.float32), session)
        tf1.train.Saver().save(session, str(prefix))
    reader = tf.train.load_checkpoint(str(prefix))
    for name in reader.get_variable_to_shape_map():
        values[name] = reader.get_tensor(name).astype(np.float64)
    return values


def run(program, values, x):
    """In float64, nothing partitioned."""
    with tf.Graph().as_default(), tf1.Session() as session:
        given = tf1.placeholder(tf.float64, [None, 12, 12, 1])
        out = program(given, False, None)
        for variable in tf1.global_variables():
            variable.load(values[variable.op.name].astype(np.float64), session)
        return session.run(out, {given: x})


def without_folded(values, written, report):
    """The checkpoint's names with the values that were written; a bias that was added goes into its batch norm."""
    result = {name: written.get(name, value) for name, value in values.items()}
    for folded in report["folded"]:
        scope, kernel = folded["batch_norm"], folded["into"][0]
        mean = values[f"{scope}/moving_mean"]
        result[f"{scope}/moving_mean"] = np.zeros_like(mean)
        result[f"{scope}/moving_variance"] = np.full_like(mean, 1 - EPSILON)
        result[f"{scope}/gamma"] = np.ones_like(mean)
        added = [name for name in written if name not in values and name.rpartition("/")[0] == kernel.rpartition("/")[0]]
        result[f"{scope}/beta"] = written[added[0]] if added else np.zeros_like(mean)
    return result


PARTITIONERS = {
    "whole": None,
    "two": tf1.fixed_size_partitioner(2),
    "last_axis": lambda shape, dtype, **_: [1] * (len(shape) - 1) + [2],
    "one_part": tf1.min_max_variable_partitioner(max_partitions=3, min_slice_size=128),
}


CASES = [(digits, 3, partitioner) for partitioner in PARTITIONERS] + [(pre_activation, 0, "whole"), (towers, 1, "whole")]


@pytest.mark.parametrize("program, folded, partitioner", CASES)
def test_tensors_alone_compute_the_same(program, folded, partitioner, tmp_path):
    values = save(program, PARTITIONERS[partitioner], tmp_path / "model.ckpt")
    done = subprocess.run([os.environ["CKPT_BINARY"], "convert", "--bn", "fold", "--outputs", "logits", "--format", "json",
                           str(tmp_path / "model.ckpt"), str(tmp_path / "out.npz")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["folded"]) == folded, report["kept"]
    written = {name: value.astype(np.float64) for name, value in np.load(tmp_path / "out.npz").items()}
    x = np.random.RandomState(9).randn(4, 12, 12, 1)
    wanted = run(program, values, x)
    got = run(program, without_folded(values, written, report), x)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
