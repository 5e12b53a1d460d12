"""V1 checkpoints: trained batch norm in slices, every dtype, files that belong together, compressed blocks.

Makes testdata/tf/v1/<name>/. All but `snappy` are written by TensorFlow as they are; `snappy` is the table of
`resnet` put together again by rewrite_bundle.py with compressed blocks, and TensorFlow reads it back.
"""

import shutil

import tf1_common as common  # first: it sets what TensorFlow reads at its import
from tf1_common import tf1

import numpy as np
import tensorflow as tf

import expected
import paths
import rewrite_bundle

SLICED = {"init/init_conv/DW": tf1.fixed_size_partitioner(2, axis=3), "init/init_bn/gamma": tf1.fixed_size_partitioner(3)}
DTYPES = (tf.bool, tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.int64, tf.half, tf.float32, tf.float64,
          tf.complex64, tf.complex128, tf.qint8, tf.quint8, tf.qint32)


def write_expected(path, values, dtypes=None):
    """The list of what was saved, from the values themselves."""
    dtypes = dtypes or {}
    expected.write(f"{path}.expected.json", f"tensorflow {tf.__version__}, values given to Save",
                   [expected.describe(name, values[name], dtypes.get(name)) for name in sorted(values)])


def save_variables(folder, values, keep, write_meta_graph):
    """tf.train.Saver in its V1 form over variables of these values; restores them again."""
    with tf.Graph().as_default() as graph:
        for name, value in values.items():
            partitioner = SLICED.get(name)
            initializer = value if partitioner is None else tf1.zeros_initializer()
            tf1.get_variable(name, None if partitioner is None else value.shape, initializer=initializer,
                             partitioner=partitioner, dtype=value.dtype, trainable="moving" not in name)
        variables = tf1.global_variables()
        saver = tf1.train.Saver([v for v in variables if keep(v.op.name)], write_version=tf1.train.SaverDef.V1)
        with common.session(graph) as sess, common.working_in(folder):
            for variable in variables:
                info = variable._get_save_slice_info()
                if info is not None:
                    cut = tuple(slice(o, o + s) for o, s in zip(info.var_offset, info.var_shape))
                    variable.load(values[info.full_name][cut], sess)
                else:
                    variable.load(values[variable.op.name], sess)
            before = sess.run(variables)
            prefix = saver.save(sess, "./model.ckpt", global_step=200, write_meta_graph=write_meta_graph)
        with common.session(graph) as sess, common.working_in(folder):
            sess.run([v.initializer for v in variables if not keep(v.op.name)])
            saver.restore(sess, prefix)
            for variable, old in zip(variables, before):
                if keep(variable.op.name):
                    assert np.array_equal(old, sess.run(variable)), variable.op.name
    write_expected(folder / "model.ckpt-200", {n: v for n, v in values.items() if keep(n)})


def resnet(folder):
    """The values of tf1/resnet/correct, a kernel in 2 slices and a gamma in 3."""
    values = common.read_values(paths.testdata() / "tf1/resnet/correct/model.ckpt-200")
    save_variables(folder, values, lambda name: True, write_meta_graph=True)


def statistics_missing(folder):
    """The same without the moving statistics."""
    values = common.read_values(paths.testdata() / "tf1/resnet/correct/model.ckpt-200")
    save_variables(folder, values, lambda name: "moving" not in name, write_meta_graph=False)


def save_slices(path, names, specs, tensors):
    """TensorFlow's SaveSlices op; returns the values."""
    op = tf.raw_ops.SaveSlices(filename=path.name, tensor_names=names, shapes_and_slices=specs, data=tensors)
    with common.session() as sess, common.working_in(path.parent):
        return sess.run([tensors, op])[0]


def dtypes(folder):
    """Every type that the Save op takes, strings included; scalars and empty tensors."""
    import tf_bundles
    with tf.Graph().as_default():
        tensors = {dtype.name: tf_bundles.typed_values(dtype) for dtype in DTYPES}
        tensors["string"] = tf.constant([b"", b"a\x00b", b"\xff\xfe", b"x" * 300])
        tensors["scalar"] = tf.constant(3.5)
        tensors["scalar_string"] = tf.constant(b"one")
        tensors["empty"] = tf.zeros([0, 4])
        tensors["rank5"] = tf.reshape(tf.range(48, dtype=tf.float64), [2, 1, 3, 4, 2])
        tensors["splits_varints"] = tf.reshape(tf.range(-40000, 40000, 7, dtype=tf.int64) ** 3, [-1])
        values = save_slices(folder / "model.ckpt", list(tensors), [""] * len(tensors), list(tensors.values()))
    write_expected(folder / "model.ckpt", dict(zip(tensors, values)), {n: t.dtype.name for n, t in tensors.items()})


def sharded(folder):
    """Three files; one tensor has a slice in each, none in the order of its place."""
    random = np.random.RandomState(12)
    whole = random.randn(5, 6).astype(np.float32)
    values = {"grid": whole, "a": random.randn(3).astype(np.float32), "b": np.arange(4, dtype=np.int32),
              "bn/moving_mean": random.randn(4).astype(np.float32)}
    cuts = [("5 6 3,2:-", whole[3:]), ("5 6 0,3:0,2", whole[:3, :2]), ("5 6 0,3:2,4", whole[:3, 2:])]
    others = ["b", "a", "bn/moving_mean"]
    for shard, ((spec, part), other) in enumerate(zip(cuts, others)):
        with tf.Graph().as_default():
            save_slices(folder / f"export-{shard:05d}-of-00003", ["grid", other], [spec, ""],
                        [tf.constant(part), tf.constant(values[other])])
    write_expected(folder / "export", values)


def saver_sharded(folder):
    """Saver(sharded=True) over two devices, and its state file."""
    with tf.Graph().as_default() as graph:
        for device in (0, 1):
            with tf.device(f"/cpu:{device}"):
                tf1.get_variable(f"tower_{device}/w", initializer=np.arange(6, dtype=np.float32) + device)
        saver = tf1.train.Saver(sharded=True, write_version=tf1.train.SaverDef.V1)
        with common.session(graph, cpus=2) as sess, common.working_in(folder):
            sess.run(tf1.global_variables_initializer())
            for step in (1, 2):
                saver.save(sess, "./model.ckpt", global_step=step, write_meta_graph=False)
    write_expected(folder / "model.ckpt-2", {f"tower_{d}/w": np.arange(6, dtype=np.float32) + d for d in (0, 1)})


def snappy(folder):
    """The table of `resnet`, its blocks compressed and five entries long."""
    source = folder.parent / "resnet/model.ckpt-200"
    entries = rewrite_bundle.read_table(source)
    rewrite_bundle.write_table(folder / source.name, entries, rewrite_bundle.SNAPPY, per_block=5)
    old, new = (tf.train.load_checkpoint(str(f)) for f in (source, folder / source.name))
    for name in old.get_variable_to_shape_map():
        if name not in SLICED:  # this reader does not put slices together
            assert np.array_equal(old.get_tensor(name), new.get_tensor(name)), name
    shutil.copy(f"{source}.expected.json", f"{folder / source.name}.expected.json")


def main():
    common.graph_mode()
    folder = common.output_folder("tf", "v1")
    for make in (resnet, statistics_missing, dtypes, sharded, saver_sharded, snappy):
        make(common.subfolder(folder, make.__name__))
        print("tf/v1", make.__name__)


if __name__ == "__main__":
    main()
