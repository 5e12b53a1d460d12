"""TensorFlow loads the serving graphs that ckpt writes and computes what the original computes.

Frozen GraphDefs and SavedModels, batch norm preserved and folded, from the founding programs and from small graphs
that are built here, layer by layer.  CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures.
"""

import json
import os
import pathlib
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
CORPUS = TESTDATA.parent.parent / "shared" / "corpus"
TOLERANCE = 1e-5  # of the output's scale
FORMATS = ["graph-def", "saved-model"]


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def convert(source, target, to, *options):
    """Converts, and returns the report."""
    return json.loads(ckpt("convert", source, target, "--to", to, "--format", "json", "--quiet", *options))


def read_graph(path):
    graph = tf1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


def frozen(path):
    """A function of a dictionary of input tensors that runs the frozen graph."""
    definition = read_graph(path)

    def run(feed, outputs):
        with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
            tf.import_graph_def(definition, name="")
            return session.run(outputs, feed)
    return run


def served(folder):
    """The same for a SavedModel, by TensorFlow 1's loader."""
    def run(feed, outputs):
        with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
            tf1.saved_model.load(session, ["serve"], str(folder))
            return session.run(outputs, feed)
    return run


def loader(to, path):
    return frozen(path) if to == "graph-def" else served(path)


def operations(to, path):
    """The operation types of the written graph."""
    if to == "graph-def":
        return [node.op for node in read_graph(path).node]
    from tensorflow.core.protobuf import saved_model_pb2
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((path / "saved_model.pb").read_bytes())
    return [node.op for node in model.meta_graphs[0].graph_def.node]


def assert_close(computed, exact, what=""):
    difference = np.abs(np.asarray(computed, np.float64) - exact).max()
    assert difference <= TOLERANCE * np.abs(exact).max(), f"{what}: {difference}"


def assert_serves(run, report, images, exact):
    """The batch's output, and each row alone, are those of the original."""
    [tensor] = report["signature"]["inputs"].values()
    [output] = report["signature"]["outputs"].values()
    assert_close(run({tensor: images}, output), exact, "batch")
    for row in (0, len(images) - 1):
        assert_close(run({tensor: images[row:row + 1]}, output)[0], exact[row], f"row {row} alone")


@pytest.mark.parametrize("bn", ["preserve", "fold"])
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("program", ["mnist/correct", "resnet/correct", "resnet/zero_debias_correct"])
def test_founding_programs_serve(program, to, bn, tmp_path):
    reference = np.load(TESTDATA / "tf1" / program / "reference.npz")
    target = tmp_path / ("1" if to == "saved-model" else "model.pb")
    report = convert(TESTDATA / "tf1" / program, target, to, "--bn", bn)
    assert_serves(loader(to, target), report, reference["input"], reference["output_f64"])
    types = operations(to, target)
    for gone in ("Switch", "Merge", "AssignSub", "Assign", "SquaredDifference", "VariableV2", "ApplyMomentum"):
        assert gone not in types
    if bn == "fold" and program.startswith("mnist"):
        assert len(report["folded"]) == 2 and not report["kept"]
        assert not any(kind.startswith("FusedBatchNorm") for kind in types)
    if bn == "fold" and program.startswith("resnet"):
        assert len(report["folded"]) + len(report["kept"]) == 4 and len(report["folded"]) >= 2
        assert all(layer["reason"] for layer in report["kept"])
    if bn == "preserve":
        assert not report["folded"]


@pytest.mark.parametrize("bn", ["preserve", "fold"])
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("file", ["model.ckpt", "model_v1.ckpt"])
def test_hand_written_updates_give_way_to_what_was_saved(file, to, bn, tmp_path):
    """`pop_mean` and `pop_var`, updated in place in the training branch of a tf.cond (RefSwitch), V2 and V1 files."""
    folder = TESTDATA / "tf1/hand_written"
    reference = np.load(folder / "reference.npz")
    target = tmp_path / ("1" if to == "saved-model" else "model.pb")
    report = convert(folder / file, target, to, "--bn", bn)
    assert report["signature"]["outputs"] == {"logits": "logits:0"}
    assert_serves(loader(to, target), report, reference["input"], reference["output_f64"])
    types = operations(to, target)
    for gone in ("RefSwitch", "Switch", "Merge", "Assign", "Mean", "SquaredDifference", "VariableV2"):
        assert gone not in types
    if bn == "fold":
        assert len(report["folded"]) == 2 and not report["kept"]
        assert "Sqrt" not in types and "Rsqrt" not in types
    else:
        assert "Sqrt" in types and "Rsqrt" in types


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("program", ["mnist", "resnet"])
def test_missing_statistics_are_refused_with_the_layers_named(program, to, tmp_path):
    text = ckpt("convert", TESTDATA / "tf1" / program / "trainable_only", tmp_path / "out", "--to", to, expect=3)
    for layer in {"mnist": ["block1/bn", "block2/bn"], "resnet": ["init/init_bn", "final_bn"]}[program]:
        assert layer in text
    assert "moving_mean" in text and not (tmp_path / "out").exists()


def test_saved_model_loads_in_tensorflow_2(tmp_path):
    reference = np.load(TESTDATA / "tf1/mnist/correct/reference.npz")
    report = convert(TESTDATA / "tf1/mnist/correct", tmp_path / "mnist" / "1", "saved-model")
    loaded = tf.saved_model.load(str(tmp_path / "mnist" / "1"))
    signature = loaded.signatures["serving_default"]
    [key] = report["signature"]["inputs"]
    [output] = report["signature"]["outputs"]
    assert_close(signature(**{key: tf.constant(reference["input"])})[output].numpy(), reference["output_f64"])
    assert not (tmp_path / "mnist" / "1" / "fingerprint.pb").exists()


def test_signatures_have_the_names_and_shapes_of_their_outputs(tmp_path):
    ckpt("convert", TESTDATA / "tf1" / "mnist" / "correct", tmp_path / "1", "--to", "saved-model", "--quiet",
         "--outputs", "logits=head/BiasAdd:0")  # fmt: skip
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    (key,), (spec,) = signature.structured_outputs, signature.structured_outputs.values()
    assert key == "logits"
    images = tf.zeros([3, *signature.structured_input_signature[1]["images"].shape[1:]])
    # What TensorFlow computes has the shape that the signature says.
    assert spec.shape.rank == 2 and spec.shape[0] is None
    assert signature(images=images)["logits"].shape[1:] == spec.shape[1:]


def test_same_bytes_again(tmp_path):
    for to, files in (("graph-def", [""]), ("saved-model", ["saved_model.pb", "variables/variables.index",
                                                            "variables/variables.data-00000-of-00001"])):
        for name in ("a", "b"):
            convert(TESTDATA / "tf1/resnet/correct", tmp_path / to / name, to, "--bn", "fold") \
                if to == "saved-model" else convert(TESTDATA / "tf1/resnet/correct", tmp_path / f"{name}.pb", to)
        for file in files:
            a = tmp_path / to / "a" / file if to == "saved-model" else tmp_path / "a.pb"
            b = tmp_path / to / "b" / file if to == "saved-model" else tmp_path / "b.pb"
            assert a.read_bytes() == b.read_bytes()


# Small graphs, saved as .meta and checkpoint, each with random statistics.

class Weights:
    """Makes variables of reproducible values."""

    def __init__(self):
        self.random = np.random.RandomState(5)

    def __call__(self, name, shape, low=-1.0, high=1.0):
        value = self.random.uniform(low, high, shape).astype(np.float32)
        return tf1.get_variable(name, initializer=tf.constant(value), use_resource=True)

    def norm(self, x, name, channels, gamma=True, beta=True, fused=True, data_format="NHWC"):
        with tf1.variable_scope(name):
            mean = self("moving_mean", [channels])
            variance = self("moving_variance", [channels], 0.2, 3.0)
            scale = self("gamma", [channels], 0.5, 2.0) if gamma else None
            shift = self("beta", [channels]) if beta else None
            if fused:
                return tf1.nn.fused_batch_norm(x, scale, shift, mean, variance, epsilon=0.002, is_training=False,
                                               data_format=data_format)[0]
            return tf.nn.batch_normalization(x, mean, variance, shift, scale, 0.002)

    def written_out(self, x, formula):
        with tf1.variable_scope("bn"):
            channels = x.shape[-1]
            mean, variance = self("mean", [channels]), self("variance", [channels], 0.2, 3.0)
            return tf.nn.relu(formula(x, mean, variance + 0.002, self("gain", [channels], 0.5, 2.0), self("shift", [channels])))

    def shaped_norm(self, x, shape):
        with tf1.variable_scope("bn"):
            channels = max(shape)
            vectors = [self("moving_mean", [channels]), self("moving_variance", [channels], 0.2, 3.0),
                       self("beta", [channels]), self("gamma", [channels], 0.5, 2.0)]
            return tf.nn.batch_normalization(x, *(tf.reshape(vector, shape) for vector in vectors), 0.002)


def conv_bn(w, x):
    return tf.nn.relu(w.norm(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"), "bn", 6))


def conv_bias_unfused(w, x):
    y = tf.nn.bias_add(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"), w("b", [6]))
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def conv_add_no_gamma(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME") + w("b", [6])
    return tf.nn.relu(w.norm(y, "bn", 6, gamma=False, fused=False))


def conv_no_beta(w, x):
    return tf.nn.relu(w.norm(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"), "bn", 6, beta=False, fused=False))


def conv_no_gamma_no_beta(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.norm(y, "bn", 6, gamma=False, beta=False, fused=False))


def shaped_vectors(w, x):
    """Vectors of shape [1, 1, 1, C], which are broadcast over the last axis."""
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.shaped_norm(y, [1, 1, 1, 6]))


def gamma_times_difference_over_root(w, x):
    return w.written_out(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"),
                         lambda x, mean, variance, gamma, beta: gamma * (x - mean) / tf.sqrt(variance) + beta)


def difference_over_root_times_gamma(w, x):
    return w.written_out(tf.matmul(tf.reshape(x, [-1, 256]), w("k", [256, 6])),
                         lambda x, mean, variance, gamma, beta: (x - mean) / tf.sqrt(variance) * gamma + beta)


def difference_times_gamma_over_root(w, x):
    return w.written_out(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"),
                         lambda x, mean, variance, gamma, beta: (x - mean) * (gamma / tf.sqrt(variance)) + beta)


def difference_times_reciprocal_root(w, x):
    return w.written_out(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"),
                         lambda x, mean, variance, gamma, beta: beta + gamma * ((x - mean) * tf.math.rsqrt(variance)))


def tensordot(w, x):
    """What a Keras Dense layer does with more than two axes: the batch norm is behind a reshape of the product."""
    y = tf.nn.bias_add(tf.tensordot(x, w("k", [4, 6]), [[3], [0]]), w("b", [6]))
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def dense_reshaped(w, x):
    y = tf.matmul(tf.reshape(x, [-1, 128]), w("k", [128, 12]))
    return tf.nn.relu(w.norm(tf.reshape(y, [-1, 2, 12]), "bn", 12, fused=False))


def partitioned(w, x):
    """Kernel, gamma and beta are joined from parts; the checkpoint holds them whole."""
    with tf1.variable_scope("", partitioner=tf1.fixed_size_partitioner(2)):
        variable = lambda name, shape, low, high: tf.convert_to_tensor(tf1.get_variable(
            name, shape, initializer=tf1.random_uniform_initializer(low, high, seed=3)))
        y = tf1.nn.conv2d(x, variable("k", [4, 3, 4, 6], -1, 1), padding="SAME")
        gamma, beta = variable("bn/gamma", [6], 0.5, 2), variable("bn/beta", [6], -1, 1)
    return tf.nn.relu(tf.nn.batch_normalization(y, w("bn/moving_mean", [6]), w("bn/moving_variance", [6], 0.2, 3.0),
                                                beta, gamma, 0.002))


def depthwise(w, x):
    return tf.nn.relu(w.norm(tf1.nn.depthwise_conv2d(x, w("k", [3, 3, 4, 2]), [1, 1, 1, 1], "SAME"), "bn", 8))


def transposed(w, x):
    shape = tf.stack([tf.shape(x)[0], 16, 16, 6])
    y = tf1.nn.conv2d_transpose(x, w("k", [3, 3, 6, 4]), shape, [1, 2, 2, 1])
    return tf.nn.relu(w.norm(y, "bn", 6))


def dilated(w, x):
    y = tf1.space_to_batch_nd(x, [2, 2], [[2, 2], [2, 2]])
    y = tf1.nn.conv2d(y, w("k", [3, 3, 4, 6]), padding="VALID")
    return tf.nn.relu(w.norm(tf1.batch_to_space_nd(y, [2, 2], [[0, 0], [0, 0]]), "bn", 6))


def conv1d(w, x):
    y = tf1.nn.conv1d(tf.reshape(x, [-1, 64, 4]), w("k", [3, 4, 6]), 1, "SAME")
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def conv3d(w, x):
    y = tf1.nn.conv3d(tf.reshape(x, [-1, 4, 4, 4, 4]), w("k", [3, 3, 3, 4, 6]), [1] * 5, "SAME")
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def conv3d_transposed(w, x):
    x = tf.reshape(x, [-1, 4, 4, 4, 4])
    y = tf1.nn.conv3d_transpose(x, w("k", [3, 3, 3, 6, 4]), tf.stack([tf.shape(x)[0], 4, 4, 4, 6]), [1] * 5)
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def dense(w, x):
    y = tf.matmul(tf.reshape(x, [-1, 256]), w("k", [256, 6]))
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def dense_transposed(w, x):
    y = tf.matmul(tf.reshape(x, [-1, 256]), w("k", [6, 256]), transpose_b=True)
    return tf.nn.relu(w.norm(y, "bn", 6, fused=False))


def concatenated(w, x):
    parts = [tf1.nn.conv2d(x, w(f"k{i}", [3, 3, 4, 2 + i]), padding="SAME") for i in range(3)]
    return tf.nn.relu(w.norm(tf.concat(parts, -1), "bn", 9))


def pooled(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.norm(tf1.nn.avg_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"), "bn", 6))


def forward_dense(w, x):
    y = w.norm(x, "bn", 4)
    return tf.nn.relu(tf.matmul(tf.reshape(y, [-1, 256]), w("k", [256, 6])) + w("b", [6]))


def forward_valid(w, x):
    return tf.nn.relu(tf1.nn.conv2d(w.norm(x, "bn", 4), w("k", [3, 3, 4, 6]), padding="VALID"))


def forward_tensordot(w, x):
    return tf.nn.relu(tf.tensordot(w.norm(x, "bn", 4, fused=False), w("k", [4, 6]), [[3], [0]]))


def forward_dilated(w, x):
    """The zeros that make the parts alike are cropped again: no window meets them."""
    fill = [[0, 2], [0, 2]]
    y = tf1.space_to_batch_nd(w.norm(x, "bn", 4), [2, 2], fill)
    y = tf1.nn.conv2d(y, w("k", [3, 3, 4, 6]), padding="VALID")
    return tf.nn.relu(tf1.batch_to_space_nd(y, [2, 2], fill))


def transposed_between(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    y = w.shaped_norm(tf.transpose(y, [0, 3, 1, 2]), [1, 6, 1, 1])
    return tf.transpose(tf.nn.relu(y), [0, 2, 3, 1])


def cropped_between(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.norm(tf.pad(y[:, 1:-1, ::2], [[0, 0], [1, 1], [0, 2], [0, 0]], "REFLECT"), "bn", 6))


def rank_not_told(w, x):
    """What a convolution yields has four axes, whatever came before."""
    y = tf.reshape(x, tf.boolean_mask([-1, 8, 8, 4], [True] * 4))
    y = tf1.nn.conv2d(y, w("k", [3, 3, 4, 6]), padding="SAME")
    y = tf.transpose(tf1.nn.max_pool(tf.nn.bias_add(y, w("b", [6])), 2, 2, "SAME"), [0, 3, 1, 2])
    y = w.shaped_norm(y, [1, 6, 1, 1])
    return tf.transpose(tf.nn.relu(y), [0, 2, 3, 1])


def two_in_a_row(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.norm(w.norm(y, "bn1", 6), "bn2", 6))


def norm_is_output(w, x):
    return w.norm(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"), "bn", 6)


def shared_kernel(w, x):
    kernel = w("k", [3, 3, 4, 4])
    y = tf.nn.relu(w.norm(tf1.nn.conv2d(x, kernel, padding="SAME"), "bn1", 4))
    return tf.nn.relu(w.norm(tf1.nn.conv2d(y, kernel, padding="SAME"), "bn2", 4))


def shared_kernel_one_norm(w, x):
    kernel = w("k", [3, 3, 4, 4])
    y = tf.nn.relu(w.norm(tf1.nn.conv2d(x, kernel, padding="SAME"), "bn", 4))
    return tf.nn.relu(tf1.nn.conv2d(y, kernel, padding="SAME"))


def shared_kernel_conv1d(w, x):
    kernel = w("k", [3, 4, 4])
    y = tf.nn.relu(w.norm(tf1.nn.conv1d(tf.reshape(x, [-1, 64, 4]), kernel, 1, "SAME"), "bn1", 4, fused=False))
    return tf.nn.relu(w.norm(tf1.nn.conv1d(y, kernel, 1, "SAME"), "bn2", 4, fused=False))


def tied_weights(w, x):
    """The kernel is also read by an operation that is no layer: it must not see the folded one."""
    kernel = w("k", [256, 6])
    y = w.norm(tf.matmul(tf.reshape(x, [-1, 256]), kernel), "bn", 6, fused=False)
    return tf.matmul(tf.nn.relu(y), tf.transpose(kernel))


def bias_is_read_elsewhere(w, x):
    bias = w("b", [6])
    y = tf.nn.bias_add(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"), bias)
    return tf.nn.relu(w.norm(y, "bn", 6)) * bias


def variance_is_read_elsewhere(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    variance = w("moving_variance", [6], 0.2, 3.0)
    y = tf.nn.batch_normalization(y, w("moving_mean", [6]), variance, w("beta", [6]), w("gamma", [6]), 0.002)
    return tf.nn.relu(y) + tf.sqrt(variance)


FOLDED = [tensordot, dense_reshaped, partitioned, gamma_times_difference_over_root, difference_over_root_times_gamma, difference_times_gamma_over_root,
          difference_times_reciprocal_root, conv_bn, conv_bias_unfused, conv_add_no_gamma, conv_no_beta, conv_no_gamma_no_beta, shaped_vectors, depthwise,
          transposed, dilated, conv1d, conv3d, conv3d_transposed, dense, dense_transposed, concatenated, pooled,
          forward_dense, forward_valid, forward_tensordot, forward_dilated, transposed_between, cropped_between,
          rank_not_told, two_in_a_row, norm_is_output, shared_kernel, shared_kernel_one_norm,
          shared_kernel_conv1d, tied_weights, bias_is_read_elsewhere, variance_is_read_elsewhere]


def several_readers(w, x):
    y = tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME")
    return tf.nn.relu(w.norm(y, "bn", 6)) + y


def forward_same(w, x):
    return tf.nn.relu(tf1.nn.conv2d(w.norm(x, "bn", 4), w("k", [3, 3, 4, 6]), padding="SAME"))


def after_relu(w, x):
    y = tf.nn.relu(tf1.nn.conv2d(x, w("k", [3, 3, 4, 6]), padding="SAME"))
    return tf.nn.sigmoid(w.norm(y, "bn", 6))


def gamma_is_read_elsewhere(w, x):
    gamma = w("gamma", [4], 0.5, 2.0)
    y = tf.nn.batch_normalization(tf.nn.sigmoid(x), w("moving_mean", [4]), w("moving_variance", [4], 0.2, 3.0),
                                  w("beta", [4]), gamma, 0.002)
    return tf.nn.relu(y) * gamma


def another_axis(w, x):
    y = tf1.nn.conv3d(tf.reshape(x, [-1, 4, 4, 4, 4]), w("k", [3, 3, 3, 4, 4]), [1] * 5, "SAME")
    return tf.nn.relu(w.shaped_norm(y, [1, 1, 4, 1, 1]))


def after_sum_nchw(w, x):
    y = tf.transpose(tf.nn.sigmoid(x), [0, 3, 1, 2])
    return tf.transpose(tf.nn.sigmoid(w.shaped_norm(y, [1, 4, 1, 1])), [0, 2, 3, 1])


def over_placeholder(w, x):
    return tf.nn.relu(w.norm(x, "bn", 4, fused=False))


def over_placeholder_nothing_learnt(w, x):
    return tf.nn.relu(w.norm(x, "bn", 4, gamma=False, beta=False, fused=False))


def over_constant(w, x):
    constant = tf.constant(np.random.RandomState(9).randn(8, 8, 8, 4).astype(np.float32))
    y = tf.nn.relu(w.norm(constant, "bn1", 4)) + tf.nn.relu(w.norm(constant, "bn2", 4, fused=False))
    return tf.reduce_mean(y, 0) + x


def dense_reshaped_across_units(w, x):
    """The reshape mixes units and rows: channel i of the batch norm is no unit."""
    y = tf.matmul(tf.reshape(x, [-1, 256]), w("k", [256, 12]))
    return tf.nn.relu(w.norm(tf.reshape(y, [-1, 2, 6]), "bn", 6, fused=False))


def shared_vectors(w, x):
    """Two batch norms of the same variables, on values that differ."""
    vectors = [w("moving_mean", [4]), w("moving_variance", [4], 0.2, 3.0), w("beta", [4]), w("gamma", [4])]
    y = tf.nn.relu(tf.nn.batch_normalization(x, *vectors, 0.002))
    return tf.nn.relu(tf.nn.batch_normalization(y, *vectors, 0.003))


def written_out_over_placeholder(w, x):
    return w.written_out(x, lambda x, mean, variance, gamma, beta: gamma * (x - mean) / tf.sqrt(variance) + beta)


KEPT = [dense_reshaped_across_units, written_out_over_placeholder, several_readers, forward_same, after_relu, gamma_is_read_elsewhere, another_axis, after_sum_nchw,
        over_placeholder, over_placeholder_nothing_learnt, over_constant, shared_vectors]


def save(build, folder):
    """Saves the graph and its variables; returns images and the original's output in float64 terms."""
    images = np.random.RandomState(1).randn(8, 8, 8, 4).astype(np.float32)
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        x = tf1.placeholder(tf.float32, [None, 8, 8, 4], name="images")
        output = tf.identity(build(Weights(), x), name="output")
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(folder / "model.ckpt"))
        return images, session.run(output, {x: images}).astype(np.float64)


@pytest.mark.parametrize("leftover", ["keep", "affine"])
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("build", FOLDED + KEPT)
def test_layers_fold_or_stay(build, to, leftover, tmp_path):
    images, exact = save(build, tmp_path)
    target = tmp_path / ("1" if to == "saved-model" else "out.pb")
    report = convert(tmp_path / "model.ckpt", target, to, "--bn", "fold", "--leftover", leftover, "--outputs", "output")
    assert list(report["signature"]["outputs"].values()) == ["output:0"]
    assert_serves(loader(to, target), report, images, exact)
    if build in FOLDED:
        assert not report["kept"], report["kept"]
        types = operations(to, target)
        assert "Rsqrt" not in types and not any(kind.startswith("FusedBatchNorm") for kind in types)
    else:
        assert report["kept"] and all(layer["reason"] for layer in report["kept"])
        if leftover == "affine":
            assert all(layer["affine"] for layer in report["kept"])
            types = operations(to, target)
            assert "Rsqrt" not in types and not any(kind.startswith("FusedBatchNorm") for kind in types)


def assert_opencv_computes(path, images, exact):
    """OpenCV's DNN module: images and maps of features are NCHW there."""
    cv2 = pytest.importorskip("cv2")
    network = cv2.dnn.readNetFromTensorflow(str(path))
    network.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    output = network.forward()
    assert_close(output.transpose(0, 2, 3, 1) if output.ndim == 4 else output, exact)


# What OpenCV's importer reads of TensorFlow's operations, batch norm by tf.nn.batch_normalization with beta included.
@pytest.mark.parametrize("options", [["--bn", "preserve"], ["--bn", "fold"], ["--bn", "fold", "--leftover", "affine"]],
                         ids=["preserve", "fold", "affine"])
@pytest.mark.parametrize("build", [conv_bn, conv_bias_unfused, conv_add_no_gamma, depthwise, dilated, concatenated, pooled,
                                   forward_valid, forward_same, two_in_a_row, norm_is_output, shared_kernel,
                                   bias_is_read_elsewhere, several_readers, after_relu, over_placeholder])
def test_opencv_loads_frozen_graphs(build, options, tmp_path):
    images, exact = save(build, tmp_path)
    convert(tmp_path / "model.ckpt", tmp_path / "out.pb", "graph-def", *options, "--outputs", "output")
    assert_opencv_computes(tmp_path / "out.pb", images, exact)


@pytest.mark.parametrize("bn", ["preserve", "fold"])
@pytest.mark.parametrize("program", ["mnist/correct", "resnet/correct", "resnet/zero_debias_correct"])
def test_opencv_loads_the_founding_programs(program, bn, tmp_path):
    reference = np.load(TESTDATA / "tf1" / program / "reference.npz")
    convert(TESTDATA / "tf1" / program, tmp_path / "out.pb", "graph-def", "--bn", bn)
    assert_opencv_computes(tmp_path / "out.pb", reference["input"], reference["output_f64"])


def train_two_towers(folder, counted):
    """Two towers that share their variables, trained for a while with the updates of the `counted` ones."""
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        losses, updates = [], []
        gamma, beta = tf1.get_variable("bn/gamma", initializer=tf.ones([4])), tf1.get_variable("bn/beta", [4])
        mean = tf1.get_variable("bn/moving_mean", initializer=tf.zeros([4]), trainable=False)
        variance = tf1.get_variable("bn/moving_variance", initializer=tf.ones([4]), trainable=False)
        for i in range(2):
            with tf1.name_scope(f"tower_{i}"):
                batch_mean, batch_variance = tf.nn.moments(x[i::2], [0])
                y = tf.nn.batch_normalization(x[i::2], batch_mean, batch_variance, beta, gamma, 0.001)
                updates.append([tf1.assign(mean, mean * 0.9 + batch_mean * 0.1),
                                tf1.assign(variance, variance * 0.9 + batch_variance * 0.1)])
                losses.append(tf.reduce_mean(tf.square(y - 1)))
        with tf.control_dependencies([update for i in counted for update in updates[i]]):
            train = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.add_n(losses),
                                                                   tf1.train.get_or_create_global_step())
        tf1.add_to_collection("train_op", train)
        session.run(tf1.global_variables_initializer())
        for _ in range(50):
            session.run(train, {x: np.random.RandomState(0).randn(8, 4).astype(np.float32) + 2})
        tf1.train.Saver().save(session, str(folder / "model.ckpt"))


def test_updates_of_one_tower_alone_are_named(tmp_path):
    for counted in ([0, 1], [1]):
        folder = tmp_path / str(len(counted))
        folder.mkdir()
        train_two_towers(folder, counted)
        report = json.loads(ckpt("audit", folder / "model.ckpt", "--format", "json"))
        findings = [finding for finding in report["inputs"][0]["findings"] if finding["rule"] == "GR001"]
        if len(counted) == 2:
            assert not findings
            continue
        [finding] = findings
        assert finding["severity"] == "info"
        assert "1 of the 2 updates" in finding["message"]
        assert "with the train operation Momentum:" in finding["message"]  # which is in the collection twice
        assert "those of tower_1 do and those of tower_0 do not" in finding["message"]


def test_halves_are_widened_as_the_fused_operation_does(tmp_path):
    def build(w, x):
        return tf.cast(w.norm(tf.nn.relu(tf.cast(x, tf.float16)), "bn", 4), tf.float32)
    images, exact = save(build, tmp_path)
    convert(tmp_path / "model.ckpt", tmp_path / "out.pb", "graph-def", "--bn", "fold", "--leftover", "affine",
            "--outputs", "output")
    assert_close(frozen(tmp_path / "out.pb")({"images:0": images}, "output:0"), exact)


def test_one_part_of_a_partitioned_variable_is_a_slice_of_it(tmp_path):
    def build(w, x):
        parts = tf1.get_variable("k", [6, 5], partitioner=tf1.fixed_size_partitioner(2), use_resource=False,
                                 initializer=tf1.random_uniform_initializer(-1, 1, seed=3))
        return tf.matmul(tf.reshape(x, [-1, 256])[:, :3], list(parts)[1]) + tf.reduce_sum(list(parts)[0], 0)
    images, exact = save(build, tmp_path)
    for to in FORMATS:
        target = tmp_path / ("1" if to == "saved-model" else "out.pb")
        convert(tmp_path / "model.ckpt", target, to, "--outputs", "output")
        assert_close(loader(to, target)({"images:0": images}, "output:0"), exact)


def test_outputs_and_feeds_are_taken_by_name(tmp_path):
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        keep = tf1.placeholder(tf.float32, [], name="keep")
        hidden = tf.multiply(tf.matmul(x, tf1.get_variable("k", [4, 3], use_resource=False)), keep, name="hidden")
        tf.nn.softmax(hidden, name="scores")
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        rows = np.ones([2, 4], np.float32)
        exact = session.run("hidden:0", {"x:0": rows, "keep:0": 2.0})
    report = convert(tmp_path / "model.ckpt", tmp_path / "out.pb", "graph-def", "--outputs", "hidden", "--feed", "keep=2")
    assert report["signature"]["inputs"] == {"x": "x:0"}
    assert_close(frozen(tmp_path / "out.pb")({"x:0": rows}, "hidden:0"), exact)
    text = ckpt("convert", tmp_path / "model.ckpt", tmp_path / "no.pb", "--outputs", "nothing", expect=2)
    assert "nothing" in text


# TensorFlow 2.21 cannot load the originals: "'_UserObject' object has no attribute 'add_slot'".
loads_keras2_slots = pytest.mark.skipif(os.environ.get("CKPT_WORLD") == "keras3",
                                        reason="this TensorFlow does not load a SavedModel with a Keras 2 optimizer")
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
DL4J = "src/main/resources/tf_graphs/examples"


@loads_keras2_slots
@needs_corpus
@pytest.mark.parametrize("to", FORMATS)
def test_kws_folds_all_nine(to, tmp_path):
    source = CORPUS / "C5/benchmark/training/keyword_spotting/trained_models/kws_ref_model"
    target = tmp_path / ("1" if to == "saved-model" else "out.pb")
    images = np.random.RandomState(2).randn(8, 49, 10, 1).astype(np.float32)
    report = convert(source, target, to, "--bn", "fold")
    assert len(report["folded"]) == 9 and not report["kept"]
    exact = tf.saved_model.load(str(source)).signatures["serving_default"](tf.constant(images))
    [exact] = exact.values()
    assert_serves(loader(to, target), report, images, exact.numpy().astype(np.float64))


@loads_keras2_slots
@needs_corpus
def test_basic_pitch_folds_two_of_three(tmp_path):
    source = CORPUS / "C1/basic_pitch/saved_models/icassp_2022/nmp"
    report = convert(source, tmp_path / "out.pb", "graph-def", "--bn", "fold")
    assert len(report["folded"]) == 2 and len(report["kept"]) == 1
    audio = np.random.RandomState(2).randn(2, 43844, 1).astype(np.float32) * 0.1
    exact = tf.saved_model.load(str(source)).signatures["serving_default"](tf.constant(audio))
    [tensor] = report["signature"]["inputs"].values()
    for key, output in report["signature"]["outputs"].items():
        assert_close(frozen(tmp_path / "out.pb")({tensor: audio}, output), exact[key].numpy().astype(np.float64), key)


@needs_corpus
def test_basic_pitch_has_the_folded_values_of_its_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = CORPUS / "C1/basic_pitch/saved_models/icassp_2022"
    report = convert(folder / "nmp", tmp_path / "out.pb", "graph-def", "--bn", "fold")
    consts = {node.name: tf.make_ndarray(node.attr["value"].tensor)
              for node in read_graph(tmp_path / "out.pb").node if node.op == "Const"}
    model = onnx.load(str(folder / "nmp.onnx"))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert len(report["folded"]) == 2
    for layer in report["folded"]:
        # Its exporter called the bias after all that it was made of.
        [convolution] = [node for node in model.graph.node
                         if node.op_type == "Conv" and f"{layer['batch_norm']}/" in node.input[2]]
        [name] = layer["into"]
        ours = [consts[name].transpose(3, 2, 0, 1), consts[name.replace("kernel", "bias")]]
        for folded, theirs in zip(ours, (values[input] for input in convolution.input[1:])):
            # The exporter multiplied in float32: two roundings. Below 1 that is less than 1e-7.
            difference = np.abs(folded.astype(np.float64) - theirs)
            assert (difference <= 2 * np.spacing(np.abs(theirs))).all()
            assert difference[np.abs(theirs) < 0.5].max() <= 1e-7


@needs_corpus
def test_ds_cnn_folds_all_nine(tmp_path):
    source = CORPUS / "E1/Pretrained_models/DS_CNN/DS_CNN_S.pb"
    report = convert(source, tmp_path / "out.pb", "graph-def", "--bn", "fold")
    assert len(report["folded"]) == 9 and not report["kept"]


@needs_corpus
@pytest.mark.parametrize("case, folder", [("E8", "batchnorm/rank2_batch2_sz5_fused"),
                                          ("E14", "batchnorm/rank4_nchw_batch4_sz5_noFused"),
                                          ("E17", "batchnorm/rank4_nhwc_batch4_sz5_noFused_m50e01")])
@pytest.mark.parametrize("leftover", ["keep", "affine"])
def test_stored_outputs_are_computed_again(case, folder, leftover, tmp_path):
    folder = CORPUS / case / DL4J / folder
    name = "batch_normalization/batchnorm/add_1"
    arguments = ["graph-def", "--bn", "fold", "--leftover", leftover, "--outputs", name]
    # Nothing is given: whether that is to be served, only the user can say.
    assert f"{name}:0" in ckpt("convert", folder / "frozen_model.pb", tmp_path / "out.pb", expect=3)
    report = convert(folder / "frozen_model.pb", tmp_path / "out.pb", *arguments)
    read = lambda name: np.loadtxt(folder / f"{name}.csv").reshape(np.loadtxt(folder / f"{name}.shape", int, ndmin=1))
    assert not report["signature"]["inputs"]  # the input is a constant of the graph
    [output] = report["signature"]["outputs"].values()
    computed = frozen(tmp_path / "out.pb")({}, output)
    exact = read(f"{name}.prediction")
    assert np.abs(computed - exact).max() <= 1e-6 * max(1, np.abs(exact).max())
    if leftover == "affine":
        types = operations("graph-def", tmp_path / "out.pb")
        assert report["kept"][0]["affine"] and "Rsqrt" not in types
        assert sorted(set(types) - {"Const", "Identity"}) == ["Add", "Mul"] and len(types) <= 6


@needs_corpus
def test_training_mode_is_refused(tmp_path):
    source = CORPUS / "E19" / DL4J / "fused_batch_norm/float32_nhcw/frozen_model.pb"
    text = ckpt("convert", source, tmp_path / "out.pb", "--bn", "fold", "--outputs", "FusedBatchNormV3", expect=3)
    assert "training" in text
    findings = json.loads(ckpt("audit", source, "--format", "json", expect=1))["inputs"][0]["findings"]
    assert [finding["rule"] for finding in findings] == ["BN001", "BN060"]
    # No saver had a part in a frozen graph.
    assert all("saver" not in f"{finding['message']} {finding['fix']}".lower() for finding in findings)


def test_slims_fused_batch_norm_behind_a_product(tmp_path, monkeypatch):
    """It takes [-1, 1, 1, C] and gives the rows back, by the shape that it asks the product for."""
    slim = pytest.importorskip("tf_slim")
    # It looks for this where an older TensorFlow had it.
    from tensorflow.python.framework import ops
    monkeypatch.setattr(ops, "Tensor", tf.Tensor, raising=False)
    random = np.random.RandomState(5)
    rows = random.uniform(-1, 1, (4, 6)).astype(np.float32)
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        x = tf1.placeholder(tf.float32, [None, 6], name="x")
        options = {"fused": True, "is_training": False, "scale": True}
        y = slim.fully_connected(x, 5, normalizer_fn=slim.batch_norm, normalizer_params=options)
        y = tf.identity(y, name="y")
        session.run(tf1.global_variables_initializer())
        for variable in tf1.global_variables():
            variable.load(random.uniform(0.3, 2, variable.shape.as_list()), session)
        exact = session.run(y, {x: rows})
        definition = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
    assert [node.op for node in definition.node].count("Reshape") == 2
    (tmp_path / "source.pb").write_bytes(definition.SerializeToString())
    report = convert(tmp_path / "source.pb", tmp_path / "target.pb", "graph-def", "--bn", "fold")
    assert len(report["folded"]) == 1 and not report["kept"], report["kept"]
    assert not any(kind.startswith("FusedBatchNorm") for kind in operations("graph-def", tmp_path / "target.pb"))
    assert_close(frozen(tmp_path / "target.pb")({"x:0": rows}, "y:0"), exact)
