"""`ckpt verify --with` against the real frameworks: they agree with our own run on sound files, are not run on files that
bring code unless that is asked for, and what is missing is one line.

CKPT_BINARY is the program; the Python of the tests is the one that has the frameworks. Runs in the worlds keras3 and
torch.
"""

import json
import os
import re
import subprocess
import sys
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

WORLD = os.environ.get("CKPT_WORLD", "")
in_keras3 = pytest.mark.skipif(WORLD != "keras3", reason="needs Keras 3")
in_torch = pytest.mark.skipif(WORLD != "torch", reason="needs PyTorch")


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def verify(a, b, framework, *options, expect=0):
    done = ckpt("verify", a, b, "--with", framework, "--python", sys.executable, "--format", "json", *options,
                expect=expect)
    return json.loads(done.stdout), done.stderr


def assert_agrees(report, framework, version, sides="ab"):
    opinion = report["second_opinion"]
    assert opinion["framework"] == framework
    ran = [side for side in opinion["sides"] if side["not_run"] is None]
    assert [side["side"] for side in ran] == list(sides)
    for side in ran:
        assert side["version"] == version
        for output in side["outputs"]:
            assert output["agrees"] and output["max_abs"] <= output["allowed"] < 1e-2


def keras_model(extra=None, seed=1):
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = image = keras.Input((9, 7, 3), name="image")
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="c1")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="b1")(x))
    if extra is not None:
        x = extra(x)
    x = layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    random = np.random.default_rng(seed)
    model.set_weights([np.abs(random.normal(size=w.shape)).astype("float32") + 0.1 for w in model.get_weights()])
    return model


@in_keras3
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_agrees_with_our_run_of_a_sound_fold(tmp_path, suffix):
    import keras

    source, folded = tmp_path / f"m{suffix}", tmp_path / f"f{suffix}"
    keras_model().save(source)
    ckpt("convert", source, folded, "--bn", "fold")
    report, said = verify(source, folded, "keras")
    assert report["verdict"] == "same up to rounding"
    assert_agrees(report, "keras", keras.__version__)
    assert f"ckpt: {sys.executable} runs keras on {source} (A)" in said


@in_keras3
def test_tensorflow_agrees_on_a_saved_model_and_its_frozen_graph(tmp_path):
    import tensorflow as tf

    model = keras_model()
    serve = tf.function(lambda image: {"y": model(image, training=False)},
                        input_signature=[tf.TensorSpec((None, 9, 7, 3), tf.float32, name="image")])
    tf.saved_model.save(model, tmp_path / "saved", signatures={"serving_default": serve})
    ckpt("convert", tmp_path / "saved", tmp_path / "frozen.pb", "--bn", "fold")
    report, _ = verify(tmp_path / "saved", tmp_path / "frozen.pb", "tensorflow")
    assert_agrees(report, "tensorflow", tf.__version__)


@in_keras3
def test_a_side_that_the_framework_cannot_run_is_listed(tmp_path):
    import keras

    model = keras_model()
    model.save(tmp_path / "m.keras")
    model.export(tmp_path / "saved", verbose=False)
    report, _ = verify(tmp_path / "saved", tmp_path / "m.keras", "keras")
    assert_agrees(report, "keras", keras.__version__, "b")
    assert "whole models" in report["second_opinion"]["sides"][0]["not_run"]
    done = ckpt("verify", tmp_path / "saved", tmp_path / "saved", "--with", "onnxruntime", expect=2)
    assert "onnxruntime runs .onnx files" in done.stderr


@in_keras3
def test_onnxruntime_agrees_on_a_folded_network(tmp_path):
    import onnxruntime

    source = os.path.join(os.environ["CKPT_TESTDATA"], "onnx", "add_bn.onnx")
    ckpt("convert", source, tmp_path / "f.onnx", "--bn", "fold", "--allow-findings")
    report, _ = verify(source, tmp_path / "f.onnx", "onnxruntime")
    assert_agrees(report, "onnxruntime", onnxruntime.__version__)


@in_keras3
def test_what_is_different_stays_different(tmp_path):
    keras_model().save(tmp_path / "a.keras")
    keras_model(seed=2).save(tmp_path / "b.keras")
    report, _ = verify(tmp_path / "a.keras", tmp_path / "b.keras", "keras", expect=1)
    assert report["verdict"] == "different" and report["second_opinion"]["between"][0]["max_abs"] > 0.01


@in_keras3
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_layer_is_run_only_where_the_input_is_trusted(tmp_path, suffix):
    from keras import layers

    path = tmp_path / f"m{suffix}"
    keras_model(lambda x: layers.Lambda(lambda t: t * 2.0, output_shape=(5, 4, 6), name="twice")(x)).save(path)
    done = ckpt("verify", path, path, "--with", "keras", "--python", sys.executable, expect=3)
    assert "Lambda" in done.stderr and "--trust-input" in done.stderr and " runs keras on" not in done.stderr
    report, said = verify(path, path, "keras", "--trust-input", expect=3)
    # Our own run does not understand it: what is left is the framework's own opinion of the two.
    assert " runs keras on" in said
    sides, between = report["second_opinion"]["sides"], report["second_opinion"]["between"]
    assert [side["not_run"] for side in sides] == [None, None]
    assert between[0]["max_abs"] == 0 and between[0]["size"] > 0


def edit_config(source, target, edit):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, edit(data.decode()) if name == "config.json" else data)


@in_keras3
@pytest.mark.parametrize("edit, found", [
    (lambda text: text.replace('"module": "keras.initializers", "class_name": "GlorotUniform"',
                               '"module": "os", "class_name": "system"', 1), 'the module "os"'),
    (lambda text: text.replace('"class_name": "GlorotUniform"', '"class_name": "\\u004cambda"', 1), "the class Lambda"),
    (lambda text: text.replace('"module": "keras.initializers", "class_name": "GlorotUniform"',
                               '"module": "keras.utils", "class_name": "get_file"', 1), 'the module "keras.utils"'),
    (lambda text: text.replace('"registered_name": null', '"registered_name": "Zoo>G"', 1), 'the custom object "Zoo>G"'),
])
def test_a_config_that_calls_something_else_is_not_run(tmp_path, edit, found):
    keras_model().save(tmp_path / "m.keras")
    edit_config(tmp_path / "m.keras", tmp_path / "bad.keras", edit)
    with zipfile.ZipFile(tmp_path / "m.keras") as a, zipfile.ZipFile(tmp_path / "bad.keras") as b:
        assert a.read("config.json") != b.read("config.json")
    done = ckpt("verify", tmp_path / "m.keras", tmp_path / "bad.keras", "--with", "keras", expect=3)
    assert found in done.stderr.replace("\\\\", "\\"), done.stderr


@in_keras3
def test_a_py_function_and_a_file_operation_are_not_run(tmp_path):
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self):
            self.w = tf.Variable(np.ones((3, 2), "float32"))

        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
        def serve(self, x):
            return {"y": x @ self.w}

        # Nothing that is served calls these.
        @tf.function(input_signature=[])
        def calls(self):
            return tf.py_function(lambda: 1.0, [], tf.float32)

        @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
        def writes(self, name):
            tf.io.write_file(name, "x")
            return tf.constant(1.0)

    net = Net()
    tf.saved_model.save(net, tmp_path / "m", signatures={"serving_default": net.serve})
    done = ckpt("verify", tmp_path / "m", tmp_path / "m", "--with", "tensorflow", expect=3)
    assert "PyFunc" in done.stderr and "WriteFile" in done.stderr
    report, _ = verify(tmp_path / "m", tmp_path / "m", "tensorflow", "--trust-input")
    assert_agrees(report, "tensorflow", tf.__version__)


@in_keras3
def test_a_module_that_is_missing_is_one_line(tmp_path):
    keras_model().save(tmp_path / "m.keras")
    empty = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", empty], check=True)
    done = ckpt("verify", tmp_path / "m.keras", tmp_path / "m.keras", "--with", "keras", "--python",
                empty / "bin" / "python", expect=3)
    lines = [line for line in done.stderr.splitlines() if " runs keras on" not in line]
    assert lines and all(re.search(r"has no module (keras|numpy)$", line) for line in lines), done.stderr


@in_torch
def test_torch_runs_torchscript_and_says_that_a_state_dict_is_none(tmp_path):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(4, 6, (3, 2))
            self.bn = torch.nn.BatchNorm2d(6, eps=1e-3)

        def forward(self, x):
            return torch.relu(self.bn(self.conv(x)))

    # The network of the file that names the tensors; the weights are others.
    graph = os.path.join(os.environ["CKPT_TESTDATA"], "onnx", "conv2d_bn.onnx")
    torch.manual_seed(1)
    net = Net().eval()
    net.bn.running_mean.normal_()
    net.bn.running_var.uniform_(0.5, 2)
    script = tmp_path / "m.pt"
    torch.jit.script(net).save(script)
    report, said = verify(script, script, "torch", "--graph", graph)
    assert_agrees(report, "torch", torch.__version__)
    assert " runs torch on " in said
    torch.save(net.state_dict(), tmp_path / "w.pt")
    report, _ = verify(script, tmp_path / "w.pt", "torch", "--graph", graph)
    assert_agrees(report, "torch", torch.__version__, "a")
    assert report["second_opinion"]["sides"][1]["not_run"] == "torch runs TorchScript archives"


@in_torch
def test_torchscript_that_writes_a_file_is_not_run(tmp_path):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(4, 6, (3, 2))
            self.bn = torch.nn.BatchNorm2d(6, eps=1e-3)

        def forward(self, x):
            torch.save(x, "written")
            return torch.relu(self.bn(self.conv(x)))

    graph = os.path.join(os.environ["CKPT_TESTDATA"], "onnx", "conv2d_bn.onnx")
    torch.jit.script(Net().eval()).save(tmp_path / "m.pt")
    done = ckpt("verify", tmp_path / "m.pt", tmp_path / "m.pt", "--with", "torch", "--graph", graph, expect=3)
    assert "the function save" in done.stderr and " runs torch on " not in done.stderr
