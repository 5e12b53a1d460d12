"""What the TF1-style generators share: determinism, made-up data, saving and reference outputs."""

import contextlib
import os
import pathlib
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

import expected
import paths

tf1 = tf.compat.v1


def graph_mode():
    """TF1 semantics: graphs, ref variables, control flow v1.  Call once, before anything is built."""
    tf1.disable_v2_behavior()
    tf1.disable_resource_variables()


def output_folder(*parts):
    """The fixture folder `<testdata>/<parts>`, emptied: an old `checkpoint` file would be read and continued."""
    shutil.rmtree(paths.folder(*parts))
    return paths.folder(*parts)


def subfolder(folder, *parts):
    """A new folder below a fixture folder."""
    path = folder.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def session(graph=None, cpus=1):
    """A single-threaded session, so that sums come out in the same order on each run."""
    config = tf1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1,
                             device_count={"CPU": cpus})
    with tf1.Session(graph=graph, config=config) as sess:
        yield sess


@contextlib.contextmanager
def working_in(folder):
    """Saves with relative paths: no path of the machine reaches the `checkpoint` state file."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def save(saver, sess, folder, step, write_meta_graph=True, name="model.ckpt"):
    """saver.save() in `folder`, then the list of what TensorFlow reads back."""
    with working_in(folder):
        prefix = saver.save(sess, f"./{name}", global_step=step, write_meta_graph=write_meta_graph)
        expected.from_tf_checkpoint(pathlib.Path(prefix).name)
    return folder / pathlib.Path(prefix).name


def forget_removed(folder):
    """Drops the expected.json of checkpoints that the Saver has deleted meanwhile (max_to_keep)."""
    for path in folder.glob("*.expected.json"):
        if not path.with_name(path.name.replace(".expected.json", ".index")).exists():
            path.unlink()


def read_values(prefix):
    """All tensors of a checkpoint by name."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


class Images:
    """Endless labelled random images whose channels are far from mean 0 and variance 1."""

    def __init__(self, seed, height, width, channels, classes, shift=0.0):
        self._random = np.random.RandomState(seed)
        self._templates = self._random.randn(classes, height, width, channels)
        self._scale = np.linspace(0.5, 2.0, channels)
        self._offset = np.linspace(-2.0, 3.0, channels) + shift

    def batch(self, size):
        labels = self._random.randint(len(self._templates), size=size)
        noise = self._random.randn(size, *self._templates.shape[1:])
        images = (1.5 * self._templates[labels] + noise) * self._scale + self._offset
        return images.astype(np.float32), labels.astype(np.int64)


def infer(build, values, images, dtype):
    """Runs an inference graph with the given variable values; others keep their initial value.

    build(placeholder, dtype) makes the graph and returns the output tensor.
    """
    with tf.Graph().as_default() as graph:
        placeholder = tf1.placeholder(dtype, [None, *images.shape[1:]], name="images")
        output = build(placeholder, dtype)
        variables = tf1.global_variables()
        with session(graph) as sess:
            sess.run(tf1.global_variables_initializer())
            for variable in variables:
                if variable.op.name in values:
                    variable.load(np.asarray(values[variable.op.name]).astype(variable.dtype.as_numpy_dtype), sess)
            return sess.run(output, {placeholder: images.astype(dtype.as_numpy_dtype)})


def write_reference(path, build, values, images, true_statistics=None):
    """The reference outputs of one checkpoint, computed by TensorFlow.

    `output` is what inference gives with the variables of this checkpoint (those it lacks at their initial
    values); `output_true_statistics` what it gives with the statistics that belong to these weights.
    """
    single = infer(build, values, images, tf.float32)
    first = infer(build, values, images[:1], tf.float32)
    assert np.allclose(single[:1], first, rtol=1e-4, atol=1e-5), "inference depends on the batch"
    arrays = {"input": images, "output": single, "output_batch1": first,
              "output_f64": infer(build, values, images, tf.float64)}
    assert np.allclose(arrays["output"], arrays["output_f64"], rtol=1e-3, atol=1e-4)
    if true_statistics is not None:
        whole = {**values, **true_statistics}
        arrays["output_true_statistics"] = infer(build, whole, images, tf.float32)
        arrays["output_true_statistics_f64"] = infer(build, whole, images, tf.float64)
        arrays.update({f"true/{name}": value for name, value in true_statistics.items()})
    np.savez(path, **arrays)


def is_statistic(variable):
    """Whether a variable is a batch-norm moving statistic, by the names these programs use."""
    return variable.op.name.split("/")[-1] in ("moving_mean", "moving_variance")
