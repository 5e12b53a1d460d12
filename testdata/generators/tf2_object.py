"""TF2 object-based checkpoints of a small Keras model: tf.train.Checkpoint and Model.save_weights.

Makes testdata/tf2/<name>/.  CheckpointManager writes the time of saving into its `checkpoint` state file.
"""

import os

import tf1_common as common  # first: it sets what TensorFlow reads at its import

import numpy as np
import tensorflow as tf

import expected

keras = tf.keras
STEPS = 120


def model():
    """Functional conv-BN-ReLU twice (the second with stride) and a dense head."""
    images = keras.Input((8, 8, 3), name="images")
    x = images
    for index, filters in enumerate((4, 6)):
        x = keras.layers.Conv2D(filters, 3, strides=1 + index, use_bias=bool(index), name=f"conv{index + 1}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"bn{index + 1}")(x)
        x = keras.layers.ReLU(name=f"relu{index + 1}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, keras.layers.Dense(4, name="head")(x), name="net")


def train(net, optimizer, source):
    """STEPS of a hand-written training loop."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(STEPS):
        images, labels = source.batch(32)
        with tf.GradientTape() as tape:
            value = loss(labels, net(images, training=True))
        optimizer.apply_gradients(zip(tape.gradient(value, net.trainable_variables), net.trainable_variables))


def write_reference(folder, net, images):
    """Outputs of the model in float32, and in float64 by rebuilding it with that floatx."""
    arrays = {"input": images, "output": net(images, training=False).numpy(),
              "output_batch1": net(images[:1], training=False).numpy()}
    keras.backend.set_floatx("float64")
    wide = model()
    wide.set_weights([w.astype(np.float64) for w in net.get_weights()])
    arrays["output_f64"] = wide(images.astype(np.float64), training=False).numpy()
    keras.backend.set_floatx("float32")
    assert np.allclose(arrays["output"], arrays["output_f64"], rtol=1e-3, atol=1e-4)
    np.savez(folder / "reference.npz", **arrays)


def object_based(folder, optimizer):
    """tf.train.Checkpoint(model, optimizer) through a CheckpointManager that keeps two."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    source = common.Images(seed=7, height=8, width=8, channels=3, classes=4)
    net = model()
    step = tf.Variable(0, dtype=tf.int64, name="step")
    checkpoint = tf.train.Checkpoint(model=net, optimizer=optimizer, step=step)
    with common.working_in(folder):
        manager = tf.train.CheckpointManager(checkpoint, ".", max_to_keep=2, checkpoint_name="ckpt")
        for _ in range(2):
            train(net, optimizer, source)
            step.assign_add(STEPS)
            prefix = manager.save()
            expected.from_tf_checkpoint(os.path.basename(prefix))
    write_reference(folder, net, source.batch(8)[0])
    restored = model()
    status = tf.train.Checkpoint(model=restored).restore(str(folder / "ckpt-2"))
    status.assert_existing_objects_matched()
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), restored.get_weights()))


def save_weights(folder):
    """Model.save_weights in TensorFlow format: the same object graph without optimizer."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(12)
    source = common.Images(seed=8, height=8, width=8, channels=3, classes=4)
    net = model()
    train(net, keras.optimizers.legacy.SGD(0.01), source)
    with common.working_in(folder):
        net.save_weights("weights", save_format="tf")
        expected.from_tf_checkpoint("weights")
    write_reference(folder, net, source.batch(8)[0])


def main():
    folder = common.output_folder("tf2")
    object_based(common.subfolder(folder, "classic_optimizer"), keras.optimizers.legacy.Adam(0.005))
    object_based(common.subfolder(folder, "new_optimizer"), keras.optimizers.Adam(0.005))
    save_weights(common.subfolder(folder, "save_weights"))
    print("tf2")


if __name__ == "__main__":
    main()
