"""SavedModels that train while they serve, that ask for their phase, and that hold loops as functions.

TensorFlow loads what ckpt writes and computes what the float64 formula, or the original, says. CKPT_BINARY is the
program. Runs under TensorFlow 2.15 and the newest one.
"""

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

EPSILON = 1e-3
FORMATS = ["saved-model", "graph-def"]


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def convert(source, target, to, *options):
    return json.loads(ckpt("convert", source, target, "--to", to, "--format", "json", "--quiet", *options).stdout)


def run(to, path, report, feed):
    """What the written graph yields for {argument: value}; the tensors are those of the report."""
    v1 = tf.compat.v1
    signature = report["signature"]
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        if to == "saved-model":
            v1.saved_model.load(session, ["serve"], str(path))
        else:
            definition = v1.GraphDef()
            definition.ParseFromString(path.read_bytes())
            tf.import_graph_def(definition, name="")
        named = {signature["inputs"][key]: value for key, value in feed.items()}
        return session.run(list(signature["outputs"].values())[0], named)


def nodes(folder):
    from tensorflow.core.protobuf import saved_model_pb2
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    return model.meta_graphs[0].graph_def


def assert_close(computed, exact):
    difference = np.abs(np.asarray(computed, np.float64) - exact).max()
    assert difference <= 1e-5 * np.abs(exact).max(), difference


def random(shape, seed, low=-1.0, high=1.0):
    return np.random.RandomState(seed).uniform(low, high, shape).astype(np.float32)


class Net(tf.Module):
    """Convolution, batch norm, product with a head: all its numbers are in reach."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(random((3, 3, 2, 4), 1), name="conv/kernel")
        self.gamma = tf.Variable(random((4,), 2, 0.5, 1.5), name="bn/gamma")
        self.beta = tf.Variable(random((4,), 3), name="bn/beta")
        self.mean = tf.Variable(random((4,), 4), name="bn/moving_mean", trainable=False)
        self.variance = tf.Variable(random((4,), 5, 0.5, 2.0), name="bn/moving_variance", trainable=False)
        self.head = tf.Variable(random((4, 3), 6), name="head/kernel")

    def normalise(self, x, training):
        if not training:
            return tf.compat.v1.nn.fused_batch_norm(x, self.gamma, self.beta, self.mean, self.variance,
                                                    epsilon=EPSILON, is_training=False)[0]
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, self.gamma, self.beta, epsilon=EPSILON)
        self.mean.assign(0.9 * self.mean + 0.1 * mean)
        self.variance.assign(0.9 * self.variance + 0.1 * variance)
        return y

    def features(self, x):
        return tf.nn.conv2d(x, self.kernel, 1, "VALID")

    def finish(self, x):
        return tf.matmul(tf.reduce_mean(tf.nn.relu(x), [1, 2]), self.head)

    def exact(self, images):
        """At inference, in float64."""
        x, kernel = images.astype(np.float64), self.kernel.numpy().astype(np.float64)
        height, width = x.shape[1] - 2, x.shape[2] - 2
        y = sum(np.einsum("nhwi,io->nhwo", x[:, i:i + height, j:j + width], kernel[i, j])
                for i in range(3) for j in range(3))
        mean, variance, gamma, beta = (v.numpy().astype(np.float64)
                                       for v in (self.mean, self.variance, self.gamma, self.beta))
        y = (y - mean) / np.sqrt(variance + EPSILON) * gamma + beta
        return np.maximum(y, 0).mean((1, 2)) @ self.head.numpy().astype(np.float64)


IMAGES = tf.TensorSpec([None, 7, 7, 2], tf.float32, name="x")
FLAG = tf.TensorSpec([], tf.bool, name="training")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("bn", ["fold", "preserve"])
def test_a_norm_that_always_trains_is_closed_only_when_asked(bn, to, tmp_path):
    net, images = Net(), random((5, 7, 7, 2), 9)

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        return {"y": net.finish(net.normalise(net.features(x), True))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    target = tmp_path / "out"
    refused = ckpt("convert", tmp_path / "source", target, "--to", to, "--bn", bn, expect=3)
    assert "--close-training-mode" in refused.stderr and not target.exists()
    rules = json.loads(ckpt("audit", tmp_path / "source", "--format", "json", expect=1).stdout)["inputs"][0]["findings"]
    assert "BN060" in [finding["rule"] for finding in rules]

    report = convert(tmp_path / "source", target, to, "--bn", bn, "--close-training-mode")
    assert [one["batch_norm"] for one in report["changed"]] == ["bn"]
    assert not report["kept"]
    assert len(report["folded"]) == (bn == "fold")
    record = json.loads((tmp_path / "out.ckpt.json").read_text()) if (tmp_path / "out.ckpt.json").exists() else \
        json.loads((target / "assets.extra" / "ckpt.json").read_text())
    assert record["changed"] == report["changed"]
    assert_close(run(to, target, report, {"x": images}), net.exact(images))
    ckpt("audit", target, "--fail-on", "error")


def test_tensors_alone_are_written_with_a_line(tmp_path):
    net = Net()

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        return {"y": net.finish(net.normalise(net.features(x), True))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    report = json.loads(ckpt("convert", tmp_path / "source", tmp_path / "out.npz", "--format", "json").stdout)
    assert any("training mode" in note for note in report["notes"]) and not report["changed"]


@pytest.mark.parametrize("options", [[], ["--feed", "training=false"]])
@pytest.mark.parametrize("to", FORMATS)
def test_a_boolean_input_that_switches_training_is_closed(to, options, tmp_path):
    net, images = Net(), random((5, 7, 7, 2), 9)

    @tf.function(input_signature=[IMAGES, FLAG])
    def serve(x, training):
        y = net.features(x)
        return {"y": net.finish(tf.cond(training, lambda: net.normalise(y, True), lambda: net.normalise(y, False)))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    report = convert(tmp_path / "source", tmp_path / "out", to, "--bn", "fold", *options)
    assert list(report["signature"]["inputs"]) == ["x"] and len(report["folded"]) == 1
    assert_close(run(to, tmp_path / "out", report, {"x": images}), net.exact(images))


@pytest.mark.parametrize("to", FORMATS)
def test_a_boolean_input_that_is_no_phase_keeps_its_conditional(to, tmp_path):
    net, images = Net(), random((5, 7, 7, 2), 9)

    @tf.function(input_signature=[IMAGES, tf.TensorSpec([], tf.bool, name="flip")])
    def serve(x, flip):
        x = tf.cond(flip, lambda: tf.reverse(x, [2]), lambda: x * 1.0)
        y = net.finish(net.normalise(net.features(x), False))
        return {"y": tf.cond(flip, lambda: tf.matmul(y, net.head, transpose_b=True)[:, :3], lambda: y)}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    report = convert(tmp_path / "source", tmp_path / "out", to, "--bn", "fold")
    assert sorted(report["signature"]["inputs"]) == ["flip", "x"] and len(report["folded"]) == 1
    assert_close(run(to, tmp_path / "out", report, {"x": images, "flip": False}), net.exact(images))
    flipped = net.exact(images[:, :, ::-1]) @ net.head.numpy().astype(np.float64).T
    assert_close(run(to, tmp_path / "out", report, {"x": images, "flip": True}), flipped[:, :3])


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("bn", ["fold", "preserve"])
def test_where_on_a_phase_is_a_phase(bn, to, tmp_path):
    net, images = Net(), random((5, 7, 7, 2), 9)

    @tf.function(input_signature=[IMAGES, FLAG])
    def serve(x, training):
        y = net.features(x)
        mean, variance = tf.nn.moments(y, [0, 1, 2])
        net.mean.assign(tf.where(training, 0.9 * net.mean + 0.1 * mean, net.mean))
        net.variance.assign(tf.where(training, 0.9 * net.variance + 0.1 * variance, net.variance))
        mean, variance = tf.where(training, mean, net.mean), tf.where(training, variance, net.variance)
        return {"y": net.finish(tf.nn.batch_normalization(y, mean, variance, net.beta, net.gamma, EPSILON))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    findings = json.loads(ckpt("audit", tmp_path / "source", "--format", "json").stdout)["inputs"][0]["findings"]
    assert not {"BN060", "GR005"} & {finding["rule"] for finding in findings}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("bn", ["fold", "preserve"])
@pytest.mark.parametrize("loop", ["map_fn", "while_loop", "rnn", "map_fn with its own batch norm"])
def test_loops_keep_their_functions(loop, bn, to, tmp_path):
    net, images = Net(), random((5, 7, 7, 2), 9)
    recurrent = tf.Variable(random((3, 3), 11) * 0.5, name="rnn/kernel")
    net.recurrent = recurrent

    def behind(y):
        if loop == "map_fn":
            return tf.map_fn(lambda row: tf.linalg.matvec(recurrent, row), y)
        if loop == "while_loop":
            return tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.matmul(v, recurrent)),
                                 (tf.constant(0), y))[1]
        if loop == "rnn":
            states = tf.scan(lambda state, step: tf.tanh(tf.matmul(state, recurrent) + step),
                             tf.stack([y, -y, y]), initializer=tf.zeros_like(y))
            return states[-1]
        return y

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        if loop.endswith("batch norm"):
            y = tf.map_fn(lambda image: net.normalise(net.features(image[None]), False)[0], x)
        else:
            y = net.normalise(net.features(x), False)
        return {"y": behind(net.finish(y))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    report = convert(tmp_path / "source", tmp_path / "out", to, "--bn", bn)
    y, weights = net.exact(images), recurrent.numpy().astype(np.float64)
    if loop == "map_fn":
        y = y @ weights.T
    elif loop == "while_loop":
        y = y @ weights @ weights @ weights
    elif loop == "rnn":
        state = np.zeros_like(y)
        for step in (y, -y, y):
            state = np.tanh(state @ weights + step)
        y = state
    assert len(report["folded"]) == (bn == "fold" and not loop.endswith("batch norm"))
    assert_close(run(to, tmp_path / "out", report, {"x": images}), y)
    if to == "saved-model":
        loaded = tf.saved_model.load(str(tmp_path / "out"))
        assert_close(list(loaded.signatures["serving_default"](x=tf.constant(images)).values())[0], y)


def test_a_dropout_that_stays_active_is_said(tmp_path):
    net = Net()

    @tf.function(input_signature=[IMAGES])
    def serve(x):
        return {"y": net.finish(tf.nn.dropout(net.normalise(net.features(x), False), 0.5))}

    net.serve = serve
    tf.saved_model.save(net, str(tmp_path / "source"), signatures={"serving_default": serve})
    report = convert(tmp_path / "source", tmp_path / "out", "saved-model", "--bn", "fold")
    assert any("a dropout stays active" in note for note in report["notes"])
