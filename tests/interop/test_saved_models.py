"""SavedModels that ckpt rewrites keep what they serve: every signature, its types and shapes, tables, assets.

The originals are made here by the TensorFlow that runs the tests; each signature of OUTPUT is run beside the
original's.  CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures.
"""

import importlib.util
import os
import pathlib
import shutil
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
from test_tf_graphs import CORPUS, assert_close, ckpt, convert

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
CASES = CORPUS.parent / "cases"
IMAGES = tf.TensorSpec([None, 8, 8, 2], tf.float32, name="x")


class Network(tf.Module):
    """A convolution and a batch norm in inference mode."""

    def __init__(self):
        random = np.random.RandomState(5)

        def variable(name, *shape, above=0.0, trainable=True):
            values = np.abs(random.randn(*shape)) + above if above else random.randn(*shape)
            return tf.Variable(values.astype(np.float32), name=name, trainable=trainable)

        self.kernel = variable("conv/kernel", 3, 3, 2, 4)
        self.gamma = variable("bn/gamma", 4, above=0.5)
        self.beta = variable("bn/beta", 4)
        self.mean = variable("bn/moving_mean", 4, trainable=False)
        self.variance = variable("bn/moving_variance", 4, above=0.5, trainable=False)
        self.calls = tf.Variable(0, dtype=tf.int64, name="calls")

    def run(self, x):
        y = tf.nn.conv2d(x, self.kernel, 1, "SAME")
        y, _, _ = tf1.nn.fused_batch_norm(y, self.gamma, self.beta, self.mean, self.variance, is_training=False,
                                          epsilon=1e-3)
        return tf.nn.relu(y)

    @tf.function(input_signature=[IMAGES])
    def serve(self, x):
        return {"y": self.run(x)}


def values_for(specs):
    """Inputs of a signature by their names; the same for every call."""
    random = np.random.RandomState(7)
    made = {}
    for name, spec in sorted(specs.items()):
        shape = [3 if dim is None else dim for dim in spec.shape.as_list()]
        if spec.dtype == tf.string:
            made[name] = tf.constant(random.choice([b"cat", b"bird", b"zebra"], shape))
        else:
            made[name] = tf.constant(random.randn(*shape), spec.dtype)
    return made


def assert_same_signatures(original, folder, names):
    """Each signature of the original that is named: the same inputs, outputs, types, shapes and values."""
    written = tf.saved_model.load(str(folder))
    assert set(written.signatures) == set(names)
    for name in names:
        before, after = original.signatures[name], written.signatures[name]
        expected_inputs = before.structured_input_signature[1]
        inputs = after.structured_input_signature[1]
        assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in inputs.items()} == {
            key: (spec.dtype, spec.shape.as_list()) for key, spec in expected_inputs.items()}, name
        feed = values_for(expected_inputs)
        expected, computed = before(**feed), after(**feed)
        assert set(computed) == set(expected)
        for key, value in expected.items():
            assert computed[key].dtype == value.dtype, (name, key)
            assert after.structured_outputs[key].shape.as_list() == before.structured_outputs[key].shape.as_list()
            if value.dtype == tf.string or not value.dtype.is_floating:
                assert np.all(computed[key].numpy() == value.numpy()), (name, key)
            else:
                assert_close(computed[key].numpy(), value.numpy().astype(np.float64), (name, key))


class Trained(Network):
    """Six functions, of which three train, save and restore."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 2], tf.float32, name="small")])
    def small(self, small):
        y = self.run(small)
        best = tf.argmax(tf.reduce_mean(y, [1, 2]), -1)
        return {"y": y, "best": best, "resized": tf.image.resize(tf.cast(y, tf.uint8), [2, 2])}

    @tf.function(input_signature=[IMAGES])
    def counted(self, x):
        self.calls.assign_add(1)
        return {"y": self.run(x) + 1}

    @tf.function(input_signature=[IMAGES, tf.TensorSpec([None], tf.float32, name="t")])
    def train(self, x, t):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.reduce_mean(self.run(x), [1, 2, 3]) - t) ** 2)
        weights = [self.kernel, self.gamma, self.beta]
        for variable, gradient in zip(weights, tape.gradient(loss, weights)):
            variable.assign_sub(0.1 * gradient)
        return {"loss": loss}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
    def save(self, path):
        tf.raw_ops.Save(filename=path, tensor_names=["kernel"], data=[self.kernel.read_value()])
        return {"path": path}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
    def restore(self, path):
        kernel = tf.raw_ops.Restore(file_pattern=path, tensor_name="kernel", dt=tf.float32)
        self.kernel.assign(kernel)
        return {"kernel": kernel}


@pytest.mark.parametrize("bn", ["preserve", "fold"])
def test_every_signature_that_can_serve_stays(bn, tmp_path):
    model = Trained()
    names = ["serving_default", "small", "counted", "train", "save", "restore"]
    tf.saved_model.save(model, str(tmp_path / "in"), signatures={
        name: getattr(model, "serve" if name == "serving_default" else name) for name in names})
    report = convert(tmp_path / "in", tmp_path / "out", "saved-model", "--bn", bn)
    assert [one["name"] for one in report["signatures"]] == ["serving_default", "counted", "small"]
    reasons = {one["name"]: one["reason"] for one in report["dropped_signatures"]}
    assert set(reasons) == {"train", "save", "restore"}
    assert "writes" in reasons["train"] and "saves" in reasons["save"] and "writes" in reasons["restore"]
    assert any("calls" in note for note in report["notes"])
    assert bool(report["folded"]) == (bn == "fold") and (bn == "preserve" or not report["kept"])
    original = tf.saved_model.load(str(tmp_path / "in"))
    assert_same_signatures(original, tmp_path / "out", ["serving_default", "small", "counted"])
    verified = {one["name"]: one["status"] for one in report["verification"]["signatures"]}
    assert verified == dict.fromkeys(["serving_default", "counted", "small"], "verified")


class Words(Network):
    """Tables that are filled from a file and from constants, and a file that is read itself."""

    def __init__(self, folder):
        super().__init__()
        (folder / "words.txt").write_text("cat\ndog\nbird\n")
        (folder / "note.txt").write_text("a note")
        self.words = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(str(folder / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                                          tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER), 2)
        self.labels = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([0, 1, 2], tf.int64), tf.constant(["a", "b", "c"])), "?")
        self.note = tf.saved_model.Asset(str(folder / "note.txt"))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def look_up(self, words):
        ids = self.words.lookup(words)
        return {"id": ids, "label": self.labels.lookup(ids)}

    @tf.function(input_signature=[IMAGES])
    def read(self, x):
        return {"text": tf.io.read_file(self.note), "y": self.run(x)}


def test_tables_and_assets_come_along(tmp_path):
    (tmp_path / "files").mkdir()
    model = Words(tmp_path / "files")
    source = tmp_path / "in"
    tf.saved_model.save(model, str(source), signatures={
        "serving_default": model.serve, "look_up": model.look_up, "read": model.read})
    (source / "assets.extra" / "deep").mkdir(parents=True)
    (source / "assets.extra" / "deep" / "requests").write_bytes(bytes(range(256)) * 10000)
    original = tf.saved_model.load(str(source))
    convert(source, tmp_path / "out", "saved-model", "--bn", "fold")
    for name in ("assets/words.txt", "assets/note.txt", "assets.extra/deep/requests"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    # What is written needs nothing of the original.
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "out", moved)
    for name in ("words.txt", "note.txt"):
        (tmp_path / "files" / name).rename(tmp_path / "files" / f"gone_{name}")
    assert_same_signatures(original, moved, ["serving_default", "look_up", "read"])
    with tf.Graph().as_default(), tf1.Session() as session:
        meta = tf1.saved_model.load(session, ["serve"], str(moved))
        signature = meta.signature_def["look_up"]
        label = session.run(signature.outputs["label"].name, {signature.inputs["words"].name: ["bird", "cat"]})
        assert label.tolist() == [b"c", b"a"]
    ckpt("convert", source, tmp_path / "frozen.pb", expect=3)


def test_a_table_of_tensorflow_1_and_the_other_graphs(tmp_path):
    (tmp_path / "words.txt").write_text("cat\ndog\nbird\n")
    source = tmp_path / "in"
    with tf.Graph().as_default(), tf1.Session() as session:
        words = tf1.placeholder(tf.string, [None], name="words")
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(str(tmp_path / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                                          tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER), -1)
        weights = tf1.get_variable("weights", [4, 3], tf.float32, tf1.random_normal_initializer(seed=1))
        y = tf.gather(weights, table.lookup(words) + 1, name="y")
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        signature = tf1.saved_model.predict_signature_def({"words": words}, {"y": y})
        builder = tf1.saved_model.Builder(str(source))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature, "alias": signature},
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS), main_op=tf1.tables_initializer())
        builder.add_meta_graph(["eval"], {})
        builder.save()
    report = convert(source, tmp_path / "out", "saved-model")
    assert report["other_graphs"] == [{"tags": ["eval"]}]
    assert "eval" in ckpt("convert", source, tmp_path / "again", "--to", "saved-model")
    original = tf.saved_model.load(str(source), tags=["serve"])
    assert_same_signatures(original, tmp_path / "out", ["serving_default", "alias"])


def run_signatures(folder, feeds):
    """Every signature of a SavedModel by TensorFlow 1's loader, what is fed by the arguments' names."""
    results = {}
    with tf.Graph().as_default(), tf1.Session() as session:
        meta = tf1.saved_model.load(session, ["serve"], str(folder))
        for name, signature in meta.signature_def.items():
            if name.startswith("__") or not signature.outputs:
                continue
            feed = {info.name: feeds[key] for key, info in signature.inputs.items()}
            outputs = {key: info.name for key, info in signature.outputs.items()}
            results[name] = session.run(outputs, feed)
    return results


def test_a_tensor_that_one_signature_is_given_and_another_computes(tmp_path):
    """As TensorFlow Serving's half_plus_two: "x" is parsed from an example, and a request may give it itself."""
    source = tmp_path / "in"
    with tf.Graph().as_default(), tf1.Session() as session:
        examples = tf1.placeholder(tf.string, [None], name="examples")
        parsed = tf1.io.parse_example(examples, {"x": tf1.io.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], name="x")
        a, b = tf1.get_variable("a", initializer=0.5), tf1.get_variable("b", initializer=2.0)
        y = tf.add(tf.multiply(a, x), b, name="y")
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(source))
        signature = tf1.saved_model.predict_signature_def
        builder.add_meta_graph_and_variables(session, ["serve"], {
            "serving_default": signature({"x": x}, {"y": y}), "classify": signature({"inputs": examples}, {"y": y})})
        builder.save()
    report = convert(source, tmp_path / "out", "saved-model")
    assert {one["name"]: list(one["inputs"]) for one in report["signatures"]} == {
        "serving_default": ["x"], "classify": ["inputs"]}
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[3.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
    feeds = {"x": [[1.0], [2.0]], "inputs": [example]}
    before, after = run_signatures(source, feeds), run_signatures(tmp_path / "out", feeds)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(after[name]["y"], before[name]["y"])


@pytest.mark.skipif(not CASES.exists(), reason="no cases here")
def test_the_six_signatures_of_tensorflow_serving(tmp_path):
    source = CASES / "public/savedmodel-signatures/00000123"
    report = convert(source, tmp_path / "out", "saved-model")
    assert len(report["signatures"]) == 6 and not report["dropped_signatures"]
    extra = "assets.extra/saved_model_config.pb"
    assert (tmp_path / "out" / extra).read_bytes() == (source / extra).read_bytes()
    features = {key: tf.train.Feature(float_list=tf.train.FloatList(value=[3.0])) for key in ("x", "x2")}
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    feeds = {"x": [[1.0], [2.0]], "inputs": [example]}
    given = {"inputs": [[5.0]]}  # the signatures on x2 are fed a tensor
    with tf.Graph().as_default(), tf1.Session() as session:
        meta = tf1.saved_model.load(session, ["serve"], str(source))
        kinds = {name: {key: info.dtype for key, info in one.inputs.items()} for name, one in meta.signature_def.items()}
    for name, inputs in kinds.items():
        if name.startswith("__"):
            continue
        feed = {key: given[key] if dtype == tf.float32.as_datatype_enum and key in given else feeds[key]
                for key, dtype in inputs.items()}
        computed = []
        for folder in (source, tmp_path / "out"):
            with tf.Graph().as_default(), tf1.Session() as session:
                signature = tf1.saved_model.load(session, ["serve"], str(folder)).signature_def[name]
                computed.append(session.run({key: info.name for key, info in signature.outputs.items()},
                                            {signature.inputs[key].name: value for key, value in feed.items()}))
        assert computed[0].keys() == computed[1].keys()
        for key, value in computed[0].items():
            np.testing.assert_array_equal(computed[1][key], value)


# Of each kind of definition: the type of an input, a fixed one, an attribute, a default, one of several outputs.
OUTPUTS = {
    "resized": lambda x: tf.image.resize(tf.cast(x * 50, tf.uint8), [4, 4]),
    "index": lambda x: tf.unique(tf.reshape(tf.cast(x, tf.int32), [-1]))[1],
    "text": lambda x: tf.strings.as_string(tf.cast(x, tf.int32)),
    "boxes": lambda x: tf.image.non_max_suppression(tf.reshape(x, [-1, 4]), tf.reduce_sum(tf.reshape(x, [-1, 4]), 1), 5),
    "magnitude": lambda x: tf.abs(tf.cast(x, tf.complex64)),
    "bucket": lambda x: tf.raw_ops.Bucketize(input=x, boundaries=[0.0, 1.0]),
    "fourier": lambda x: tf.signal.fft(tf.cast(x, tf.complex64)),
    "quantised": lambda x: tf.quantization.fake_quant_with_min_max_args(x),
    "any": lambda x: tf.reduce_any(x > 0, [1, 2, 3]),
    "best": lambda x: tf.argmax(x, -1),
    "best32": lambda x: tf.argmax(x, -1, output_type=tf.int32),
    "top": lambda x: tf.math.top_k(x, 2).indices,
    "shape": lambda x: tf.shape(x, out_type=tf.int64),
    "where": lambda x: tf.where(x > 0.5),
    "parts": lambda x: tf.split(x, 2, -1)[1],
    "bits": lambda x: tf.bitcast(x, tf.int32),
    "joined": lambda x: tf.strings.reduce_join(tf.strings.as_string(tf.cast(x, tf.int64)), [1, 2, 3]),
    "histogram": lambda x: tf.histogram_fixed_width(x, [-1.0, 1.0], 5),
    "half": lambda x: tf.cast(x, tf.float16),
}


def test_outputs_of_all_kinds_keep_their_types(tmp_path):
    model = Network()
    model.of_all = tf.function(lambda x: {key: made(model.run(x)) for key, made in OUTPUTS.items()},
                               input_signature=[IMAGES])
    tf.saved_model.save(model, str(tmp_path / "in"), signatures=model.of_all)
    convert(tmp_path / "in", tmp_path / "out", "saved-model")
    assert_same_signatures(tf.saved_model.load(str(tmp_path / "in")), tmp_path / "out", ["serving_default"])


def test_the_table_of_outputs_is_that_of_this_tensorflow():
    """No operation of the registry is missing; where releases differ, the newer one's definition stands."""
    generator = TESTDATA / "generators" / "tf_op_outputs.py"
    spec = importlib.util.spec_from_file_location("tf_op_outputs", generator)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    rows = dict(made.ROW.findall((TESTDATA.parent / "lib/tf_graph/op_output_rows.inc").read_text()))
    differing = [op.name for op in made.registered()
                 if made.outputs_of(op) and rows.get(op.name) != made.outputs_of(op)]
    assert set(differing) <= {"_MklDequantize", "CustomAggregator"}, differing


@pytest.mark.skipif(not CASES.exists(), reason="no cases here")
def test_an_estimator_s_folder_is_served_once_its_input_is_named(tmp_path):
    source = CASES / "tf/estimator-model-dir"
    told = ckpt("convert", "--bn", "fold", "--to", "saved-model", source, tmp_path / "out", expect=3)
    assert "IteratorGetNext" in told and "--inputs" in told and "Softmax" in told
    assert not (tmp_path / "out").exists()
    convert(source, tmp_path / "out", "saved-model", "--bn", "fold", "--inputs", "IteratorGetNext", "--outputs",
            "Softmax")
    reference = np.load(source / "reference.npz")
    served = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    [output] = served(tf.constant(reference["input"])).values()
    assert_close(output.numpy(), reference["probabilities"].astype(np.float64))


def test_a_training_program_s_queue_is_named(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        queue = tf.queue.FIFOQueue(10, [tf.float32, tf.int64], [[8], []], name="examples")
        images, labels = queue.dequeue_many(4, name="batch")
        weights = tf1.get_variable("head/kernel", [8, 3], use_resource=False)
        logits = tf.matmul(images, weights, name="head/logits")
        tf.nn.softmax(logits, name="probabilities")
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        tf1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(tf1.global_variables_initializer())
        kernel = session.run(weights)
        tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    told = ckpt("convert", "--to", "saved-model", tmp_path / "model.ckpt", tmp_path / "out", expect=3)
    assert '"batch" (QueueDequeueManyV2)' in told and "probabilities:0" in told
    convert(tmp_path / "model.ckpt", tmp_path / "out", "saved-model", "--inputs", "batch", "--outputs", "head/logits")
    served = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    x = np.random.RandomState(3).randn(4, 8).astype(np.float32)
    [output] = served(tf.constant(x)).values()
    assert_close(output.numpy(), x.astype(np.float64) @ kernel)


def test_a_saved_model_in_chunks_is_named(tmp_path):
    (tmp_path / "saved_model.cpb").write_bytes(b"\x83\xaf\x70\xd1" * 64)
    for path in (tmp_path, tmp_path / "saved_model.cpb"):
        done = subprocess.run([os.environ["CKPT_BINARY"], "audit", str(path)], capture_output=True, text=True)
        assert done.returncode == 3 and "experimental_image_format=False" in done.stderr
