"""SavedModels and frozen graphs of a small network with batch norms, binary and as text.

    tf_graphs.py FOLDER_NAME

Makes testdata/tf_graphs/FOLDER_NAME/: tf2.15 with TensorFlow 2.15, tf2.21 with 2.21.  Nothing is trained: weights and
statistics are seeded random numbers.  `expected.json` has the weights that TensorFlow reads from each file; `reference.npz`
the network's output.
"""

import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import expected

tf1 = tf.compat.v1
TESTDATA = pathlib.Path(__file__).resolve().parent.parent
EPSILON = 1e-3


class Net(tf.Module):
    """conv-BN-ReLU twice (the second depthwise) and a dense head, out of plain operations."""

    def __init__(self):
        super().__init__(name="net")
        random = np.random.default_rng(23)
        variable = lambda name, values, trainable=True: tf.Variable(
            np.asarray(values, np.float32), trainable=trainable, name=name)
        self.kernel = variable("conv/kernel", random.normal(size=(3, 3, 3, 4)))
        self.bias = variable("conv/bias", random.normal(size=4))
        self.depthwise = variable("depthwise/kernel", random.normal(size=(3, 3, 4, 2)))
        self.head = variable("head/kernel", random.normal(size=(8, 5)))
        self.layers = []
        for index, channels in enumerate((4, 8)):
            layer = tf.Module(name=f"bn{index}")
            layer.gamma = variable(f"bn{index}/gamma", random.uniform(0.5, 2, channels))
            layer.beta = variable(f"bn{index}/beta", random.normal(size=channels))
            layer.moving_mean = variable(f"bn{index}/moving_mean", random.normal(size=channels), False)
            layer.moving_variance = variable(f"bn{index}/moving_variance", random.uniform(0.1, 3, channels), False)
            self.layers.append(layer)

    def _norm(self, x, layer, training):
        y, mean, variance, *_ = tf1.nn.fused_batch_norm(
            x, layer.gamma, layer.beta, None if training else layer.moving_mean,
            None if training else layer.moving_variance, epsilon=EPSILON, is_training=training)
        if training:
            layer.moving_mean.assign(0.9 * layer.moving_mean + 0.1 * mean)
            layer.moving_variance.assign(0.9 * layer.moving_variance + 0.1 * variance)
        return tf.nn.relu(y)

    def run(self, images, training):
        x = tf.nn.conv2d(images, self.kernel, 1, "SAME") + self.bias
        x = self._norm(x, self.layers[0], training)
        x = tf.nn.depthwise_conv2d(x, self.depthwise, [1, 1, 1, 1], "VALID")
        x = self._norm(x, self.layers[1], training)
        return tf.linalg.matmul(tf.reduce_mean(x, [1, 2]), self.head)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")])
    def serve(self, images):
        return {"logits": self.run(images, training=False)}

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")])
    def train(self, images):
        return {"logits": self.run(images, training=True)}


def constants(graph_def):
    """The weights that TensorFlow reads from the constants of a graph: floating, of at least one axis."""
    found = {}
    for node in graph_def.node:
        if node.op == "Const":
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.dtype.kind == "f" and value.ndim > 0 and value.size > 0:
                found[node.name] = value
    return [expected.describe(name, found[name]) for name in sorted(found, key=str.encode)]


def write_graph(folder, name, graph_def):
    """The graph as NAME.pb and NAME.pbtxt with what TensorFlow reads in them."""
    (folder / f"{name}.pb").write_bytes(graph_def.SerializeToString(deterministic=True))
    (folder / f"{name}.pbtxt").write_text(text_format.MessageToString(graph_def))
    expected.write(folder / f"{name}.expected.json", f"tensorflow {tf.__version__}", constants(graph_def))


def main():
    folder = TESTDATA / "tf_graphs" / sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    net = Net()
    images = np.random.default_rng(5).normal(size=(3, 8, 8, 3)).astype(np.float32)
    output = net.serve(tf.constant(images))["logits"].numpy()
    np.savez(folder / "reference.npz", input=images, output=output)

    # A model server's layout, with two versions.
    for version in ("1", "2"):
        saved = folder / "served" / version
        tf.saved_model.save(net, str(saved), {"serving_default": net.serve, "train": net.train})
        (saved / "fingerprint.pb").unlink(missing_ok=True)  # of one run
        shutil.rmtree(saved / "assets", ignore_errors=True)
        expected.from_tf_checkpoint(saved / "variables" / "variables")
    loaded = tf.saved_model.load(str(saved)).signatures["serving_default"](images=tf.constant(images))["logits"].numpy()
    assert np.abs(loaded - output).max() < 1e-5

    # The graph alone, as text: its variables are absent.
    model = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    (folder / "text").mkdir()
    (folder / "text" / "saved_model.pbtxt").write_text(text_format.MessageToString(model))

    frozen = convert_variables_to_constants_v2(net.serve.get_concrete_function())
    write_graph(folder, "frozen", frozen.graph.as_graph_def())

    # A SavedModel whose weights are constants of its graph.
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
        with tf1.Session(graph=graph) as session:
            tensors = {"images": graph.get_tensor_by_name(frozen.inputs[0].name)}
            results = {"logits": graph.get_tensor_by_name(frozen.outputs[0].name)}
            tf1.saved_model.simple_save(session, str(folder / "frozen_saved_model"), tensors, results)
    shutil.rmtree(folder / "frozen_saved_model" / "variables", ignore_errors=True)

    # Values that a graph writes in few bytes, and a function that is called.
    graph = tf.Graph()
    with graph.as_default():
        splat = tf.constant(0.25, shape=(4, 6), name="splat")
        half = tf.constant(np.linspace(-2, 2, 6), tf.float16, shape=(2, 3), name="half")
        brain = tf.constant(np.linspace(-2, 2, 6), tf.bfloat16, shape=(6,), name="brain")
        large = tf.constant(np.arange(3000, dtype=np.float64) / 7, name="large")
        switch = tf1.placeholder_with_default(False, [], name="phase")
        tf.cond(switch, lambda: splat * 2.0, lambda: splat + 1.0, name="either")
        tf.identity(large, name="large_out")
        tf.cast(half, tf.float32), tf.cast(brain, tf.float32)
    write_graph(folder, "values", graph.as_graph_def())


main()
