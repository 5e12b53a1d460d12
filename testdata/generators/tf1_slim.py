"""Checkpoints of tf_slim networks: slim's names, no gamma unless asked for, ExponentialMovingAverage shadows.

Makes testdata/tf/slim/<variant>/.
"""

import sys

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import keras.src.legacy_tf_layers.normalization
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

# tf_slim 1.1.0 is older than TensorFlow 2.15 and misses two names there.  The first is where TensorFlow's lazy
# import expects tf.layers' batch norm (no tf_keras release has that module; Keras 2.15 has the same code).
sys.modules["tf_keras.legacy_tf_layers.normalization"] = keras.src.legacy_tf_layers.normalization
ops.Tensor = tf.Tensor
import tf_slim as slim

STEPS = 300
CLASSES = 4


def network(images, is_training, **batch_norm):
    """Two convolutions with slim's batch norm; only the second asks for gamma (scale=True)."""
    params = {"is_training": is_training, "decay": 0.9, **batch_norm}
    initializer = tf1.glorot_uniform_initializer
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=params):
        x = slim.conv2d(images, 4, [3, 3], weights_initializer=initializer(seed=1))
        x = slim.conv2d(x, 6, [3, 3], stride=2, weights_initializer=initializer(seed=2),
                        normalizer_params={**params, "scale": True})
    x = tf.reduce_mean(x, [1, 2])
    return slim.fully_connected(x, CLASSES, activation_fn=None, weights_initializer=initializer(seed=3))


def infer_graph(images, dtype):
    """The inference network, for common.infer; dtype comes with the images."""
    del dtype
    return network(images, is_training=False)


def train(folder, averaged=False, tie_updates=True, write_meta_graph=True, **batch_norm):
    """Trains and saves one variant; `averaged` adds shadows of all model variables, statistics included."""
    source = common.Images(seed=3, height=8, width=8, channels=3, classes=CLASSES)
    with tf.Graph().as_default() as graph:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        logits = network(images, is_training=True, **batch_norm)
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        step = tf1.train.get_or_create_global_step()
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        optimizer = tf1.train.MomentumOptimizer(0.05, 0.9) if averaged else tf1.train.RMSPropOptimizer(0.005)
        with tf.control_dependencies(updates if tie_updates else []):
            train_op = optimizer.minimize(loss, global_step=step)
        if averaged:
            averages = tf1.train.ExponentialMovingAverage(0.9)
            with tf.control_dependencies([train_op]):
                train_op = averages.apply(slim.get_model_variables())
        saver = tf1.train.Saver()
        with common.session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            for _ in range(STEPS):
                sess.run(train_op, dict(zip((images, labels), source.batch(32))))
            prefix = common.save(saver, sess, folder, STEPS, write_meta_graph)
    values = common.read_values(prefix)
    assert "Conv/BatchNorm/gamma" not in values and "Conv_1/BatchNorm/gamma" in values
    assert np.any(values["Conv/BatchNorm/moving_mean"])
    samples = source.batch(8)[0]
    common.write_reference(folder / "reference.npz", infer_graph, values, samples)
    if averaged:
        suffix = "/ExponentialMovingAverage"
        shadows = {name.removesuffix(suffix): value for name, value in values.items() if name.endswith(suffix)}
        assert "Conv/BatchNorm/moving_variance" in shadows
        common.write_reference(folder / "reference_ema.npz", infer_graph, shadows, samples)
    return values


def main():
    common.graph_mode()
    folder = common.output_folder("tf", "slim")
    train(common.subfolder(folder, "ema"), averaged=True)
    train(common.subfolder(folder, "in_place_updates"), tie_updates=False, updates_collections=None)
    values = train(common.subfolder(folder, "zero_debias"), write_meta_graph=False, zero_debias_moving_mean=True)
    assert values["Conv/BatchNorm/Conv/BatchNorm/moving_mean/local_step"] == STEPS
    print("tf/slim")


if __name__ == "__main__":
    main()
