"""A TF1 program with batch norm written by hand, as it was copied from one blog to the next before tf.layers.

Makes testdata/tf1/hand_written/: `pop_mean` and `pop_var` are ref variables that `tf.assign` updates in place, inside the
training branch of a `tf.cond` on a phase placeholder (control flow v1: Switch, RefSwitch, Merge).  The first layer is
`tf.nn.batch_normalization` in both branches, the second divides by a square root.  Saved in the V2 and in the V1 format.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf

STEPS = 150
DECAY = 0.9
EPSILON = 0.001
CLASSES = 5


def normalized(x, mean, variance, beta, scale):
    return tf.nn.batch_normalization(x, mean, variance, beta, scale, EPSILON)


def divided(x, mean, variance, beta, scale):
    return scale * (x - mean) / tf.sqrt(variance + EPSILON) + beta


def batch_norm(x, phase, apply, name):
    """Batch norm over the last axis; the updates hang on the training branch itself."""
    channels, axes = x.shape[-1], list(range(len(x.shape) - 1))
    with tf1.variable_scope(name):
        variable = lambda name, value, trainable=True: tf1.get_variable(
            name, initializer=tf.fill([int(channels)], tf.constant(value, x.dtype)), trainable=trainable)
        scale, beta = variable("scale", 1.0), variable("beta", 0.0)
        pop_mean, pop_var = variable("pop_mean", 0.0, False), variable("pop_var", 1.0, False)

        def train():
            batch_mean, batch_var = tf.nn.moments(x, axes)
            train_mean = tf1.assign(pop_mean, pop_mean * DECAY + batch_mean * (1 - DECAY))
            train_var = tf1.assign(pop_var, pop_var * DECAY + batch_var * (1 - DECAY))
            with tf.control_dependencies([train_mean, train_var]):
                return apply(x, batch_mean, batch_var, beta, scale)

        def infer():
            return apply(x, pop_mean, pop_var, beta, scale)

        return infer() if phase is None else tf.cond(phase, train, infer)


def network(images, phase):
    """conv, batch norm, ReLU, dense, batch norm, ReLU, dense."""
    weights = lambda name, shape, seed: tf1.get_variable(
        name, shape, images.dtype, initializer=tf1.glorot_uniform_initializer(seed=seed, dtype=images.dtype))
    x = tf.nn.conv2d(images, weights("conv/weights", [3, 3, 3, 4], 1), 2, "SAME")
    x = tf.nn.relu(batch_norm(x, phase, normalized, "conv_norm"))
    x = tf.reshape(x, [-1, 3 * 3 * 4])
    x = tf.matmul(x, weights("hidden/weights", [3 * 3 * 4, 6], 2))
    x = tf.nn.relu(batch_norm(x, phase, divided, "hidden_norm"))
    return tf.matmul(x, weights("head/weights", [6, CLASSES], 3))


def infer_graph(images, dtype):
    """The inference branch alone, for common.infer."""
    del dtype
    return network(images, None)


def main():
    common.graph_mode()
    folder = common.output_folder("tf1", "hand_written")
    source = common.Images(seed=4, height=6, width=6, channels=3, classes=CLASSES)
    with tf.Graph().as_default() as graph:
        images = tf1.placeholder(tf.float32, [None, 6, 6, 3], name="images")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        phase = tf1.placeholder(tf.bool, [], name="phase")
        logits = tf.identity(network(images, phase), name="logits")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels))
        train_op = tf1.train.GradientDescentOptimizer(0.05).minimize(
            loss, global_step=tf1.train.get_or_create_global_step())
        assert not tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        operations = {node.op for node in graph.as_graph_def().node}
        assert {"RefSwitch", "Merge", "Assign", "RealDiv", "Sqrt", "Rsqrt"} <= operations, operations
        savers = {"model.ckpt": tf1.train.Saver(write_version=tf1.train.SaverDef.V2),
                  "model_v1.ckpt": tf1.train.Saver(write_version=tf1.train.SaverDef.V1)}
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            feed = lambda training: {**dict(zip((images, labels), source.batch(16))), phase: training}
            first_loss = sess.run(loss, feed(True))
            for _ in range(STEPS):
                sess.run(train_op, feed(True))
            assert sess.run(loss, feed(False)) < first_loss, "the network learned nothing"
            with common.working_in(folder):
                for name, saver in savers.items():
                    saver.save(sess, f"./{name}")
            values = {variable.op.name: sess.run(variable) for variable in tf1.global_variables()}
            batch = source.batch(8)[0]
            served = sess.run(logits, {images: batch, phase: False})
    assert np.abs(values["conv_norm/pop_mean"]).min() > 0.01
    (folder / "checkpoint").unlink()  # of the V1 file, which was saved last
    common.write_reference(folder / "reference.npz", infer_graph, values, batch)
    assert np.allclose(served, np.load(folder / "reference.npz")["output"], atol=1e-5)
    print("tf1/hand_written")


if __name__ == "__main__":
    main()
