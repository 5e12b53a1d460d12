"""`ckpt calibrate`: statistics that training never updated, computed again from data, are those of the whole set as one
batch, and Keras serves the file as it would serve a model whose statistics were right.

The expected values are Keras' own: a model whose batch norms have momentum 0 and are called once with training=True over
the whole set, layer after layer. CKPT_BINARY is the program. Runs under TensorFlow 2.15 and the newest one.
"""

import hashlib
import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from tensorflow import keras

layers = keras.layers
EXAMPLES = 40


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def build(momentum=0.99):
    """Two trained-looking batch norms with initial statistics; dropout between them."""
    keras.utils.set_random_seed(4)
    x = keras.Input((8, 8, 3), name="images")
    y = layers.BatchNormalization(momentum=momentum, name="b1")(layers.Conv2D(5, 3, padding="same", name="c1")(x))
    y = layers.Dropout(0.5, name="drop")(layers.ReLU(name="r1")(y))
    y = layers.BatchNormalization(momentum=momentum, name="b2")(layers.Conv2D(6, 3, strides=2, name="c2")(y))
    model = keras.Model(x, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D(name="gap")(layers.ReLU(name="r2")(y))))
    random = np.random.default_rng(2)
    for name in ("b1", "b2"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([random.uniform(0.5, 1.5, gamma.shape), random.normal(0, 0.3, beta.shape), mean, variance])
    return model


# The fused kernel, which Keras 2 uses for images in float32, stores the variance over n - 1.
FUSED = tf.__version__.startswith("2.15")


def population(model, x):
    """Statistics in float64, each layer over what the earlier ones yield with theirs as they are stored."""
    def conv(value, name):
        layer = model.get_layer(name)
        kernel, bias = [w.astype(np.float64) for w in layer.get_weights()]
        return (tf.nn.conv2d(tf.constant(value), tf.constant(kernel), layer.strides, layer.padding.upper()) + bias).numpy()

    found, value = {}, x.astype(np.float64)
    for convolution, name in (("c1", "b1"), ("c2", "b2")):
        value = conv(value, convolution)
        mean, variance = value.mean((0, 1, 2)), value.var((0, 1, 2), ddof=1 if FUSED else 0)
        found[name] = (mean, variance)
        gamma, beta = [w.astype(np.float64) for w in model.get_layer(name).get_weights()[:2]]
        stored = mean.astype(np.float32).astype(np.float64), variance.astype(np.float32).astype(np.float64)
        value = np.maximum(gamma * (value - stored[0]) / np.sqrt(stored[1] + 1e-3) + beta, 0)
    return found


@pytest.fixture(params=["m.h5", "m.keras"])
def case(request, tmp_path):
    model = build()
    model.save(tmp_path / request.param)
    x = (np.random.default_rng(9).normal(size=(EXAMPLES, 8, 8, 3)) * 2 + 0.5).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=x)
    return model, tmp_path / request.param, x


def test_statistics_are_those_of_the_whole_set_as_one_batch(case):
    model, path, x = case
    output = path.with_name("out" + path.suffix)
    report = json.loads(ckpt("calibrate", path, output, "--data", path.parent / "x.npz", "--format", "json").stdout)
    assert report["schema"] == "ckpt.calibrate/1"
    assert sorted(entry["batch_norm"] for entry in report["calibrated"]) == ["b1", "b2"]
    assert report["data"][0]["max"] == pytest.approx(float(x.max()))
    written = keras.models.load_model(output)
    for name, (mean, variance) in population(model, x).items():
        stored = written.get_layer(name).get_weights()
        assert np.abs(stored[2] - mean).max() <= 6e-8 * np.abs(mean).max() + 1e-9 * np.sqrt(variance.max())
        assert np.allclose(stored[3], variance, rtol=6.1e-8, atol=0)
    for layer in model.layers:
        if not layer.name.startswith("b"):
            for mine, theirs in zip(layer.get_weights(), written.get_layer(layer.name).get_weights()):
                assert np.array_equal(mine, theirs)


def test_keras_serves_what_its_own_statistics_of_the_set_would_serve(case):
    model, path, x = case
    reference = build(momentum=0.0)
    reference.get_layer("drop").rate = 0.0
    without = keras.Model(reference.input, reference.output)
    for name in ("b1", "b2"):  # layer after layer, as serving will see them
        inner = keras.Model(reference.input, reference.get_layer("c" + name[1]).output)
        reference.get_layer(name)(inner(x, training=False), training=True)
    output = path.with_name("out" + path.suffix)
    ckpt("calibrate", path, output, "--data", path.parent / "x.npz", "--quiet")
    mine, theirs = keras.models.load_model(output)(x, training=False), without(x, training=False)
    stale = model(x, training=False)
    assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()
    assert np.abs(stale - theirs).max() > 1000 * np.abs(mine - theirs).max()
    assert ckpt("audit", "--fail-on", "warning", output)


def test_batch_order_of_files_and_a_lone_array_change_nothing(case):
    model, path, x = case
    folder = path.parent
    np.save(folder / "a.npy", x[:17])
    np.save(folder / "b.npy", x[17:])
    outputs = []
    for i, options in enumerate([["x.npz"], ["a.npy", "b.npy"], ["x.npz", "--batch", "1"], ["x.npz", "--batch", "7"]]):
        output = path.with_name(f"out{i}{path.suffix}")
        files = [folder / option if option.endswith(("npz", "npy")) else option for option in options]
        ckpt("calibrate", path, output, "--data", *files, "--quiet")
        outputs.append([w for layer in keras.models.load_model(output).layers for w in layer.get_weights()])
    for other in outputs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(outputs[0], other))


def test_what_cannot_be_done_is_refused(case):
    _, path, x = case
    folder, output = path.parent, path.with_name("out" + path.suffix)
    good = path.with_name("good" + path.suffix)
    ckpt("calibrate", path, good, "--data", folder / "x.npz", "--quiet")
    assert "nothing to calibrate" in ckpt("calibrate", good, output, "--data", folder / "x.npz", expect=3).stderr
    np.savez(folder / "other.npz", images=x, labels=np.zeros(EXAMPLES))
    assert "labels" in ckpt("calibrate", path, output, "--data", folder / "other.npz", expect=2).stderr
    np.savez(folder / "shape.npz", images=x[:, :, :, :2])
    said = ckpt("calibrate", path, output, "--data", folder / "shape.npz", expect=2).stderr
    assert "is of shape " + "x".join(map(str, (*x.shape[:3], 2))) + ", and the network takes ?x" in said
    ckpt("calibrate", path, output, expect=2)
    ckpt("calibrate", path, path, "--data", folder / "x.npz", "--force", expect=2)
    assert not output.exists()
    dry = json.loads(ckpt("calibrate", path, output, "--data", folder / "x.npz", "--dry-run", "--format", "json").stdout)
    assert len(dry["calibrated"]) == 2 and not output.exists()


def rules_of(path):
    report = json.loads(ckpt("audit", "--fail-on", "never", "--format", "json", path).stdout)
    return {finding["rule"]: finding for finding in report["inputs"][0]["findings"]}


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_the_audit_knows_that_it_was_calibrated_until_the_statistics_are_changed(name, tmp_path):
    """After three steps the initial values weigh 0.99^3, which the optimizer's step would prove of any statistics."""
    model = build()
    model.compile(keras.optimizers.SGD(1e-3), keras.losses.MeanSquaredError())
    x = (np.random.default_rng(9).normal(size=(EXAMPLES, 8, 8, 3)) * 2 + 0.5).astype(np.float32)
    model.fit(x[:24], np.zeros((24, 4), np.float32), batch_size=8, epochs=1, verbose=0)
    model.save(tmp_path / name)
    np.savez(tmp_path / "x.npz", images=x)
    output = tmp_path / ("out" + os.path.splitext(name)[1])
    assert rules_of(tmp_path / name)["BN015"]["severity"] == "warning"
    done = ckpt("calibrate", "--all", tmp_path / name, output, "--data", tmp_path / "x.npz", "--format", "json")
    assert json.loads(done.stdout)["audit"]["warnings"] == 0
    found = rules_of(output)
    assert "BN015" not in found and found["BN016"]["severity"] == "info"
    assert all(finding["severity"] == "info" for finding in found.values())
    written = keras.models.load_model(output)
    weights = written.get_layer("b1").get_weights()
    written.get_layer("b1").set_weights([*weights[:2], weights[2] + 1, weights[3]])
    written.save(output)  # the record beside it is the old one
    found = rules_of(output)
    assert "b1" in found["BN015"]["subject"] and "b2" not in found["BN015"]["subject"]
    assert "b2" in found["BN016"]["subject"] and "b1" not in found["BN016"]["subject"]


def with_population(x):
    model = build()
    for name, (mean, variance) in population(model, x).items():
        model.get_layer(name).set_weights([*model.get_layer(name).get_weights()[:2], mean, variance])
    return model


def test_a_saved_model_is_served_with_the_statistics_of_the_set(tmp_path):
    model = build()
    (model.export if hasattr(model, "export") else model.save)(str(tmp_path / "m"))
    x = (np.random.default_rng(9).normal(size=(EXAMPLES, 8, 8, 3)) * 2 + 0.5).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=x)
    ckpt("calibrate", tmp_path / "m", tmp_path / "out", "--data", tmp_path / "x.npz")
    served = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    [name] = served.structured_input_signature[1]
    [mine] = served(**{name: tf.constant(x)}).values()
    right, stale = with_population(x)(x, training=False), model(x, training=False)
    assert np.abs(mine - right).max() <= 1e-5 * np.abs(right).max()
    assert np.abs(stale - right).max() > 1000 * np.abs(mine - right).max()
    assert {"b1", "b2"} <= set(rules_of(tmp_path / "out")["BN016"]["subject"].replace(" and ", " ").split())


def test_data_in_many_files_of_a_folder_and_in_little_memory_change_no_bit(case):
    model, path, x = case
    (path.parent / "parts").mkdir()
    for i, part in enumerate(np.split(x, [3, 11, 30])):
        np.savez_compressed(path.parent / "parts" / f"{i}.npz", images=part)
    outputs = [path.with_name(f"o{i}{path.suffix}") for i in range(2)]
    ckpt("calibrate", path, outputs[0], "--data", path.parent / "x.npz", "--quiet")
    # What one example takes, with the room that a convolution works in, and not what all do.
    ckpt("calibrate", path, outputs[1], "--memory", "6200K", "--data", path.parent / "parts", "--quiet")
    a, b = [[w for layer in keras.models.load_model(o).layers for w in layer.get_weights()] for o in outputs]
    assert all(np.array_equal(one, other) for one, other in zip(a, b))


def test_the_record_names_the_data(case):
    _, path, _ = case
    output = path.with_name("out" + path.suffix)
    ckpt("calibrate", path, output, "--data", path.parent / "x.npz", "--quiet")
    [data] = json.loads((path.parent / (output.name + ".ckpt.json")).read_text())["data_files"]
    assert data["name"] == "x.npz"
    assert data["sha256"] == hashlib.sha256((path.parent / "x.npz").read_bytes()).hexdigest()


def test_a_word_beside_output_is_required_says_what_data_took(tmp_path):
    said = ckpt("calibrate", "--data", tmp_path / "x.npz", tmp_path / "in.h5", tmp_path / "out.h5", "--all",
                expect=2).stderr
    assert "OUTPUT is required" in said and "--data takes all that follows it" in said


def test_weights_without_a_model_say_that_a_graph_is_needed(tmp_path):
    build().save_weights(tmp_path / "w.weights.h5")
    np.save(tmp_path / "x.npy", np.zeros((40, 8, 8, 3), np.float32))
    said = ckpt("calibrate", "--all", tmp_path / "w.weights.h5", tmp_path / "o.weights.h5", "--data", tmp_path / "x.npy",
                expect=3).stderr
    assert "--graph FILE" in said


def test_a_state_dict_is_calibrated_by_the_graph_that_was_exported_of_it(tmp_path):
    onnx = pytest.importorskip("onnx")
    safetensors = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(8)
    f32 = lambda *shape: random.normal(0, 0.5, shape).astype(np.float32)
    state = {"c1.weight": f32(4, 3, 3, 3), "n1.weight": f32(4) + 1, "n1.bias": f32(4), "c2.weight": f32(5, 4, 1, 1),
             "n2.weight": f32(5) + 1, "n2.bias": f32(5)}
    for name, channels in (("n1", 4), ("n2", 5)):
        state[f"{name}.running_mean"] = np.zeros(channels, np.float32)
        state[f"{name}.running_var"] = np.ones(channels, np.float32)
    node = onnx.helper.make_node
    norm = lambda name: [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    nodes = [node("Conv", ["x", "c1.weight"], ["a"], kernel_shape=[3, 3]),
             node("BatchNormalization", ["a", *norm("n1")], ["b"], epsilon=1e-5), node("Relu", ["b"], ["c"]),
             node("Conv", ["c", "c2.weight"], ["d"], kernel_shape=[1, 1]),
             node("BatchNormalization", ["d", *norm("n2")], ["y"], epsilon=1e-5)]
    value = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    graph = onnx.helper.make_graph(nodes, "g", [value("x", ["n", 3, 8, 8])], [value("y", ["n", 5, 6, 6])],
                                   [onnx.numpy_helper.from_array(v, k) for k, v in state.items()])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    counters = {f"{name}.num_batches_tracked": np.array(0, np.int64) for name in ("n1", "n2")}
    safetensors.save_file({**state, **counters}, tmp_path / "s.safetensors")
    x = random.normal(1, 2, (EXAMPLES, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    report = json.loads(ckpt("calibrate", tmp_path / "s.safetensors", tmp_path / "out.safetensors", "--graph",
                             tmp_path / "net.onnx", "--data", tmp_path / "x.npy", "--format", "json").stdout)
    assert [entry["variance"] for entry in report["calibrated"]] == ["unbiased", "unbiased"]  # as PyTorch stores it
    after = safetensors.load_file(tmp_path / "out.safetensors")

    def conv(value, kernel):
        kernel = tf.constant(kernel.astype(np.float64).transpose(2, 3, 1, 0))
        return tf.nn.conv2d(value, kernel, 1, "VALID").numpy()

    first = conv(x.astype(np.float64).transpose(0, 2, 3, 1), state["c1.weight"])
    mean, variance = first.mean((0, 1, 2)), first.var((0, 1, 2), ddof=1)
    scale = state["n1.weight"] / np.sqrt(variance + 1e-5)
    second = conv(np.maximum(scale * (first - mean) + state["n1.bias"], 0), state["c2.weight"])
    for name, data in (("n1", first), ("n2", second)):
        assert np.allclose(after.pop(f"{name}.running_mean"), data.mean((0, 1, 2)), rtol=1e-6, atol=1e-7)
        assert np.allclose(after.pop(f"{name}.running_var"), data.var((0, 1, 2), ddof=1), rtol=1e-6, atol=0)
    assert all(np.array_equal(value, {**state, **counters}[name]) for name, value in after.items())
    assert set(rules_of(tmp_path / "out.safetensors")) >= {"BN016"}  # by the metadata of the file itself
    (tmp_path / "out.safetensors.ckpt.json").unlink()
    assert "BN016" in rules_of(tmp_path / "out.safetensors")
    ckpt("calibrate", "--all", tmp_path / "net.onnx", tmp_path / "o.onnx", "--data", tmp_path / "x.npy")
    (tmp_path / "o.onnx.ckpt.json").unlink()
    assert "BN016" in rules_of(tmp_path / "o.onnx")
    onnx.checker.check_model(str(tmp_path / "o.onnx"))
    wrong = dict(state)
    wrong["c3.weight"] = wrong["c2.weight"]
    safetensors.save_file(wrong, tmp_path / "w.safetensors")
    said = ckpt("calibrate", tmp_path / "w.safetensors", tmp_path / "no.safetensors", "--graph", tmp_path / "net.onnx",
                "--data", tmp_path / "x.npy", expect=3).stderr
    assert "c3.weight" in said and not (tmp_path / "no.safetensors").exists()
