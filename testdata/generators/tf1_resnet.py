"""The founding program in ResNet style: hand-written batch norm on tf.get_variable, tf.nn.moments in training.

Makes testdata/tf1/resnet/<variant>/, one trained checkpoint each; VARIANTS says how they differ.
"""

import dataclasses

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf
from tensorflow.python.training import moving_averages

STEPS = 200
DECAY = 0.9
EPSILON = 0.001
CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Variant:
    """How one checkpoint was trained and saved."""
    tied_updates: str = "all"          # which moving-average updates the train op groups: all, some, none
    fetch_updates_beside: bool = False  # sess.run([train_op, *updates]): runs them, leaves no trace in the graph
    trainable_only: bool = False       # Saver(tf.trainable_variables())
    zero_debias: bool = False          # assign_moving_average's default: adds `biased` and `local_step`
    write_meta_graph: bool = True      # without it, only the values can tell

    @property
    def sound(self):
        """Whether the saved statistics belong to the saved weights."""
        return not self.trainable_only and (self.tied_updates == "all" or self.fetch_updates_beside)


VARIANTS = {
    "correct": Variant(),
    "updates_not_run": Variant(tied_updates="none"),
    "trainable_only": Variant(trainable_only=True),
    "updates_partly_run": Variant(tied_updates="some"),
    "updates_fetched_beside": Variant(tied_updates="none", fetch_updates_beside=True),
    "zero_debias_correct": Variant(zero_debias=True),
    "zero_debias_updates_not_run": Variant(tied_updates="none", zero_debias=True, write_meta_graph=False),
}


class ResNet:
    """conv-BN-ReLU stem, one pre-activation residual unit with a projection, BN-ReLU head."""

    def __init__(self, images, mode, dtype=tf.float32, zero_debias=False):
        self._mode = mode
        self._dtype = dtype
        self._zero_debias = zero_debias
        self.extra_train_ops = []
        self.logits = self._build(images)

    def _build(self, x):
        with tf1.variable_scope("init"):
            x = self._conv("init_conv", x, 3, 3, 4)
            x = tf.nn.relu(self._batch_norm("init_bn", x))
        with tf1.variable_scope("unit_1_0"):
            x = self._residual(x, 4, 6)
        with tf1.variable_scope("unit_last"):
            x = tf.nn.relu(self._batch_norm("final_bn", x))
            x = tf.reduce_mean(x, [1, 2])
        with tf1.variable_scope("logit"):
            weights = tf1.get_variable("DW", [6, CLASSES], self._dtype, tf1.glorot_uniform_initializer(seed=7))
            biases = tf1.get_variable("biases", [CLASSES], self._dtype, tf1.zeros_initializer())
            return tf1.nn.xw_plus_b(x, weights, biases)

    def _residual(self, x, in_filters, out_filters):
        """Pre-activation: BN, ReLU, conv twice; the shortcut is a 1x1 convolution."""
        shortcut = self._conv("shortcut", x, 1, in_filters, out_filters)
        with tf1.variable_scope("sub1"):
            x = tf.nn.relu(self._batch_norm("bn1", x))
            x = self._conv("conv1", x, 3, in_filters, out_filters)
        with tf1.variable_scope("sub2"):
            x = tf.nn.relu(self._batch_norm("bn2", x))
            x = self._conv("conv2", x, 3, out_filters, out_filters)
        return x + shortcut

    def _conv(self, name, x, size, in_filters, out_filters):
        with tf1.variable_scope(name):
            kernel = tf1.get_variable("DW", [size, size, in_filters, out_filters], self._dtype,
                                      tf1.random_normal_initializer(stddev=0.4, seed=len(name)))
            return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")

    def _batch_norm(self, name, x):
        with tf1.variable_scope(name):
            shape = [x.shape[-1]]
            beta = tf1.get_variable("beta", shape, self._dtype, tf1.zeros_initializer())
            gamma = tf1.get_variable("gamma", shape, self._dtype, tf1.ones_initializer())
            moving_mean = tf1.get_variable("moving_mean", shape, self._dtype, tf1.zeros_initializer(),
                                           trainable=False)
            moving_variance = tf1.get_variable("moving_variance", shape, self._dtype, tf1.ones_initializer(),
                                               trainable=False)
            if self._mode == "train":
                mean, variance = tf.nn.moments(x, [0, 1, 2], name="moments")
                self.extra_train_ops.append(self._moving_average(moving_mean, mean))
                self.extra_train_ops.append(self._moving_average(moving_variance, variance))
            else:
                mean, variance = moving_mean, moving_variance
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, EPSILON)

    def _moving_average(self, variable, value):
        return moving_averages.assign_moving_average(variable, value, DECAY, zero_debias=self._zero_debias)


def tied_updates(network, which):
    """The updates that the train op groups; "some" leaves out the last two units, as a lost list would."""
    return {"all": network.extra_train_ops, "some": network.extra_train_ops[:4], "none": []}[which]


def build_train_op(network, labels, variant):
    """The founding program's train op: the optimizer's apply op grouped with the tied updates."""
    cost = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=network.logits, labels=labels))
    variables = tf1.trainable_variables()
    gradients = tf1.gradients(cost, variables)
    optimizer = tf1.train.MomentumOptimizer(0.05, 0.9)
    with tf.control_dependencies(gradients):  # or a weight may change while another's gradient still reads it
        apply_op = optimizer.apply_gradients(zip(gradients, variables), name="train_step",
                                             global_step=tf1.train.get_or_create_global_step())
    return tf.group(apply_op, *tied_updates(network, variant.tied_updates)), cost


def infer_graph(images, dtype):
    """The inference network, for common.infer."""
    return ResNet(images, "eval", dtype).logits


def true_statistics(sess, network, feed_next):
    """The statistics that belong to the present weights: only the updates run, the weights stay."""
    for _ in range(STEPS):
        sess.run(network.extra_train_ops, feed_next())
    return {v.op.name: sess.run(v) for v in tf1.global_variables() if common.is_statistic(v)}


def train_variant(folder, variant):
    """Trains, saves and writes the reference of one variant."""
    source = common.Images(seed=1, height=8, width=8, channels=3, classes=CLASSES)
    with tf.Graph().as_default() as graph:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        network = ResNet(images, "train", zero_debias=variant.zero_debias)
        train_op, cost = build_train_op(network, labels, variant)
        saver = tf1.train.Saver(tf1.trainable_variables() if variant.trainable_only else None)
        fetches = [train_op, *network.extra_train_ops] if variant.fetch_updates_beside else [train_op]

        def feed_next():
            return dict(zip((images, labels), source.batch(32)))

        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            first_cost = sess.run(cost, feed_next())
            for _ in range(STEPS):
                sess.run(fetches, feed_next())
            assert sess.run(cost, feed_next()) < first_cost, "the network learned nothing"
            prefix = common.save(saver, sess, folder, STEPS, variant.write_meta_graph)
            statistics = None if variant.sound else true_statistics(sess, network, feed_next)
    values = common.read_values(prefix)
    check(values, variant)
    common.write_reference(folder / "reference.npz", infer_graph, values, source.batch(8)[0], statistics)


def check(values, variant):
    """Asserts that the checkpoint shows the state its name promises."""
    means = [v for n, v in values.items() if n.endswith("moving_mean")]
    slots = [n for n in values if n.endswith("/gamma/Momentum")]
    untouched = [not np.any(v) for v in means]
    assert len(means) == (0 if variant.trainable_only else 4)
    assert len(slots) == (0 if variant.trainable_only else 4)
    if variant.sound or variant.trainable_only:
        assert not any(untouched)
    elif variant.tied_updates == "none":
        assert all(untouched)
    else:
        assert any(untouched) and not all(untouched)


def main():
    common.graph_mode()
    folder = common.output_folder("tf1", "resnet")
    for name, variant in VARIANTS.items():
        train_variant(common.subfolder(folder, name), variant)
        print("tf1/resnet", name)


if __name__ == "__main__":
    main()
