"""Batch norms in functions and in graphs inside of nodes: onnxruntime computes what it did before the fold.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. Beside each model of testdata/onnx_scopes/ stand inputs and
float64 outputs of the model as it was, by onnx.inliner and onnx.reference.
"""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import shared_by_name  # noqa: E402

FOLDER = pathlib.Path(os.environ["CKPT_TESTDATA"]) / "onnx_scopes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
assert NAMES
KEPT = {"branch_of_outer_convolution": "value from around the graph"}
# The condition of an If depends on the data: no network to run here.
UNDECIDED = {"branches", "branch_of_outer_convolution", "function_in_branches", "loop"}


def ckpt(*arguments):
    return subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], check=False, capture_output=True, text=True)


def fold(source, target, *options):
    done = ckpt("convert", "--format", "json", "--bn", "fold", *options, source, target)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def largest_error(path, name):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    stored = np.load(FOLDER / (name + ".npz"))
    error = 0
    for i, data in enumerate(stored["in_x"]):
        for port, result in zip(session.get_outputs(), session.run(None, {"x": data}), strict=True):
            exact = stored["out_" + port.name][i]
            assert result.shape == exact.shape
            error = max(error, float(np.max(np.abs(result - exact)) / max(1, np.max(np.abs(exact)))))
    return error


def operators(graph):
    """Of the graph and of all within."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("leftover", ["keep", "affine"])
def test_folded_model_computes_the_same(name, leftover, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    report = fold(source, target, "--leftover", leftover)
    onnx.checker.check_model(str(target), full_check=True)
    written = onnx.load(target)
    assert not written.functions
    reasons = [kept["reason"] for kept in report["kept"]]
    assert len(reasons) == (name in KEPT) and all(KEPT[name] in reason for reason in reasons)
    norms = list(operators(written.graph)).count("BatchNormalization")
    assert norms == (len(reasons) if leftover == "keep" else 0)
    before, after = (largest_error(path, name) for path in (source, target))
    assert after < max(4 * before, 2e-6), (before, after)


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNDECIDED))
def test_a_fold_proves_itself(name, tmp_path):
    report = fold(FOLDER / (name + ".onnx"), tmp_path / "out.onnx", "--verify")
    proof = report["verification"]
    assert proof["status"] == "verified" and proof["signatures"][0]["verdict"] != "different", proof


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_keeps_functions_and_graphs(name, tmp_path):
    source, target = FOLDER / (name + ".onnx"), tmp_path / "out.onnx"
    done = ckpt("convert", source, target)
    assert done.returncode == 0, done.stderr + done.stdout
    before, after = onnx.load(source), onnx.load(target)
    assert [f.name for f in before.functions] == [f.name for f in after.functions]
    assert before.graph.node == after.graph.node or len(before.graph.node) == len(after.graph.node)
    assert largest_error(target, name) == largest_error(source, name)


def test_what_is_folded_is_what_the_inliner_of_onnx_shows(tmp_path):
    """The same model with its functions inlined by onnx.inliner folds into the same numbers."""
    from onnx import inliner  # noqa: PLC0415
    source = FOLDER / "function_given_weights.onnx"
    onnx.save(inliner.inline_local_functions(onnx.load(source)), tmp_path / "inlined.onnx")
    fold(source, tmp_path / "ours.onnx")
    fold(tmp_path / "inlined.onnx", tmp_path / "theirs.onnx")
    ours, theirs = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / name).graph.initializer}
        for name in ("ours.onnx", "theirs.onnx"))
    kernels = {name for name in ours if name.endswith(".weight")}
    assert len(kernels) == 3 and kernels == {name for name in theirs if name.endswith(".weight")}
    for name in kernels:
        np.testing.assert_array_equal(ours[name], theirs[name])


def in_float64(path, feed):
    """By the reference evaluator, with functions written out by onnx itself. It reads a name that is hidden as the outer value:
    names of inner graphs are made different first."""
    from onnx import inliner  # noqa: PLC0415
    model = onnx.load(path)
    for i, function in enumerate(model.functions):
        rename_inner(function.node, f"f{i}", {})
    rename_inner(model.graph.node, "g", {})
    return onnx.reference.ReferenceEvaluator(inliner.inline_local_functions(model)).run(None, feed)


def rename_inner(nodes, mark, outer):
    """Names that graphs inside of these nodes define, made of a name that is nobody else's."""
    for number, node in enumerate(nodes):
        for i, name in enumerate(node.input):
            node.input[i] = outer.get(name, name)
        for attribute in node.attribute:
            if not attribute.HasField("g"):
                continue
            graph, path = attribute.g, f"{mark}_{number}_{attribute.name}"
            own = [value.name for value in [*graph.input, *graph.initializer]] + [name for one in graph.node for name in one.output]
            names = outer | {name: f"{name}_{path}" for name in own if name}
            for value in [*graph.input, *graph.initializer, *graph.output, *graph.value_info]:
                value.name = names.get(value.name, value.name)
            rename_inner(graph.node, path, names)
            for inner in graph.node:
                for i, name in enumerate(inner.output):
                    inner.output[i] = names.get(name, name)


@pytest.mark.parametrize("leftover", ["keep", "affine"])
@pytest.mark.parametrize("name", sorted(shared_by_name.models()))
def test_a_constant_by_another_name_is_the_same_constant(name, leftover, tmp_path):
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    model = shared_by_name.models()[name]
    onnx.checker.check_model(model)
    onnx.save(model, source)
    fold(source, target, "--leftover", leftover, "--no-verify")
    onnx.checker.check_model(str(target), full_check=True)
    for yes in (True, False):
        feed = {"x": np.random.default_rng(6).standard_normal((1, 4, 5, 5)), "yes": np.array(yes)}
        feed = {entry.name: feed[entry.name] for entry in model.graph.input}
        for before, after in zip(in_float64(source, feed), in_float64(target, feed), strict=True):
            np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
