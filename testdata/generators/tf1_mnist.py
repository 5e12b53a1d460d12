"""The founding program in MNIST style: tf.layers with a `phase` placeholder, UPDATE_OPS, an explicit var_list.

Makes testdata/tf1/mnist/<variant>/.  `correct` and `updates_not_run` keep the last five checkpoints
(max_to_keep=5), so that the `checkpoint` state file lists five; only the newest has its .meta, to stay small.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf

STEPS = 700
SAVE_EVERY = 100
CLASSES = 10
VARIANTS = ("correct", "updates_not_run", "trainable_only")


def block(x, filters, phase, name):
    """conv, batch norm, ReLU, max-pool."""
    with tf1.variable_scope(name):
        x = tf1.layers.conv2d(x, filters, 3, padding="same", name="conv",
                              kernel_initializer=tf1.glorot_uniform_initializer(seed=filters))
        x = tf1.layers.batch_normalization(x, training=phase, name="bn")
        return tf1.layers.max_pooling2d(tf.nn.relu(x), 2, 2)


def network(images, phase):
    """Two blocks and a dense head."""
    x = block(images, 4, phase, "block1")
    x = block(x, 6, phase, "block2")
    x = tf1.layers.flatten(x)
    return tf1.layers.dense(x, CLASSES, name="head", kernel_initializer=tf1.glorot_uniform_initializer(seed=3))


def infer_graph(images, dtype):
    """The inference network, for common.infer; dtype comes with the images."""
    del dtype
    return network(images, phase=False)


def build_train_op(logits, labels, run_updates):
    """Adam's minimize, with the batch-norm updates as control dependency unless they are to be forgotten."""
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels))
    updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
    assert len(updates) == 4
    with tf.control_dependencies(updates if run_updates else []):
        optimizer = tf1.train.AdamOptimizer(0.005)
        return optimizer.minimize(loss, global_step=tf1.train.get_or_create_global_step()), loss, updates


def make_saver(variant):
    """The program's Saver: trainable variables, the step and the statistics; or, wrongly, trainable only."""
    if variant == "trainable_only":
        return tf1.train.Saver(tf1.trainable_variables())
    statistics = [v for v in tf1.global_variables() if common.is_statistic(v)]
    return tf1.train.Saver(tf1.trainable_variables() + [tf1.train.get_global_step()] + statistics, max_to_keep=5)


def true_statistics(sess, updates, feed_next):
    """The statistics that belong to the present weights: only the updates run, the weights stay."""
    for _ in range(STEPS):
        sess.run(updates, feed_next())
    return {v.op.name: sess.run(v) for v in tf1.global_variables() if common.is_statistic(v)}


def train_variant(folder, variant):
    """Trains, saves and writes the reference of one variant."""
    source = common.Images(seed=2, height=8, width=8, channels=1, classes=CLASSES)
    with tf.Graph().as_default() as graph:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 1], name="images")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        phase = tf1.placeholder(tf.bool, [], name="phase")
        logits = network(images, phase)
        train_op, loss, updates = build_train_op(logits, labels, run_updates=variant != "updates_not_run")
        saver = make_saver(variant)

        def feed_next():
            return {**dict(zip((images, labels), source.batch(32))), phase: True}

        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            first_loss = sess.run(loss, feed_next())
            for step in range(1, STEPS + 1):
                sess.run(train_op, feed_next())
                last = step == STEPS
                if last or (step % SAVE_EVERY == 0 and variant != "trainable_only"):
                    prefix = common.save(saver, sess, folder, step, write_meta_graph=last)
            common.forget_removed(folder)
            assert sess.run(loss, feed_next()) < first_loss, "the network learned nothing"
            statistics = None if variant == "correct" else true_statistics(sess, updates, feed_next)
    values = common.read_values(prefix)
    check(folder, values, variant)
    common.write_reference(folder / "reference.npz", infer_graph, values, source.batch(8)[0], statistics)


def check(folder, values, variant):
    """Asserts that the checkpoint shows the state its name promises."""
    means = [v for n, v in values.items() if n.endswith("moving_mean")]
    listed = tf1.train.get_checkpoint_state(str(folder)).all_model_checkpoint_paths
    if variant == "trainable_only":
        assert not means and "global_step" not in values and len(listed) == 1
        return
    assert len(means) == 2 and len(listed) == 5 and values["global_step"] == STEPS
    assert all(np.any(mean) for mean in means) == (variant == "correct")


def main():
    common.graph_mode()
    folder = common.output_folder("tf1", "mnist")
    for variant in VARIANTS:
        train_variant(common.subfolder(folder, variant), variant)
        print("tf1/mnist", variant)


if __name__ == "__main__":
    main()
