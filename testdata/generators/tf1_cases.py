"""Checkpoints and pairs of checkpoints that a training history leaves behind.

Makes testdata/tf/cases/<name>/: a warm start that lost its statistics, a frozen layer whose statistics drifted,
two towers with statistics of their own, batch renormalization, virtual batches, zero-debiased averages.
Where only the values count there is no .meta, to stay small.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf
from tensorflow.python.training import moving_averages

CLASSES = 4
SHAPE = (8, 8, 3)


def network(images, training, **batch_norm):
    """Two conv-BN-ReLU blocks and a dense head, by tf.layers."""
    x = images
    for block, filters in (("block1", 4), ("block2", 6)):
        with tf1.variable_scope(block):
            x = tf1.layers.conv2d(x, filters, 3, use_bias=False, name="conv",
                                  kernel_initializer=tf1.glorot_uniform_initializer(seed=filters))
            x = tf.nn.relu(tf1.layers.batch_normalization(x, training=training, momentum=0.9, name="bn", **batch_norm))
    x = tf.reduce_mean(x, [1, 2])
    return tf1.layers.dense(x, CLASSES, name="head", kernel_initializer=tf1.glorot_uniform_initializer(seed=3))


def infer_graph(images, dtype):
    """The inference network, for common.infer; dtype comes with the images."""
    del dtype
    return network(images, training=False)


class Training:
    """A training graph of `network`; `only` restricts the optimizer to variables with that prefix."""

    def __init__(self, only="", **batch_norm):
        self.images = tf1.placeholder(tf.float32, [None, *SHAPE], name="images")
        self.labels = tf1.placeholder(tf.int64, [None], name="labels")
        logits = network(self.images, training=True, **batch_norm)
        loss = tf1.losses.sparse_softmax_cross_entropy(self.labels, logits)
        variables = [v for v in tf1.trainable_variables() if v.op.name.startswith(only)]
        with tf.control_dependencies(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
            self.train_op = tf1.train.MomentumOptimizer(0.05, 0.9).minimize(
                loss, global_step=tf1.train.get_or_create_global_step(), var_list=variables)

    def run(self, sess, source, steps):
        """Trains on batches of 32 of the source; the virtual batches below divide it."""
        for _ in range(steps):
            sess.run(self.train_op, dict(zip((self.images, self.labels), source.batch(32))))


def reference(folder, prefix):
    """The reference outputs beside a checkpoint of `network`; returns its values."""
    values = common.read_values(prefix)
    samples = common.Images(seed=40, height=8, width=8, channels=3, classes=CLASSES).batch(8)[0]
    common.write_reference(folder / "reference.npz", infer_graph, values, samples)
    return values


def train_base(folder, write_meta_graph=True, **batch_norm):
    """An ordinary, sound checkpoint after 150 steps."""
    with tf.Graph().as_default() as graph:
        training = Training(**batch_norm)
        saver = tf1.train.Saver()
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            training.run(sess, common.Images(seed=4, height=8, width=8, channels=3, classes=CLASSES), 150)
            return common.save(saver, sess, folder, 150, write_meta_graph)


def warm_start(folder):
    """tf.train.warm_start takes trainable variables only: step 0 has the base's weights, statistics 0 and 1."""
    base_folder, tuned_folder = common.subfolder(folder, "base"), common.subfolder(folder, "fine_tuned")
    base = train_base(base_folder, write_meta_graph=False)
    with tf.Graph().as_default() as graph:
        Training()
        saver = tf1.train.Saver()
        with common.working_in(base_folder), common.session(graph) as sess:
            tf1.train.warm_start(base.name, vars_to_warm_start=".*")
            sess.run(tf1.global_variables_initializer())
            tuned = common.save(saver, sess, tuned_folder, 0)
    old, new = reference(base_folder, base), reference(tuned_folder, tuned)
    assert np.array_equal(old["block1/conv/kernel"], new["block1/conv/kernel"])
    assert np.any(old["block1/bn/moving_mean"]) and not np.any(new["block1/bn/moving_mean"])


def frozen_drift(folder):
    """Only the head is fine-tuned, on shifted images, but the updates of the frozen layers still run."""
    before_folder, after_folder = common.subfolder(folder, "before"), common.subfolder(folder, "after")
    before = train_base(before_folder, write_meta_graph=False)
    with tf.Graph().as_default() as graph:
        training = Training(only="head/")
        saver = tf1.train.Saver()
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            restored = [v for v in tf1.global_variables() if v.op.name in common.read_values(before)]
            tf1.train.Saver(restored).restore(sess, str(before))
            training.run(sess, common.Images(seed=5, height=8, width=8, channels=3, classes=CLASSES, shift=1.5), 100)
            after = common.save(saver, sess, after_folder, 250)
    old, new = reference(before_folder, before), reference(after_folder, after)
    assert np.array_equal(old["block1/bn/gamma"], new["block1/bn/gamma"])
    assert not np.allclose(old["block1/bn/moving_mean"], new["block1/bn/moving_mean"], rtol=0.05)


def two_towers(folder):
    """Two replicas kept equal by averaged gradients; each has statistics of its own half of the data."""
    with tf.Graph().as_default() as graph:
        optimizer = tf1.train.GradientDescentOptimizer(0.05)
        feeds, gradients, towers = [], [], []
        for tower in ("tower_0", "tower_1"):
            with tf1.variable_scope(tower):
                images = tf1.placeholder(tf.float32, [None, *SHAPE], name="images")
                labels = tf1.placeholder(tf.int64, [None], name="labels")
                loss = tf1.losses.sparse_softmax_cross_entropy(labels, network(images, training=True))
            towers.append(tf1.trainable_variables(tower))
            gradients.append(tf1.gradients(loss, towers[-1]))
            feeds.append((images, labels))
        mean = [(a + b) / 2 for a, b in zip(*gradients)]
        with tf.control_dependencies(mean + tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
            train_op = optimizer.apply_gradients([(g, v) for tower in towers for g, v in zip(mean, tower)],
                                                 global_step=tf1.train.get_or_create_global_step())
        saver = tf1.train.Saver()
        sources = [common.Images(seed=6, height=8, width=8, channels=3, classes=CLASSES, shift=s) for s in (0, 1)]
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            for _ in range(150):
                sess.run(train_op, {k: v for feed, source in zip(feeds, sources)
                                    for k, v in zip(feed, source.batch(16))})
            values = common.read_values(common.save(saver, sess, folder, 150, write_meta_graph=False))
    assert np.allclose(values["tower_0/block2/bn/gamma"], values["tower_1/block2/bn/gamma"], atol=1e-6)
    assert not np.allclose(values["tower_0/block1/bn/moving_mean"], values["tower_1/block1/bn/moving_mean"], rtol=0.05)


def renorm(folder):
    """Batch renormalization adds renorm_mean, renorm_stddev and moving_stddev; inference does not use them."""
    values = reference(folder, train_base(folder, write_meta_graph=False, renorm=True, renorm_momentum=0.9))
    assert {"block1/bn/renorm_mean", "block1/bn/renorm_stddev"} <= values.keys()


def virtual_batch(folder):
    """virtual_batch_size gives the batch-norm vectors a shape of rank 5, [1, 1, 1, 1, C]."""
    values = common.read_values(train_base(folder, write_meta_graph=False, virtual_batch_size=8))
    assert values["block1/bn/moving_mean"].shape == (1, 1, 1, 1, 4)


def zero_debias(folder):
    """Zero-debiased averages made outside the scope of their variables: `bn/moving_mean/biased`.

    Made inside the scope, as in tf1/resnet and by slim, TensorFlow puts the scope in front a second time.
    """
    source = common.Images(seed=9, height=8, width=8, channels=3, classes=CLASSES)
    with tf.Graph().as_default() as graph:
        images = tf1.placeholder(tf.float32, [None, *SHAPE], name="images")
        with tf1.variable_scope("bn"):
            variables = [tf1.get_variable(name, [3], initializer=initializer, trainable=False) for name, initializer
                         in (("moving_mean", tf1.zeros_initializer()), ("moving_variance", tf1.ones_initializer()))]
        updates = [moving_averages.assign_moving_average(variable, value, 0.9)
                   for variable, value in zip(variables, tf.nn.moments(images, [0, 1, 2]))]
        saver = tf1.train.Saver()
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            for _ in range(40):
                sess.run(updates, {images: source.batch(32)[0]})
            values = common.read_values(common.save(saver, sess, folder, 40))
    assert values["bn/moving_mean/local_step"] == 40 and "bn/moving_variance/biased" in values


def main():
    common.graph_mode()
    folder = common.output_folder("tf", "cases")
    for make in (warm_start, frozen_drift, two_towers, renorm, virtual_batch, zero_debias):
        make(common.subfolder(folder, make.__name__))
        print("tf/cases", make.__name__)


if __name__ == "__main__":
    main()
