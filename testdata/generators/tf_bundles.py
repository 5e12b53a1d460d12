"""Checkpoints that exercise the container: dtypes, strings, empty tensors, slices, shards, the V1 format.

Makes testdata/tf/<name>/.  Nothing is trained here except by initial values; what counts is the encoding.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf

import expected

NUMERIC_DTYPES = (tf.bool, tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.uint32, tf.int64, tf.uint64,
                  tf.half, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128,
                  tf.qint8, tf.quint8, tf.qint16, tf.quint16, tf.qint32,
                  tf.dtypes.experimental.float8_e5m2, tf.dtypes.experimental.float8_e4m3fn,
                  tf.dtypes.experimental.int4, tf.dtypes.experimental.uint4)


def save_pieces(folder, names, slices, tensors):
    """Runs TensorFlow's SaveV2 op in the order given; returns the reader and the values that were saved."""
    op = tf.raw_ops.SaveV2(prefix="model.ckpt", tensor_names=names, shape_and_slices=slices, tensors=tensors)
    with common.working_in(folder), common.session() as sess:
        values = sess.run([tensors, op])[0]
        return expected.from_tf_checkpoint("model.ckpt"), values


def save_tensors(folder, tensors):
    """Saves whole tensors, name -> tensor, and checks that the same comes back."""
    reader, values = save_pieces(folder, list(tensors), [""] * len(tensors), list(tensors.values()))
    for name, value in zip(tensors, values):
        found = reader.get_tensor(name)
        if tensors[name].dtype == tf.string:
            assert np.array_equal(found, value), name
        else:
            assert found.tobytes() == value.tobytes(), name


def typed_values(dtype):
    """Six values as a 2x3 tensor of any dtype that TensorFlow knows, sign and extremes included."""
    if dtype == tf.bool:
        return tf.constant([[True, False, True], [False, False, True]])
    if dtype.is_quantized:
        base = {tf.qint8: tf.int8, tf.quint8: tf.uint8, tf.qint16: tf.int16, tf.quint16: tf.uint16,
                tf.qint32: tf.int32}[dtype]
        return tf.bitcast(typed_values(base), dtype)
    if dtype.is_complex:
        return tf.constant([[1 + 2j, -1.5j, 0], [3.25, -7 - 8j, 1e-3 + 1e3j]], dtype)
    if dtype.is_floating:
        return tf.cast(tf.constant([[0.0, 1.0, -2.5], [0.015625, 3.0, -448.0]], tf.float32), dtype)
    if dtype == tf.dtypes.experimental.int4:
        return tf.cast(tf.constant([[0, 1, -1], [7, -8, 5]], tf.int32), dtype)
    if dtype == tf.dtypes.experimental.uint4:
        return tf.cast(tf.constant([[0, 1, 15], [7, 8, 5]], tf.int32), dtype)
    return tf.constant([[0, 1, 2], [100, dtype.min, dtype.max]], dtype)


def numeric_dtypes(folder):
    """Every numeric dtype of this TensorFlow."""
    with tf.Graph().as_default():
        save_tensors(folder, {f"values/{dtype.name}": typed_values(dtype) for dtype in NUMERIC_DTYPES})


def strings(folder):
    """String tensors: scalar, empty, zero bytes, invalid UTF-8, longer than one varint byte."""
    with tf.Graph().as_default():
        save_tensors(folder, {
            "strings/scalar": tf.constant(b"a scalar"),
            "strings/empty_scalar": tf.constant(b""),
            "strings/vector": tf.constant([b"", b"one", b"nul\x00inside", b"\xff\xfe not UTF-8", "é".encode()]),
            "strings/matrix": tf.constant([[b"a", b"bb"], [b"ccc", b""]]),
            "strings/long": tf.constant([b"x" * 127, b"y" * 128, b"z" * 300]),
            "strings/none": tf.constant([], tf.string, [0]),
            "beside/float": tf.constant([1.0, 2.0]),
        })


def shapes(folder):
    """Scalars, zero-size tensors, eight dimensions; names that sort oddly; added in another order than sorted."""
    with tf.Graph().as_default():
        save_tensors(folder, {
            "z_added_first": tf.range(5, dtype=tf.float32),
            "scalar/float": tf.constant(3.5),
            "scalar/int64": tf.constant(-7, tf.int64),
            "zero/0x1618": tf.zeros([0, 1618]),
            "zero/16x0x18": tf.zeros([16, 0, 18]),
            "zero/vector": tf.zeros([0], tf.int32),
            "rank8": tf.reshape(tf.range(24, dtype=tf.float64), [1, 2, 1, 3, 1, 2, 2, 1]),
            "Name.with-odd characters:0": tf.constant([1, 2, 3]),
            "é/ünïcode": tf.constant([4.0]),
            "a": tf.constant([9.0]),
            "a/b": tf.constant([8.0]),
            "a.b": tf.constant([7.0]),
        })


PARTITIONED_SHAPES = {"net/conv/kernel": [3, 5, 4, 6], "net/conv/bias": [6], "net/bn/gamma": [6], "net/bn/beta": [6],
                      "net/bn/moving_mean": [6], "net/bn/moving_variance": [6]}
PARTITIONERS = {"net/conv/kernel": tf1.fixed_size_partitioner(3, axis=3), "net/bn/gamma": tf1.fixed_size_partitioner(2)}


def partitioned(folder):
    """A kernel in 3 slices and gamma in 2, `sliced`, and the same values in one piece, `whole`."""
    sliced, whole = common.subfolder(folder, "sliced"), common.subfolder(folder, "whole")
    with tf.Graph().as_default() as graph:
        for seed, (name, shape) in enumerate(PARTITIONED_SHAPES.items()):
            tf1.get_variable(name, shape, initializer=tf1.random_uniform_initializer(0.5, 2, seed=seed),
                             partitioner=PARTITIONERS.get(name), trainable="moving" not in name)
        values = common.read_values(save_initialized(sliced, graph))
    with tf.Graph().as_default() as graph:
        for name, value in values.items():
            tf1.get_variable(name, initializer=value, trainable="moving" not in name)
        merged = common.read_values(save_initialized(whole, graph))
    assert values.keys() == merged.keys() == PARTITIONED_SHAPES.keys()
    assert all(np.array_equal(values[name], merged[name]) for name in values)


def save_initialized(folder, graph, saver=None, step=1, cpus=1):
    """Initializes all variables of the graph and saves them."""
    saver = saver or tf1.train.Saver()
    with common.session(graph, cpus=cpus) as sess:
        sess.run(tf1.global_variables_initializer())
        return common.save(saver, sess, folder, step)


def slice_grid(folder):
    """A tensor saved by SaveV2 in 2x2 slices of unequal size, and one whose single slice covers it all."""
    whole = np.arange(50, dtype=np.float32).reshape(5, 10)
    rows, columns = ((0, 1), (1, 4)), ((0, 3), (3, 7))
    with tf.Graph().as_default():
        names, specs, tensors = [], [], []
        for row, height in rows:
            for column, width in columns:
                names.append("grid")
                specs.append(f"5 10 {row},{height}:{column},{width}")
                tensors.append(tf.constant(whole[row:row + height, column:column + width]))
        names.append("one_slice")
        specs.append("5 10 -:-")
        tensors.append(tf.constant(whole))
        reader, _ = save_pieces(folder, names, specs, tensors)
        assert np.array_equal(reader.get_tensor("grid"), whole)


def sharded(folder):
    """Saver(sharded=True) over two devices: two data shards, one index."""
    random = np.random.RandomState(6)
    with tf.Graph().as_default() as graph:
        for device, scope in ((0, "tower_a"), (1, "tower_b")):
            with tf.device(f"/cpu:{device}"), tf1.variable_scope(scope):
                tf1.get_variable("conv/kernel", initializer=random.randn(3, 3, 2, 5).astype(np.float32))
                tf1.get_variable("bn/gamma", initializer=random.uniform(0.5, 1.5, 5).astype(np.float32))
                tf1.get_variable("bn/beta", initializer=random.randn(5).astype(np.float32))
                tf1.get_variable("bn/moving_mean", initializer=random.randn(5).astype(np.float32), trainable=False)
                tf1.get_variable("bn/moving_variance", trainable=False,
                                 initializer=random.uniform(0.5, 2, 5).astype(np.float32))
        save_initialized(folder, graph, tf1.train.Saver(sharded=True), cpus=2)
    assert len(list(folder.glob("*.data-*-of-00002"))) == 2


def v1_format(folder):
    """The format before bundles: the whole checkpoint is one table; one variable is in two slices."""
    random = np.random.RandomState(8)
    plain = {"conv/weights": random.randn(3, 3, 3, 4).astype(np.float32), "int64": np.int64(-123456789012),
             "int32": np.arange(-2, 3, dtype=np.int32), "uint8": np.array([0, 128, 255], np.uint8),
             "double": random.randn(4), "half": np.array([1.5, -0.25], np.float16),
             "bool": np.array([True, False]), "complex64": np.array([1 + 2j, -3j], np.complex64)}
    with tf.Graph().as_default() as graph:
        for name, value in plain.items():
            tf1.get_variable(name, initializer=value)
        slices = list(tf1.get_variable("sliced", [6, 4], initializer=tf1.random_normal_initializer(seed=8),
                                       partitioner=tf1.fixed_size_partitioner(2)))
        saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
        with common.session(graph) as sess, common.working_in(folder):
            sess.run(tf1.global_variables_initializer())
            prefix = saver.save(sess, "./model.ckpt", global_step=3)
            before = sess.run(tf1.global_variables())
            whole = {**plain, "sliced": np.concatenate(sess.run(slices))}
        with common.session(graph) as sess, common.working_in(folder):
            saver.restore(sess, prefix)
            for old, new in zip(before, sess.run(tf1.global_variables())):
                assert np.array_equal(old, new)
    expected.write(folder / "model.ckpt-3.expected.json", f"tensorflow {tf.__version__}, session values",
                   [expected.describe(name, whole[name]) for name in sorted(whole)])


def main():
    common.graph_mode()
    folder = common.output_folder("tf", "bundles")
    for make in (numeric_dtypes, strings, shapes, partitioned, slice_grid, sharded, v1_format):
        make(common.subfolder(folder, make.__name__))
        print("tf/bundles", make.__name__)


if __name__ == "__main__":
    main()
