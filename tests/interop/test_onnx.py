"""onnx.checker accepts what ckpt folds, onnxruntime computes the same as before, both against a float64 reference.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. Beside each model of testdata/onnx/ stand inputs and
float64 outputs, computed by the onnx package's reference evaluator when the fixture was made.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FOLDER = pathlib.Path(os.environ["CKPT_TESTDATA"]) / "onnx"
sys.path.insert(0, str(FOLDER.parent / "generators"))
import onnx_models  # noqa: E402
from random_onnx import random_model  # noqa: E402

# What stays a batch norm, and a word of the reason. All others fold without a rest.
KEPT = {
    "bn_alone": "", "bn_between_relus": "Relu", "bn_conv_padded": "pads with zeros",
    "average_pool_counted_bn": "pads with zeros", "max_pool_negative_bn": "negative", "conv_is_output_bn": "output",
    "gemm_matrix_bias_bn": "shape", "bn_gemm_transposed_input": "transposed", "matmul_rank3_bn": "axis",
    "written_norm_alone": "", "written_norm_other_axis": "different ones",
}
PARTLY_KEPT = {"local_function": 1, "taken_names": 1}
# Batch norms that no node is: written out in simple operations.
WRITTEN = {"written_norm_alone", "written_norm_other_axis"}
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
assert NAMES


def convert(source, target, *options):
    done = subprocess.run([os.environ["CKPT_BINARY"], "convert", "--format", "json", *options, str(source), str(target)],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def arrays(name):
    stored = np.load(FOLDER / (name + ".npz"))
    inputs = {key[3:]: stored[key] for key in stored if key.startswith("in_")}
    return inputs, [stored[key] for key in stored if key.startswith("out_")]


def run(path, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {entry.name for entry in session.get_inputs()}
    return session.run(None, {key: value for key, value in inputs.items() if key in names})


def in_float64(path):
    """The model with every float tensor widened."""
    model = onnx.load(path)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)

    def widen(tensor):
        if tensor.data_type in floats:
            wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))

    for tensor in model.graph.initializer:
        widen(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                widen(attribute.t)
    for info in list(model.graph.input) + list(model.graph.output):
        if info.type.tensor_type.elem_type in floats:
            info.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    del model.graph.value_info[:]
    return model


def largest_error(results, reference):
    return max(float(np.max(np.abs(np.asarray(a, np.float64) - b)) / max(1.0, float(np.max(np.abs(b)))))
               for a, b in zip(results, reference))


def count_bn(path):
    return sum(node.op_type == "BatchNormalization" for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_folded_model_computes_the_same(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    report = convert(source, target, "--bn", "fold")
    onnx.checker.check_model(str(target), full_check=True)
    if name in KEPT:
        assert len(report["kept"]) == 1 and KEPT[name] in report["kept"][0]["reason"], report["kept"]
    else:
        assert len(report["kept"]) == PARTLY_KEPT.get(name, 0), report["kept"]
    assert count_bn(target) == (0 if name in WRITTEN else len(report["kept"]))
    inputs, reference = arrays(name)
    half = onnx.load(source).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    before, after = (largest_error(run(path, inputs), reference) for path in (source, target))
    assert after < max(4 * before, 2e-2 if half else 2e-6), (before, after)
    # Only the rounding of the folded weights is left.
    exact = onnx.reference.ReferenceEvaluator(in_float64(target), new_ops=onnx_models.OWN_OPERATORS)
    results = exact.run(None, {key: value.astype(np.float64) for key, value in inputs.items()
                               if key in [entry.name for entry in exact.proto_.graph.input]})
    assert largest_error(results, reference) < (2e-2 if half else 2e-6)


def split_model(axis, norm):
    """A convolution, a split into two parts along `axis`, a convolution of each. The batch norm is at `norm`: "before" the
    split (a rectifier keeps it from the convolution), or behind the part "first" or "second" (before its convolution)."""
    random = np.random.default_rng(7)
    width = 2 if axis == 1 and norm != "before" else 4
    parts = {"kernel": (4, 3, 3, 3), "first.kernel": (5, 2 if axis == 1 else 4, 1, 1),
             "second.kernel": (5, 2 if axis == 1 else 4, 1, 1), "bn.beta": (width,), "bn.mean": (width,)}
    weights = {name: random.standard_normal(shape) for name, shape in parts.items()}
    weights |= {name: random.uniform(0.5, 2, width) for name in ("bn.gamma", "bn.variance")}
    node = onnx.helper.make_node
    nodes = [node("Conv", ["x", "kernel"], ["c"], "conv")]
    bn = ["bn.gamma", "bn.beta", "bn.mean", "bn.variance"]
    if norm == "before":
        nodes += [node("Relu", ["c"], ["r"], "relu"), node("BatchNormalization", ["r", *bn], ["n"], "bn")]
    nodes.append(node("Split", ["n" if norm == "before" else "c"], ["first", "second"], "split", axis=axis, num_outputs=2))
    if norm != "before":
        nodes.append(node("BatchNormalization", [norm, *bn], ["n"], "bn"))
    for part in ("first", "second"):
        source = "n" if part == norm else part
        # The one behind the split has no convolution: it could only be folded into the one before.
        last = node("Relu", [source], [part + ".y"], part) if part == norm else \
            node("Conv", [source, part + ".kernel"], [part + ".y"], part)
        nodes.append(last)
    info = onnx.helper.make_tensor_value_info
    outputs = [info(part + ".y", onnx.TensorProto.FLOAT, [None] * 4) for part in ("first", "second")]
    stored = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()
              if any(name in entry.input for entry in nodes)]
    graph = onnx.helper.make_graph(nodes, "split", [info("x", onnx.TensorProto.FLOAT, [1, 3, 10, 10])], outputs, stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("norm", ["before", "first", "second"])
def test_parts_of_a_split_are_told_apart(norm, axis, tmp_path):
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(split_model(axis, norm), source)
    # The fold is judged here, by the reference evaluator.
    report = convert(source, target, "--bn", "fold", "--no-verify")
    folded = norm == "before" and axis == 2
    assert len(report["folded"]) == folded and len(report["kept"]) == (not folded), report
    if folded:
        assert report["folded"][0]["into"] == ["first.kernel", "second.kernel"], report
    x = np.random.default_rng(8).standard_normal((1, 3, 10, 10))
    before, after = (onnx.reference.ReferenceEvaluator(in_float64(path)).run(None, {"x": x})
                     for path in (source, target))
    assert largest_error(after, before) < 1e-6
    # And verify finds the same, whichever part is pending.
    done = subprocess.run([os.environ["CKPT_BINARY"], "verify", str(source), str(target)], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def row_model(bias):
    """A convolution over one axis as one over two, with its bias inside, outside of the wrapping or nowhere; then a batch norm
    and a product of what is flattened under a computed shape."""
    random = np.random.default_rng(9)
    weights = {"kernel": random.standard_normal((4, 3, 1, 5)), "bias": random.standard_normal(4 if bias == "inside" else (4, 1)),
               "gamma": random.uniform(0.5, 2, 4), "beta": random.standard_normal(4), "mean": random.standard_normal(4),
               "variance": random.uniform(0.5, 2, 4), "bn2.gamma": random.uniform(0.5, 2, 4),
               "bn2.beta": random.standard_normal(4), "bn2.mean": random.standard_normal(4),
               "bn2.variance": random.uniform(0.5, 2, 4), "dense": random.standard_normal((64, 6))}
    node = onnx.helper.make_node
    nodes = [node("Unsqueeze", ["x", "axis"], ["wide"], "wide"),
             node("Conv", ["wide", "kernel"] + (["bias"] if bias == "inside" else []), ["conv"], "conv"),
             node("Squeeze", ["conv", "axis"], ["row"], "narrow"),
             *([node("Add", ["row", "bias"], ["sum"], "add")] if bias == "outside" else []),
             node("BatchNormalization", ["sum" if bias == "outside" else "row", "gamma", "beta", "mean", "variance"], ["n"], "bn"),
             node("Relu", ["n"], ["r"], "relu"),
             node("BatchNormalization", ["r", "bn2.gamma", "bn2.beta", "bn2.mean", "bn2.variance"], ["n2"], "bn2"),
             node("Shape", ["n2"], ["shape"], "shape"), node("Gather", ["shape", "zero"], ["count"], "count"),
             node("Concat", ["count", "rest"], ["flat_shape"], "flat_shape", axis=0),
             node("Reshape", ["n2", "flat_shape"], ["flat"], "flat"), node("MatMul", ["flat", "dense"], ["y"], "product")]
    stored = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()
              if any(name in entry.input for entry in nodes)]
    stored += [onnx.numpy_helper.from_array(np.array(value, np.int64), name)
               for name, value in (("axis", [2]), ("zero", [0]), ("rest", [-1]))]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "row", [info("x", onnx.TensorProto.FLOAT, [2, 3, 20])],
                                   [info("y", onnx.TensorProto.FLOAT, [2, 6])], stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("bias", ["inside", "outside", "nowhere"])
def test_a_row_is_convolved_as_an_image_of_one_line(bias, tmp_path):
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(row_model(bias), source)
    report = convert(source, target, "--bn", "fold", "--no-verify")
    assert [fold["into"] for fold in report["folded"]] == [["kernel"], ["dense"]], report
    onnx.checker.check_model(str(target), full_check=True)
    x = np.random.default_rng(8).standard_normal((2, 3, 20))
    before, after = (onnx.reference.ReferenceEvaluator(in_float64(path)).run(None, {"x": x}) for path in (source, target))
    assert largest_error(after, before) < 1e-6


def padded_row_model(kernel):
    """Behind the batch norm a convolution whose zeros lie along the axis that only it has."""
    random = np.random.default_rng(10)
    weights = {"kernel": random.standard_normal((4, 3, 3) if kernel == "through" else (4, 3, 3, 3)),
               "gamma": random.uniform(0.5, 2, 3), "beta": random.standard_normal(3), "mean": random.standard_normal(3),
               "variance": random.uniform(0.5, 2, 3)}
    node = onnx.helper.make_node
    nodes = [node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["n"], "bn"),
             node("Unsqueeze", ["n", "two"], ["wide"], "wide")]
    if kernel == "through":
        nodes.append(node("Unsqueeze", ["kernel", "three"], ["k"], "k"))
    nodes += [node("Conv", ["wide", "k" if kernel == "through" else "kernel"], ["c"], "conv", pads=[1, 0, 1, 0]),
              node("Squeeze", ["c", "two"], ["y"], "narrow")]
    stored = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    stored += [onnx.numpy_helper.from_array(np.array([value], np.int64), name) for name, value in (("two", 2), ("three", 3))]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "row", [info("x", onnx.TensorProto.FLOAT, [2, 3, 8])],
                                   [info("y", onnx.TensorProto.FLOAT, [None] * 3)], stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("kernel", ["stored", "through"])
def test_zeros_along_an_axis_that_is_dropped_pad(kernel, tmp_path):
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(padded_row_model(kernel), source)
    report = convert(source, target, "--bn", "fold", "--no-verify")
    assert len(report["kept"]) == 1 and not report["folded"], report
    x = np.random.default_rng(8).standard_normal((2, 3, 8))
    before, after = (onnx.reference.ReferenceEvaluator(in_float64(path)).run(None, {"x": x}) for path in (source, target))
    assert largest_error(after, before) < 1e-6


def test_calls_of_one_kernel_that_pad_in_two_ways_are_not_one_layer(tmp_path):
    """The weights stand alone, so that one tensor belongs to its name; the shift meets zeros in one call and not in the other."""
    random = np.random.default_rng(11)
    weights = {"conv.weight": random.standard_normal((4, 3, 2, 2)), "bn.weight": random.uniform(0.5, 2, 3),
               "bn.bias": random.standard_normal(3), "bn.running_mean": random.standard_normal(3),
               "bn.running_var": random.uniform(0.5, 2, 3)}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [node("BatchNormalization", ["x", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], ["n"], "bn"),
             node("Conv", ["n", "conv.weight"], ["y"], "c1", auto_pad="SAME_UPPER", strides=[2, 2]),
             node("Conv", ["n", "conv.weight"], ["z"], "c2", auto_pad="SAME_UPPER", strides=[1, 1])]
    graph = onnx.helper.make_graph(nodes, "calls", [info("x", onnx.TensorProto.FLOAT, [1, 3, 4, 4])],
                                   [info(name, onnx.TensorProto.FLOAT, [None] * 4) for name in ("y", "z")],
                                   [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "graph.onnx")
    np.savez(tmp_path / "weights.npz", **weights)
    report = convert(tmp_path / "weights.npz", tmp_path / "out.npz", "--bn", "fold", "--no-verify", "--graph",
                     tmp_path / "graph.onnx", "--input-names", "torch")
    assert not report["folded"] and len(report["kept"]) == 1, report


@pytest.mark.parametrize("name", sorted(KEPT))
def test_leftover_becomes_a_multiplication_and_an_addition(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    convert(source, target, "--bn", "fold", "--leftover", "affine")
    onnx.checker.check_model(str(target), full_check=True)
    assert count_bn(target) == 0
    inputs, reference = arrays(name)
    before, after = (largest_error(run(path, inputs), reference) for path in (source, target))
    assert after < max(4 * before, 2e-6), (before, after)


def diff(a, b):
    done = subprocess.run([os.environ["CKPT_BINARY"], "diff", "--format", "json", str(a), str(b)], check=False,
                          capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)["batch_norm"]


@pytest.mark.parametrize("name", NAMES)
def test_diff_knows_every_fold(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    report = convert(source, target, "--bn", "fold")
    layers = diff(source, target)
    known = {layer["scope_a"] for layer in layers if layer["equal_as_function"] and "folded into" in layer["note"]}
    assert known >= {fold["batch_norm"] for fold in report["folded"]}, layers
    back = diff(target, source)
    known = {layer["scope_b"] for layer in back if layer["equal_as_function"] and "folded into" in layer["note"]}
    assert known >= {fold["batch_norm"] for fold in report["folded"]}, back


def folded_by_definition(model):
    """Every batch norm straight behind a layer, into it: w' = w * s and b' = (b - mean) * s + beta in float64, by where the
    operator's documentation puts the out channels. The names of its folded scopes."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    value = {name: onnx.numpy_helper.to_array(tensor).astype(np.float64) for name, tensor in stored.items()}
    producer = {node.output[0]: node for node in graph.node}
    scopes = []
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        layer, after = producer[norm.input[0]], None
        if layer.op_type == "Add":
            layer, after = next(producer[name] for name in layer.input if name in producer), layer
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in layer.attribute}
        gamma, beta, mean, variance = (value[name] for name in norm.input[1:5])
        scale = gamma / np.sqrt(variance + norm.attribute[0].f)
        kernel = value[layer.input[1]]
        if layer.op_type == "Conv":
            kernel = kernel * scale.reshape([-1] + [1] * (kernel.ndim - 1))
        elif layer.op_type == "ConvTranspose":
            groups = attributes.get("group", 1)
            parts = kernel.reshape([groups, -1] + list(kernel.shape[1:]))
            parts = parts * scale.reshape([groups, 1, -1] + [1] * (kernel.ndim - 2))
            kernel = parts.reshape(kernel.shape)
        else:
            kernel = kernel * (scale[:, None] if attributes.get("transB") else scale)
        factor = attributes.get("beta", 1.0)
        bias_name = layer.input[2] if len(layer.input) > 2 else ""
        if after:
            bias_name = next(name for name in after.input if name in value)
        bias = factor * value[bias_name].reshape(-1) if bias_name else np.zeros(1)
        bias = ((bias - mean) * scale + beta) / factor
        if bias_name and value[bias_name].size == bias.size:
            bias = bias.reshape(value[bias_name].shape)
        elif not bias_name:
            bias_name = layer.input[1].replace("weight", "bias")
            layer.input.append(bias_name)
        for name, array in ((layer.input[1], kernel), (bias_name, bias)):
            if name not in stored:
                stored[name] = graph.initializer.add()
            stored[name].CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), name))
        for node in graph.node:
            for i, name in enumerate(node.input):
                if name == norm.output[0]:
                    node.input[i] = norm.input[0]
        scopes.append(norm.input[1].rsplit(".", 1)[0])
        graph.node.remove(norm)
        for name in norm.input[1:5]:
            graph.initializer.remove(stored[name])
    return scopes


BY_DEFINITION = ["conv1d_bn", "conv2d_bn", "conv3d_bn", "conv2d_square_bn", "conv_grouped_bn", "conv_depthwise_bn",
                 "conv1d_bn_no_bias", "conv3d_bn_no_bias", "conv_grouped_bn_no_bias", "conv_depthwise_bn_no_bias",
                 "conv_transpose_bn", "conv_transpose_square_bn", "conv_transpose_grouped_bn",
                 "conv_transpose_grouped_square_bn", "gemm_bn", "gemm_factors_bn", "gemm_square_bn", "gemm_row_bias_bn",
                 "gemm_scalar_bias_bn", "matmul_add_bn"]


@pytest.mark.parametrize("name", BY_DEFINITION)
def test_diff_knows_a_fold_by_definition_and_a_wrong_one(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "folded.onnx"
    model = onnx.load(source)
    scopes = folded_by_definition(model)
    assert scopes
    onnx.save(model, target)
    inputs, reference = arrays(name)
    assert largest_error(run(target, inputs), reference) < 2e-6
    layers = {layer["scope_a"]: layer for layer in diff(source, target)}
    for scope in scopes:
        assert layers[scope]["equal_as_function"] and "folded into" in layers[scope]["note"], layers
    # one element of what was folded is another
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if array.dtype != np.float32 or "bn" in tensor.name:
            continue
        array.reshape(-1)[-1] += 0.01
        before = tensor.SerializeToString()
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        onnx.save(model, target)
        assert not all(layer["equal_as_function"] for layer in diff(source, target)), tensor.name
        tensor.ParseFromString(before)


@pytest.mark.parametrize("name", NAMES)
def test_copy_is_the_same_model(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    convert(source, target)
    before, after = onnx.load(source), onnx.load(target)
    assert before.ir_version == after.ir_version and before.opset_import == after.opset_import
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        assert old.name == new.name
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(old), onnx.numpy_helper.to_array(new))
    for graph in (before.graph, after.graph):
        del graph.initializer[:]
        for node in graph.node:
            for attribute in node.attribute:
                attribute.t.Clear()
    assert before == after


@pytest.mark.parametrize("opset", (6, 9, 15))
def test_training_mode_is_an_error(opset):
    done = subprocess.run([os.environ["CKPT_BINARY"], "audit", "--format", "json",
                           str(FOLDER / f"training_opset{opset}.onnx")], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    findings = json.loads(done.stdout)["inputs"][0]["findings"]
    assert [finding["severity"] for finding in findings if finding["rule"] == "BN060"] == ["error"]


def at_inference(source):
    """The same model with its batch norms in inference mode, under operator set 15, where an attribute says so."""
    model = onnx.load(source)
    model.opset_import[0].version = 15
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            kept = [a for a in node.attribute if a.name not in ("training_mode", "is_test")]
            del node.attribute[:], node.output[1:]
            node.attribute.extend(kept)
    return model


@pytest.mark.parametrize("mode", ["preserve", "fold"])
@pytest.mark.parametrize("opset", (6, 9, 15))
def test_closed_training_mode_is_inference_mode(opset, mode, tmp_path):
    source, target = FOLDER / f"training_opset{opset}.onnx", tmp_path / "out.onnx"
    refused = subprocess.run([os.environ["CKPT_BINARY"], "convert", "--bn", mode, str(source), str(target)],
                             check=False, capture_output=True, text=True)
    assert refused.returncode == 3 and "--close-training-mode" in refused.stderr and not target.exists()
    report = convert(source, target, "--bn", mode, "--close-training-mode")
    assert [one["batch_norm"] for one in report["changed"]] == ["bn"] and not report["kept"]
    onnx.checker.check_model(str(target), full_check=True)
    onnx.save(at_inference(source), tmp_path / "exact.onnx")
    [entry] = [entry for entry in onnx.load(source).graph.input if entry.name == "x"]
    shape = [dim.dim_value or 3 for dim in entry.type.tensor_type.shape.dim]
    inputs = {"x": np.random.RandomState(4).uniform(-1, 1, shape)}
    exact = onnx.reference.ReferenceEvaluator(in_float64(tmp_path / "exact.onnx")).run(None, inputs)[:1]
    if opset != 9:  # the reference evaluator always trains there
        written = onnx.reference.ReferenceEvaluator(in_float64(target)).run(None, inputs)[:1]
        assert largest_error(written, exact) < 2e-6
    if opset >= 9:
        assert largest_error(run(target, {"x": inputs["x"].astype(np.float32)})[:1], exact) < 1e-5


def test_captured_weight_runs_as_before(tmp_path):
    source, target = FOLDER / "captured_weight.onnx", tmp_path / "out.onnx"
    convert(source, target, "--bn", "fold")
    inputs = {"x": np.random.RandomState(1).uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)}
    for old, new in zip(run(source, inputs), run(target, inputs), strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-5, atol=1e-5)


def test_graph_is_evidence_for_a_file_of_names(tmp_path):
    source, names = FOLDER / "chain.onnx", tmp_path / "names.safetensors"
    convert(source, names)
    convert(names, tmp_path / "folded.safetensors", "--bn", "fold", "--graph", str(source))
    convert(source, tmp_path / "folded.onnx", "--bn", "fold")
    load = pytest.importorskip("safetensors.numpy").load_file
    folded = load(tmp_path / "folded.safetensors")
    model = onnx.load(tmp_path / "folded.onnx")
    assert sorted(folded) == sorted(tensor.name for tensor in model.graph.initializer)
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(folded[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize("seed", range(60))
def test_random_graph_computes_the_same(seed, tmp_path):
    """Channel axes that move through Reshape and Transpose, shared tensors, outputs inside, branches: folded or kept."""
    model, shape = random_model(seed)
    onnx.checker.check_model(model, full_check=True)
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(model, source)
    inputs = {"x": np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)}
    before = run(source, inputs)
    for options in ((), ("--leftover", "affine")):
        report = convert(source, target, "--force", "--bn", "fold", *options)
        assert all(kept["reason"] for kept in report["kept"])
        onnx.checker.check_model(str(target), full_check=True)
        for old, new in zip(before, run(target, inputs), strict=True):
            assert old.shape == new.shape
            assert largest_error([new], [old]) < 2e-5


def test_constants_of_the_graph_are_no_part_of_a_state_dict(tmp_path):
    reshape = onnx.helper.make_node("Reshape", ["x", "shape"], ["flat"])
    dense = onnx.helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["y"], transB=1)
    tensor = onnx.numpy_helper.from_array
    weights = [tensor(np.ones((2, 4), np.float32), "fc.weight"), tensor(np.ones(2, np.float32), "fc.bias"),
               tensor(np.array([1, 4], np.int64), "shape")]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([reshape, dense], "g", [info("x", 1, [1, 2, 2])], [info("y", 1, [1, 2])], weights)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    report = convert(tmp_path / "m.onnx", tmp_path / "m.safetensors")
    assert [entry["name"] for entry in report["dropped"]] == ["shape"]
    assert sorted(pytest.importorskip("safetensors.numpy").load_file(tmp_path / "m.safetensors")) == ["fc.bias", "fc.weight"]
    assert not convert(tmp_path / "m.onnx", tmp_path / "copy.onnx")["dropped"]
