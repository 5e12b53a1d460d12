"""What a TensorFlow graph can hold and ckpt does not understand is refused by name, never guessed.

The graphs are made here by the TensorFlow that runs the tests.  CKPT_BINARY is the program.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import pytest

tf = pytest.importorskip("tensorflow")

from test_tf_training_mode import (  # noqa: E402
    EPSILON, FORMATS, IMAGES, Net, assert_close, ckpt, convert, random)

tf1 = tf.compat.v1


class Graph1:
    """Net in TensorFlow 1, whose batch norm is given from outside."""

    NAMES = {"kernel": "conv/kernel", "gamma": "bn/gamma", "beta": "bn/beta", "mean": "bn/moving_mean",
             "variance": "bn/moving_variance", "head": "head/kernel"}  # fmt: skip

    def __init__(self):
        self.net = Net()
        self.values = {key: getattr(self.net, key).numpy() for key in self.NAMES}

    def build(self, normalise):
        """The input, the output, and the variables by the keys of NAMES."""
        self.variables = {key: tf1.get_variable(name, initializer=self.values[key],
                                                trainable=key not in ("mean", "variance"))
                          for key, name in self.NAMES.items()}  # fmt: skip
        x = tf1.placeholder(tf.float32, [None, 7, 7, 2], name="x")
        y = normalise(tf.nn.conv2d(x, self.variables["kernel"], 1, "VALID"), self.variables)
        return x, tf.matmul(tf.reduce_mean(tf.nn.relu(y), [1, 2]), self.variables["head"])


def norm(y, v, mean=None, variance=None):
    return tf.nn.batch_normalization(y, v["mean"] if mean is None else mean,
                                     v["variance"] if variance is None else variance, v["beta"], v["gamma"], EPSILON)


def save_v1(folder, build):
    """A SavedModel of TensorFlow 1 of the inputs and outputs that `build` makes."""
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs, outputs = build()
        session.run(tf1.global_variables_initializer())
        infos = [{key: tf1.saved_model.build_tensor_info(tensor) for key, tensor in part.items()}
                 for part in (inputs, outputs)]  # fmt: skip
        signature = tf1.saved_model.build_signature_def(*infos, tf1.saved_model.PREDICT_METHOD_NAME)
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def run_with(to, path, report, feed):
    """What the written graph yields where tensors of the graph itself are fed by name."""
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        if to == "saved-model":
            tf1.saved_model.load(session, ["serve"], str(path))
        else:
            definition = tf1.GraphDef()
            definition.ParseFromString(path.read_bytes())
            tf.import_graph_def(definition, name="")
        there = {op.name for op in graph.get_operations()}
        feed = {name + ":0": value for name, value in feed.items() if name in there}
        return session.run(list(report["signature"]["outputs"].values())[0], feed)


def refused(source, folder, said, *options):
    for to in FORMATS:
        done = ckpt("convert", source, folder / f"out-{to}", "--to", to, *options, expect=3)
        assert said in done.stderr, done.stderr
        assert not (folder / f"out-{to}").exists()


PHASES = {
    "a number that is given": lambda: tf1.placeholder_with_default(0.0, [], name="phase"),
    "a number without a default": lambda: tf1.placeholder(tf.float32, [], name="phase"),
    "a boolean turned into a number": lambda: tf.cast(tf1.placeholder_with_default(False, [], name="phase"), tf.float32),
    "a variable": lambda: tf1.get_variable("phase", initializer=0.0, trainable=False),
}


# p * a + (1 - p) * b: what p is when the graph serves is written nowhere.
@pytest.mark.parametrize("mixed", ["statistics", "outputs"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("bn", ["fold", "preserve"])
def test_a_phase_that_is_a_weight_is_training_mode(bn, phase, mixed, tmp_path):
    graph = Graph1()

    def normalise(y, v):
        p = PHASES[phase]()
        mean, variance = tf.nn.moments(y, [0, 1, 2])
        for name, batch in (("mean", mean), ("variance", variance)):
            update = tf1.assign(v[name], p * (0.9 * v[name] + 0.1 * batch) + (1 - p) * v[name])
            tf1.add_to_collection(tf1.GraphKeys.UPDATE_OPS, update)
        if mixed == "outputs":
            return p * norm(y, v, mean, variance) + (1 - p) * norm(y, v)
        return norm(y, v, p * mean + (1 - p) * v["mean"], p * variance + (1 - p) * v["variance"])

    def build():
        x, y = graph.build(normalise)
        return {"x": x}, {"y": y}

    save_v1(tmp_path / "source", build)
    refused(tmp_path / "source", tmp_path, "batch norm in training mode", "--bn", bn)
    images = random((5, 7, 7, 2), 9)
    given = [True, False] if "boolean" in phase else [1.0, 0.0]
    for to in FORMATS:
        report = convert(tmp_path / "source", tmp_path / f"out-{to}", to, "--bn", bn, "--close-training-mode")
        for p in given:
            feed = {"x": images} | ({} if phase == "a variable" else {"phase": p})
            assert_close(run_with(to, tmp_path / f"out-{to}", report, feed), graph.net.exact(images))


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("updates", [True, False])
@pytest.mark.parametrize("loop", ["map_fn", "while_loop"])
def test_a_norm_that_trains_in_a_loop_is_refused(loop, updates, close, tmp_path):
    net = Net()

    def normalise(y):
        if updates:
            return net.normalise(y, True)
        return tf1.nn.fused_batch_norm(y, net.gamma, net.beta, epsilon=EPSILON)[0]

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        y = net.features(x)
        if loop == "map_fn":
            y = tf.map_fn(lambda image: normalise(image[None])[0], y)
        else:
            y = tf.while_loop(lambda i, _: i < 2, lambda i, value: (i + 1, normalise(value)), (0, y))[1]
        return {"y": net.finish(y)}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    for bn in ("fold", "preserve"):
        refused(tmp_path / "source", tmp_path, "function" if updates else "training mode", "--bn", bn,
                *["--close-training-mode"][:close])
    assert "BN060" in ckpt("audit", tmp_path / "source", expect=1).stdout


@pytest.mark.parametrize("kind", ["MutableHashTable", "DenseHashTable"])
def test_a_table_that_learns_is_refused(kind, tmp_path):
    net = Net()
    options = {"empty_key": -7, "deleted_key": -8} if kind == "DenseHashTable" else {}
    net.table = getattr(tf.lookup.experimental, kind)(tf.int64, tf.float32, -1.0, **options)
    net.table.insert(tf.constant([1, 2], tf.int64), tf.constant([0.5, 0.25]))

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        y = net.finish(net.normalise(net.features(x), False))
        return {"y": y * net.table.lookup(tf.constant([1], tf.int64))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    refused(tmp_path / "source", tmp_path, "lookup table", "--bn", "fold")


@pytest.mark.parametrize("kind", ["sparse", "ragged"])
@pytest.mark.parametrize("side", ["input", "output"])
def test_a_signature_with_tensors_of_several_parts_is_refused(side, kind, tmp_path):
    graph = Graph1()

    def build():
        x, y = graph.build(norm)
        if side == "output":
            make = tf.sparse.from_dense if kind == "sparse" else tf.RaggedTensor.from_tensor
            return {"x": x}, {"y": y, "several": make(y)}
        if kind == "sparse":
            several = tf1.sparse_placeholder(tf.float32, [None, 3])
            return {"x": x, "several": several}, {"y": y + tf.sparse.to_dense(several)}
        several = tf1.ragged.placeholder(tf.float32, 1)
        return {"x": x, "several": several}, {"y": y + several.to_tensor()}

    save_v1(tmp_path / "source", build)
    refused(tmp_path / "source", tmp_path, '"several": is a sparse tensor or one of several parts', "--bn", "fold")
