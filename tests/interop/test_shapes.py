"""The shape rule of each operation against the shapes that ONNX Runtime and TensorFlow compute, for drawn sizes.

A file holds one node of each draw and no shape but those of its inputs, so that what is read of the others is the
rule's word. Where sizes of inputs are left open, what is said all the same has to be true.
"""

import json
import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

from random_nodes import KINDS, Draw, Stored  # noqa: E402

BINARY = pathlib.Path(os.environ["CKPT_BINARY"]).resolve()
DESCRIBE = BINARY.parent / "tests" / "network" / "describe_network"
TABLE = pathlib.Path(os.environ["CKPT_TESTDATA"]).parent / "lib" / "network" / "operation_table.cc"
DRAWS, TENSORFLOW_DRAWS = 40, 12
# No operator of ONNX is one of these: TensorFlow's draws below are.
OF_TENSORFLOW = {"SpaceAndBatch"}


def describe(path):
    done = subprocess.run([DESCRIBE, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def runs(model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)
    except Exception:  # a draw that ONNX Runtime refuses, or has no kernel for
        return None


class Case:
    """One node in a graph of its own."""

    def __init__(self, place, draw, operator, inputs, attributes, outputs):
        self.operator, self.feeds, self.stored, names = operator, {}, [], []
        for i, value in enumerate(inputs):
            name = f"{place}_{operator}_{i}" if value is not None else ""
            names.append(name)
            if isinstance(value, Stored):
                self.stored.append(numpy_helper.from_array(value.array, name))
            elif value is not None:
                self.feeds[name] = value
        self.outputs = [f"{place}_{operator}_y{i}" for i in range(outputs)]
        self.node = helper.make_node(operator, names, self.outputs, name=f"{place}_{operator}", **attributes)
        self.types = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in self.feeds.items()}
        self.open = {name: [draw.chance(0.4) for _ in value.shape] for name, value in self.feeds.items()}

    def inputs(self, leave_open):
        infos = []
        for name, value in self.feeds.items():
            shape = [None if leave_open and is_open else size for size, is_open in zip(value.shape, self.open[name])]
            infos.append(helper.make_tensor_value_info(name, self.types[name], shape))
        return infos


    def is_contested(self):
        """The specification, or an older version of it, and ONNX Runtime disagree on what the node yields."""
        given = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        if given.get("noop_with_empty_axes", 0) and self.operator in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"):
            return len(self.node.input) < 2 or not self.node.input[1]
        if not given.get("auto_pad", b"NOTSET").startswith(b"SAME"):
            return False
        dilations = given.get("dilations", [])
        if self.operator.endswith("Pool"):
            return any(d != 1 for d in dilations)
        if self.operator != "ConvTranspose" or "output_shape" in given:
            return False
        kernel = self.stored[0].dims[2:]
        ones, none = [1] * len(kernel), [0] * len(kernel)
        rows = zip(kernel, given.get("strides", ones), dilations or ones, given.get("output_padding", none))
        return any((k - 1) * d + 1 + more < s for k, s, d, more in rows)


def model_of(cases, leave_open=False):
    outputs = [onnx.ValueInfoProto(name=name) for case in cases for name in case.outputs]
    graph = helper.make_graph([case.node for case in cases], "draws", [i for case in cases for i in case.inputs(leave_open)], outputs,
                              [tensor for case in cases for tensor in case.stored])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture(scope="module")
def drawn():
    """The cases that ONNX Runtime computes and nobody contests, and the shape of each output."""
    draw, cases, shapes = Draw(11), [], {}
    for kind in KINDS:
        taken = 0
        for attempt in range(10 * DRAWS):
            case = Case(f"{kind}{attempt}", draw, *getattr(draw, kind)())
            results = runs(model_of([case]), case.feeds)
            if results is None or case.is_contested():
                continue
            shapes.update({name: list(result.shape) for name, result in zip(case.outputs, results)})
            cases.append(case)
            taken += 1
            if taken == DRAWS:
                break
        assert taken == DRAWS, f"{kind}: ONNX Runtime takes {taken} draws"
    return cases, shapes


def test_known_sizes_of_inputs_give_the_sizes_of_outputs(drawn, tmp_path):
    cases, shapes = drawn
    onnx.save(model_of(cases), tmp_path / "known.onnx")
    network = describe(tmp_path / "known.onnx")
    found = {port["name"]: port["value"]["shape"] for port in network["outputs"]}
    wrong = {name: (shape, found.get(name)) for name, shape in shapes.items() if found.get(name) != shape}
    assert not wrong, wrong


def test_open_sizes_of_inputs_give_nothing_that_is_false(drawn, tmp_path):
    cases, shapes = drawn
    onnx.save(model_of(cases, leave_open=True), tmp_path / "open.onnx")
    network = describe(tmp_path / "open.onnx")
    wrong, said = {}, 0
    for port in network["outputs"]:
        shape, actual = port["value"]["shape"], shapes[port["name"]]
        if shape is None:
            continue
        said += sum(size is not None for size in shape)
        if len(shape) != len(actual) or any(size not in (None, true) for size, true in zip(shape, actual)):
            wrong[port["name"]] = (actual, shape)
    assert not wrong, wrong
    assert said > len(shapes)  # not by silence


def test_what_is_contested_is_unknown(tmp_path):
    draw, cases = Draw(5), []
    for kind in ("transposed_convolution", "pool", "reduction"):
        attempts = (Case(f"{kind}{i}", draw, *getattr(draw, kind)()) for i in range(1000))
        found = [case for case in attempts if case.is_contested()]
        assert len(found) > 5, kind
        cases += found
    onnx.save(model_of(cases), tmp_path / "contested.onnx")
    said = {operation["layer"]: operation["computes"] for operation in describe(tmp_path / "contested.onnx")["operations"]}
    wrong = [case.node.name for case in cases if said[case.node.name] != "Unknown"]
    assert not wrong, wrong


def test_every_operation_of_the_table_is_drawn(drawn, tmp_path):
    rows = set(re.findall(r"Row\(Of<\w+>\) \{\s*return \{\"(\w+)\"", TABLE.read_text()))
    assert len(rows) > 40
    cases, _ = drawn
    onnx.save(model_of(cases), tmp_path / "all.onnx")
    computed = {operation["computes"] for operation in describe(tmp_path / "all.onnx")["operations"]}
    assert "Unknown" not in computed
    assert rows - computed - OF_TENSORFLOW == {"Unknown"}


def tensorflow_draws(tf, draw):
    """Functions of one placeholder each, by name, with the shape that it is given."""
    padding = ["SAME", "VALID"]
    for i in range(TENSORFLOW_DRAWS):
        rows, columns = draw.sizes(2, 5, 12)
        k, s, d, p = draw.size(1, 4), draw.size(1, 3), draw.size(1, 2), draw.pick(padding)
        kernel = tf.constant(draw.floats(k, k, 2, 3))
        strides, dilation = ((s, 1) if draw.chance() else (1, d))
        yield f"conv{i}", (1, rows, columns, 2), lambda x, w=kernel, s=strides, d=dilation, p=p: tf.nn.conv2d(x, w, s, p, dilations=d)
        yield f"pool{i}", (1, rows, columns, 2), lambda x, k=k, s=s, p=p: tf.nn.max_pool2d(x, k, s, p)
        target = [1, rows * s - (0 if p == "SAME" else s - k), columns * s - (0 if p == "SAME" else s - k), 2]
        if min(target) > 0 and (p == "SAME" or k >= s):
            filters = tf.constant(draw.floats(k, k, 2, 3))
            yield (f"transposed{i}", (1, rows, columns, 3),
                   lambda x, w=filters, t=target, s=s, p=p: tf.nn.conv2d_transpose(x, w, t, s, p))
        block, before, after = draw.size(1, 3), draw.sizes(2, 0, 2), draw.sizes(2, 0, 2)
        pads = [[b, a + -(b + n + a) % block] for b, a, n in zip(before, after, (rows, columns))]
        yield (f"to_batch{i}", (1, rows, columns, 2), lambda x, b=block, p=pads: tf.space_to_batch(x, [b, b], p))
        crops = [[c % min(rows * block, 3), 0] for c in before]
        yield (f"to_space{i}", (block * block * draw.size(1, 2), rows, columns, 2),
               lambda x, b=block, c=crops: tf.batch_to_space(x, [b, b], c))
        yield f"fake{i}", (rows, columns), lambda x: tf.quantization.fake_quant_with_min_max_args(x)
        mask = draw.pick([slice(None, None, 2), slice(1, -1), slice(None, None, -1), slice(-3, None)])
        yield f"slice{i}", (rows, columns, 2), lambda x, m=mask: x[m, 1, tf.newaxis, ..., -1]
        yield f"resize{i}", (1, rows, columns, 2), lambda x, t=draw.sizes(2): tf.image.resize(x, t)


def forget_shapes(tf, path):
    """Takes out what TensorFlow inferred: it is not to be read."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(path.read_bytes())
    for graph in (meta.graph_def for meta in model.meta_graphs):
        for node in [*graph.node, *(n for function in graph.library.function for n in function.node_def)]:
            if node.op != "Placeholder":
                node.attr.pop("_output_shapes", None)
        for function in graph.library.function:
            for attributes in function.arg_attr.values():
                attributes.attr.pop("_output_shapes", None)
    path.write_bytes(model.SerializeToString())


def test_tensorflow_computes_the_shapes_that_its_graph_is_read_with(tmp_path):
    tf = pytest.importorskip("tensorflow")
    draws = list(tensorflow_draws(tf, Draw(7)))

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=f"in_{name}") for name, shape, _ in draws])
    def everything(*inputs):
        return {name: f(x) for (name, _, f), x in zip(draws, inputs)}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=everything)
    forget_shapes(tf, tmp_path / "saved_model.pb")
    results = everything(*[tf.constant(np.full(shape, 0.5, np.float32)) for _, shape, _ in draws])
    network = describe(tmp_path)
    found = {port["name"]: port["value"]["shape"] for port in network["outputs"]}
    wrong = {}
    for name, result in results.items():
        if found.get(name) != list(result.shape):
            wrong[name] = (list(result.shape), found.get(name))
    assert not wrong, wrong
    computed = {operation["computes"] for operation in network["operations"]}
    assert OF_TENSORFLOW <= computed and "Unknown" not in computed
