"""A checkpoint whose names mislead, with the graph beside it: only the graph says what feeds what.

Makes testdata/tf1/graph_evidence/.  `stem` is a partitioned convolution before its batch norm, whose gamma is partitioned
into one part.  `unit` holds `weights` and `BatchNorm` as tf_slim nests them, and is a pre-activation unit: the batch norm
comes first.  folded.npz has what a fold has to give, in float64.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf

import paths

EPSILON = 1e-3


def network(x):
    partitioner = tf1.min_max_variable_partitioner(max_partitions=2, min_slice_size=64)
    with tf1.variable_scope("stem", partitioner=partitioner):
        h = tf.nn.conv2d(x, tf1.get_variable("w", [3, 3, 3, 8]), 1, "SAME")
        h = tf1.layers.batch_normalization(h, epsilon=EPSILON, name="bn")
    with tf1.variable_scope("unit"):
        y = tf.nn.relu(tf1.layers.batch_normalization(h, epsilon=EPSILON, name="BatchNorm"))
        h = h + tf.nn.conv2d(y, tf1.get_variable("weights", [3, 3, 8, 8]), 1, "SAME")
    return tf.reduce_mean(h, [1, 2], name="out")


def main():
    folder = paths.folder("tf1", "graph_evidence")
    values = np.random.RandomState(11)
    with tf.Graph().as_default() as graph:
        network(tf1.placeholder(tf.float32, [None, 8, 8, 3], name="x"))
        saver = tf1.train.Saver()
        with common.session(graph) as sess:
            for variable in tf1.global_variables():
                shape = variable.shape.as_list()
                positive = variable.op.name.split("/part_")[0].endswith(("gamma", "moving_variance"))
                value = values.rand(*shape) + 0.25 if positive else values.randn(*shape) * 0.4
                variable.load(value.astype(np.float32), sess)
            saver.save(sess, str(folder / "model.ckpt"), write_state=False)
    reader = tf.train.load_checkpoint(str(folder / "model.ckpt"))
    stored = {name: reader.get_tensor(name).astype(np.float64) for name in reader.get_variable_to_shape_map()}
    gamma, beta, mean, variance = (stored.pop(f"stem/bn/{leaf}")
                                   for leaf in ("gamma", "beta", "moving_mean", "moving_variance"))
    scale = gamma / np.sqrt(variance + EPSILON)
    stored["stem/w"] = stored["stem/w"] * scale
    stored["stem/bias"] = beta - mean * scale
    np.savez(folder / "folded.npz", **stored)


if __name__ == "__main__":
    main()
