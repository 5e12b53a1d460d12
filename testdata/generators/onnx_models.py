"""ONNX models, made with the onnx package: one for each way a batch norm can stand in a graph, and the storage forms.

Makes testdata/onnx/. Beside each model that computes something stands NAME.npz: its inputs ("in_...") and its outputs in
float64 ("out_..."), by onnx.reference from the same weights.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import paths

OPSET = 17
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE,
         np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.int64): TensorProto.INT64}


class ConvTranspose(OpRun):
    """By its definition, without padding; the package's own refuses groups of several channels."""

    op_domain = ""

    def _run(self, x, w, b=None, **attributes):
        groups = attributes.get("group") or 1
        strides = attributes.get("strides") or [1] * (x.ndim - 2)
        spatial = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, w.shape[2:])]
        inside, out = w.shape[0] // groups, w.shape[1]
        y = np.zeros([x.shape[0], groups * out] + spatial, x.dtype)
        for channel in range(w.shape[0]):
            group = channel // inside
            for at in np.ndindex(*x.shape[2:]):
                where = tuple(slice(i * s, i * s + k) for i, s, k in zip(at, strides, w.shape[2:]))
                for n in range(x.shape[0]):
                    y[(n, slice(group * out, (group + 1) * out)) + where] += x[(n, channel) + at] * w[channel]
        return (y if b is None else y + b.reshape([1, -1] + [1] * (x.ndim - 2)),)


class BatchNormalization(OpRun):
    """At inference, by its definition; the package's own is wrong before operator set 14."""

    op_domain = ""

    def _run(self, x, scale, bias, mean, variance, **attributes):
        epsilon = attributes.get("epsilon")
        shape = [1, -1] + [1] * (x.ndim - 2)
        factor = scale / np.sqrt(variance + (1e-5 if epsilon is None else np.float64(np.float32(epsilon))))
        return ((x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape),)


OWN_OPERATORS = [ConvTranspose, BatchNormalization]


class Net:
    """A graph under construction; values are float32 and are built once more in float64 for the reference."""

    def __init__(self, seed, opset=OPSET, ir=8, dtype=np.float32):
        self.random = np.random.RandomState(seed)
        self.opset, self.ir, self.dtype = opset, ir, np.dtype(dtype)
        self.nodes, self.tensors, self.inputs, self.outputs, self.infos = [], {}, {}, {}, []
        self.constant_nodes, self.functions = set(), []
        self.extra_inputs = False

    def input(self, name, shape):
        self.inputs[name] = (shape, self.random.uniform(-1, 1, shape).astype(self.dtype))
        return name

    def tensor(self, name, value):
        value = np.asarray(value)
        self.tensors[name] = value if value.dtype.kind in "ib" else value.astype(self.dtype)
        return name

    def weight(self, name, *shape):
        return self.tensor(name, self.random.uniform(-1, 1, shape))

    def node(self, op, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, inputs, outputs, name=attributes.pop("name", "node_" + outputs[0]),
                                           **attributes))
        return outputs[0]

    def output(self, name, rank):
        self.outputs[name] = rank

    def bn(self, x, y, channels, scope=None, positive=False, zero_shift=False, epsilon=1e-3, **attributes):
        scope = scope or y
        gamma = self.random.uniform(0.5, 2, channels)
        if not positive:
            gamma[1::3] *= -1
        self.tensor(scope + ".weight", gamma)
        shift = np.zeros(channels) if zero_shift else self.random.uniform(-1, 1, channels)
        self.tensor(scope + ".bias", shift)
        self.tensor(scope + ".running_mean", np.zeros(channels) if zero_shift else self.random.uniform(-1, 1, channels))
        self.tensor(scope + ".running_var", self.random.uniform(0.1, 3, channels))
        names = [scope + suffix for suffix in (".weight", ".bias", ".running_mean", ".running_var")]
        return self.node("BatchNormalization", [x] + names, y, epsilon=epsilon, **attributes)

    def model(self, dtype=None):
        dtype = np.dtype(dtype or self.dtype)

        def typed(value):
            return value if value.dtype.kind in "ib" else value.astype(dtype)

        nodes = []
        initializers = []
        for name, value in self.tensors.items():
            tensor = numpy_helper.from_array(typed(value), name)
            if name in self.constant_nodes:
                tensor.name = ""
                nodes.append(helper.make_node("Constant", [], [name], name="constant_" + name, value=tensor))
            else:
                initializers.append(tensor)
        nodes += self.nodes
        kind = TYPES[dtype]
        inputs = [helper.make_tensor_value_info(name, kind, shape) for name, (shape, _) in self.inputs.items()]
        if self.extra_inputs or self.ir < 4:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in initializers]
        outputs = [helper.make_tensor_value_info(name, kind, [None] * rank) for name, rank in self.outputs.items()]
        graph = helper.make_graph(nodes, "net", inputs, outputs, initializers, value_info=self.infos)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.functions:
            opsets.append(helper.make_opsetid("local", 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir, producer_name="ckpt-testdata",
                                 functions=self.functions)

    def save(self, name, check=True, run=True):
        folder = paths.folder("onnx")
        model = self.model()
        if check:
            onnx.checker.check_model(model, full_check=self.opset >= 7)
        onnx.save(model, folder / (name + ".onnx"))
        if run:
            self.save_reference(name)

    def save_reference(self, name):
        arrays = {"in_" + key: value for key, (_, value) in self.inputs.items()}
        feeds = {key: value.astype(np.float64) for key, (_, value) in self.inputs.items()}
        results = ReferenceEvaluator(self.model(np.float64), new_ops=OWN_OPERATORS).run(None, feeds)
        for key, value in zip(self.outputs, results):
            assert value.dtype == np.float64
            arrays["out_" + key] = value
        np.savez_compressed(paths.folder("onnx") / (name + ".npz"), **arrays)


def convolutions():
    """Batch norm behind a convolution: 1 to 3 axes, groups, depthwise; square where a wrong axis would not be seen."""
    cases = {"conv1d_bn": ((6, 4, 3), (2, 4, 9), {}), "conv2d_bn": ((6, 4, 3, 2), (2, 4, 7, 6), {}),
             "conv3d_bn": ((5, 3, 2, 2, 2), (1, 3, 4, 5, 4), {}), "conv2d_square_bn": ((4, 4, 4, 4), (1, 4, 8, 8), {}),
             "conv_grouped_bn": ((6, 2, 3, 3), (1, 4, 6, 6), {"group": 2, "pads": [1, 1, 1, 1]}),
             "conv_depthwise_bn": ((8, 1, 3, 3), (1, 4, 6, 6), {"group": 4, "strides": [2, 2]})}
    for seed, (name, (shape, data, attributes)) in enumerate(cases.items()):
        for bias in (True, False):
            net = Net(seed)
            x = net.input("x", data)
            inputs = [x, net.weight("conv.weight", *shape)]
            if bias:
                inputs.append(net.weight("conv.bias", shape[0]))
            y = net.node("Conv", inputs, "c", **attributes)
            net.output(net.node("Relu", [net.bn(y, "bn", shape[0])], "y"), len(data))
            net.save(name + ("" if bias else "_no_bias"))


def transposed_convolutions():
    """Out channels lie on axis 1, in groups."""
    cases = {"conv_transpose_bn": ((4, 6, 3, 3), (1, 4, 5, 5), {}),
             "conv_transpose_square_bn": ((4, 4, 4, 4), (1, 4, 5, 5), {}),
             "conv_transpose_grouped_bn": ((4, 3, 3, 3), (1, 4, 5, 5), {"group": 2, "strides": [2, 2]}),
             "conv_transpose_grouped_square_bn": ((4, 2, 2), (1, 4, 5), {"group": 2})}
    for seed, (name, (shape, data, attributes)) in enumerate(cases.items()):
        net = Net(20 + seed)
        out = shape[1] * attributes.get("group", 1)
        inputs = [net.input("x", data), net.weight("up.weight", *shape), net.weight("up.bias", out)]
        y = net.node("ConvTranspose", inputs, "c", **attributes)
        net.output(net.node("Relu", [net.bn(y, "bn", out)], "y"), len(data))
        net.save(name)


def gemms():
    """alpha, beta, transposes, every shape of C."""
    cases = {"gemm_bn": ({"transB": 1}, (5,)), "gemm_no_bias_bn": ({"transB": 1, "beta": 3.0}, None),
             "gemm_factors_bn": ({"alpha": 0.5, "beta": 2.5}, (5,)), "gemm_row_bias_bn": ({"beta": -2.0}, (1, 5)),
             "gemm_scalar_bias_bn": ({"alpha": 2.0, "beta": 0.25}, ()),
             "gemm_transposed_input_bn": ({"transA": 1}, (5,)), "gemm_matrix_bias_bn": ({}, (3, 5)),
             "gemm_square_bn": ({"transB": 1, "alpha": -1.5}, (4,))}
    for seed, (name, (attributes, bias)) in enumerate(cases.items()):
        net = Net(40 + seed)
        out = 4 if "square" in name else 5
        x = net.input("x", (4, 3) if attributes.get("transA") else (3, 4))
        inputs = [x, net.weight("fc.weight", *((out, 4) if attributes.get("transB") else (4, out)))]
        if bias is not None:
            inputs.append(net.weight("fc.bias", *bias))
        y = net.node("Gemm", inputs, "g", **attributes)
        net.output(net.node("Relu", [net.bn(y, "bn", out)], "y"), 2)
        net.save(name)
    net = Net(50)
    x = net.bn(net.input("x", (3, 4)), "bn", 4)
    net.output(net.node("Gemm", [x, net.weight("fc.weight", 5, 4), net.weight("fc.bias", 5)], "y", transB=1, alpha=0.5,
                        beta=2.0), 2)
    net.save("bn_gemm")
    net = Net(51)
    x = net.bn(net.input("x", (4, 3)), "bn", 3)
    net.output(net.node("Gemm", [x, net.weight("fc.weight", 4, 5)], "y", transA=1), 2)
    net.save("bn_gemm_transposed_input")


def matmuls():
    """MatMul has no bias; the batch norm's axis 1 is its last one only at rank 2."""
    for add in (True, False):
        net = Net(60)
        y = net.node("MatMul", [net.input("x", (3, 4)), net.weight("fc.weight", 4, 5)], "m")
        if add:
            y = net.node("Add", [net.weight("fc.bias", 5), y], "a")
        net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 2)
        net.save("matmul_add_bn" if add else "matmul_bn")
    net = Net(61)
    y = net.node("MatMul", [net.input("x", (2, 5, 4)), net.weight("fc.weight", 4, 5)], "m")
    net.output(net.bn(y, "bn", 5), 3)
    net.save("matmul_rank3_bn")
    net = Net(62)
    y = net.node("MatMul", [net.input("x", (2, 5, 4)), net.weight("fc.weight", 4, 5)], "m")
    net.output(net.bn(net.node("Transpose", [y], "t", perm=[0, 2, 1]), "bn", 5), 3)
    net.save("matmul_transpose_bn")
    net = Net(63)
    y = net.node("Conv", [net.input("x", (1, 4, 5, 5)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    y = net.node("Add", [y, net.weight("conv.offset", 1, 6, 1, 1)], "a")
    net.output(net.node("Relu", [net.bn(y, "bn", 6)], "y"), 4)
    net.save("conv_add_constant_bn")


def forward():
    """Batch norm before what reads it."""
    for name, pads, zero in (("bn_conv", 0, False), ("bn_conv_padded", 1, False), ("bn_conv_padded_no_shift", 1, True)):
        net = Net(70)
        x = net.bn(net.input("x", (1, 4, 6, 6)), "bn", 4, zero_shift=zero)
        net.output(net.node("Conv", [x, net.weight("conv.weight", 6, 2, 3, 3)], "y", group=2, pads=[pads] * 4), 4)
        net.save(name)
    net = Net(73)
    x = net.node("Flatten", [net.bn(net.input("x", (2, 4, 3, 2)), "bn", 4)], "f")
    net.output(net.node("Gemm", [x, net.weight("fc.weight", 5, 24), net.weight("fc.bias", 5)], "y", transB=1), 2)
    net.save("bn_flatten_gemm")
    net = Net(74)
    net.output(net.bn(net.input("x", (2, 4, 3, 2)), "y", 4, scope="bn"), 4)
    net.save("bn_alone")
    net = Net(75)
    x = net.node("Relu", [net.bn(net.node("Relu", [net.input("x", (2, 4, 3))], "r"), "bn", 4)], "s")
    net.output(x, 3)
    net.save("bn_between_relus")


def branches():
    """Through Concat, Add, pooling, padding; and outputs that stand in the way."""

    def conv(net, x, y, out, inside=4, **attributes):
        return net.node("Conv", [x, net.weight(y + ".weight", out, inside, 3, 3), net.weight(y + ".bias", out)], y,
                        **attributes)

    net = Net(80)
    x = net.input("x", (1, 4, 8, 8))
    y = net.node("Concat", [conv(net, x, "c1", 3), conv(net, x, "c2", 5)], "cat", axis=1)
    net.output(net.node("Relu", [net.bn(y, "bn", 8)], "y"), 4)
    net.save("concat_bn")
    net = Net(81)
    x = net.input("x", (1, 4, 8, 8))
    y = net.node("Add", [conv(net, x, "c1", 3), conv(net, x, "c2", 3)], "sum")
    net.output(net.node("Relu", [net.bn(y, "bn", 3)], "y"), 4)
    net.save("add_bn")
    for name, op, positive, attributes in (
            ("max_pool_bn", "MaxPool", True, {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("max_pool_negative_bn", "MaxPool", False, {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("average_pool_bn", "AveragePool", False, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
            ("average_pool_counted_bn", "AveragePool", False,
             {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
            ("global_pool_bn", "GlobalAveragePool", False, {})):
        net = Net(82)
        y = net.node(op, [conv(net, net.input("x", (1, 4, 8, 8)), "c", 6)], "p", **attributes)
        net.output(net.node("Relu", [net.bn(y, "bn", 6, positive=positive)], "y"), 4)
        net.save(name)
    net = Net(83)
    net.tensor("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    y = net.node("Pad", [conv(net, net.input("x", (1, 4, 8, 8)), "c", 6), "pads"], "p", mode="reflect")
    net.output(net.node("Relu", [net.bn(y, "bn", 6)], "y"), 4)
    net.save("pad_reflect_bn")
    net = Net(84)
    y = conv(net, net.input("x", (1, 4, 8, 8)), "c", 6)
    net.output(y, 4)
    net.output(net.bn(y, "bn", 6), 4)
    net.save("conv_is_output_bn")
    net = Net(85)
    y = net.bn(conv(net, net.input("x", (1, 4, 8, 8)), "c", 6), "bn", 6)
    net.output(y, 4)
    net.output(net.node("Relu", [y], "y"), 4)
    net.save("bn_is_output")
    net = Net(86)
    x = net.bn(conv(net, net.input("x", (1, 4, 9, 9)), "c1", 6), "bn1", 6)
    x = net.node("Relu", [x], "r1")
    x = net.bn(conv(net, x, "c2", 5, inside=6, pads=[1, 1, 1, 1]), "bn2", 5)
    x = net.node("Relu", [net.bn(x, "bn3", 5)], "r2")
    net.output(x, 4)
    net.save("chain")


def sharing():
    """One tensor in two places."""
    net = Net(90)
    x = net.input("x", (1, 4, 8, 8))
    w, b = net.weight("shared.weight", 4, 4, 3, 3), net.weight("shared.bias", 4)
    y = net.bn(net.node("Conv", [x, w, b], "c1"), "bn1", 4)
    z = net.bn(net.node("Conv", [net.node("Relu", [y], "r"), w, b], "c2"), "bn2", 4)
    net.output(net.node("Relu", [z], "y"), 4)
    net.save("shared_weights_two_bn")
    net = Net(91)
    x = net.input("x", (1, 4, 8, 8))
    w = net.weight("shared.weight", 4, 4, 3, 3)
    net.output(net.node("Relu", [net.bn(net.node("Conv", [x, w], "c1"), "bn1", 4)], "y"), 4)
    net.output(net.node("Conv", [x, w], "z"), 4)
    net.save("shared_weights_one_bn")
    net = Net(92)
    x = net.input("x", (1, 4, 8, 8))
    zero = net.tensor("zeros", np.zeros(4))
    scale = net.weight("scale", 4)
    for i in (1, 2):
        net.tensor(f"var{i}", net.random.uniform(0.5, 2, 4))
        y = net.node("Conv", [x, net.weight(f"w{i}", 4, 4, 3, 3), zero], f"c{i}")
        x = net.node("Relu", [net.node("BatchNormalization", [y, scale, zero, zero, f"var{i}"], f"b{i}")], f"r{i}")
    net.output(x, 4)
    net.save("shared_parameters")
    net = Net(93)
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 4, 4, 3, 3)], "conv.bias")
    y = net.bn(net.node("Relu", [net.bn(y, "bn", 4)], "conv.weight_bias"), "conv.bias_4", 4)
    net.output(y, 4)
    net.save("taken_names")


def storage():
    """Constant nodes, Identity chains, typed fields, old versions, external data, what is not known."""
    net = Net(100)
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("w", 5, 4, 3, 3), net.weight("b", 5)], "c")
    net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 4)
    net.constant_nodes = set(net.tensors)
    net.save("constant_nodes")
    net = Net(101)
    for name in ("one.weight", "one.bias", "one.running_mean", "one.running_var"):
        net.tensor(name, net.random.uniform(0.5, 2, 4))
        net.node("Identity", [name], name.replace("one", "two"))
    x = net.input("x", (1, 4, 8, 8))
    for scope in ("one", "two"):
        names = [scope + "." + part for part in ("weight", "bias", "running_mean", "running_var")]
        y = net.node("Conv", [x, net.weight("w_" + scope, 4, 4, 3, 3)], "c_" + scope)
        x = net.node("Relu", [net.node("BatchNormalization", [y] + names, "b_" + scope)], "r_" + scope)
    net.output(x, 4)
    net.save("identity_parameters")
    net = Net(102, opset=9, ir=3)
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3)], "c")
    net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 4)
    net.save("ir3")
    net = Net(103)
    net.extra_inputs = True
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3)], "c")
    net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 4)
    net.save("initializers_are_inputs")
    folder = paths.folder("onnx")
    net = Net(104, dtype=np.float16)
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3),
                          net.weight("conv.bias", 5)], "c")
    net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 4)
    net.save("float16")
    typed = net.model()
    for tensor in typed.graph.initializer:
        bits = numpy_helper.to_array(tensor).view(np.uint16).ravel()
        tensor.ClearField("raw_data")
        tensor.int32_data.extend(int(value) for value in bits)
    onnx.checker.check_model(typed)
    onnx.save(typed, folder / "float16_in_int32_data.onnx")
    net = Net(105)
    y = net.node("Conv", [net.input("x", (1, 16, 6, 6)), net.weight("conv.weight", 24, 16, 3, 3),
                          net.weight("conv.bias", 24)], "c")
    net.output(net.node("Relu", [net.bn(y, "bn", 24)], "y"), 4)
    (folder / "external.bin").unlink(missing_ok=True)  # the package appends
    onnx.save_model(net.model(), folder / "external.onnx", save_as_external_data=True, location="external.bin",
                    size_threshold=64)
    (folder / "external.bin").chmod(0o644)
    net.save_reference("external")


def scopes():
    """A graph in a node captures a weight; a function of the model; a graph whose values are told by a condition."""
    net = Net(110)
    x = net.input("x", (1, 4, 8, 8))
    y = net.node("Conv", [x, net.weight("conv.weight", 4, 4, 3, 3), net.weight("conv.bias", 4)], "c")
    y = net.bn(y, "bn", 4)
    net.tensor("yes", np.array(True))
    branch = helper.make_graph(
        [helper.make_node("Conv", ["x", "conv.weight"], ["inner"])], "then", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    other = helper.make_graph(
        [helper.make_node("Identity", ["bn"], ["inner2"])], "else", [],
        [helper.make_tensor_value_info("inner2", TensorProto.FLOAT, None)])
    z = net.node("If", ["yes"], "z", then_branch=branch, else_branch=other)
    net.output(z, 4)
    net.output(net.node("Relu", [y], "y"), 4)
    net.save("captured_weight", check=False, run=False)
    net = Net(111)
    net.functions = [helper.make_function(
        "local", "Block", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", OPSET)])]
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3)], "c")
    y = net.bn(y, "bn", 5)
    net.nodes.append(helper.make_node("Block", [y], ["f"], name="block", domain="local"))
    net.output(net.bn("f", "bn2", 5), 4)
    net.save("local_function")


def training_mode():
    """Batch norms in training mode, by the rules of each operator set; statistics that are not stored."""
    for opset, attributes, outputs in ((15, {"training_mode": 1}, ["b", "m", "v"]), (9, {}, ["b", "m", "v", "sm", "sv"]),
                                       (6, {"is_test": 0}, ["b"])):
        net = Net(120, opset=opset, ir=8 if opset > 9 else 3)
        y = net.node("Conv", [net.input("x", (2, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3)], "c")
        net.bn(y, outputs, 5, scope="bn", **attributes)
        net.output(net.node("Relu", ["b"], "y"), 4)
        net.save(f"training_opset{opset}", check=opset != 9, run=False)
    net = Net(121)
    y = net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 5, 4, 3, 3)], "c")
    net.weight("gamma", 5), net.weight("beta", 5)
    net.tensor("five", np.array([5]))
    mean = net.node("ConstantOfShape", ["five"], "mean")
    variance = net.input("variance", (5,))
    net.output(net.node("BatchNormalization", [y, "gamma", "beta", mean, variance], "y"), 4)
    net.save("statistics_fed", run=False)


def channel_vectors(net, scope, channels, shape):
    """gamma, beta, mean, variance of a batch norm, of that shape."""
    return [net.tensor(scope + suffix, net.random.uniform(low, high, channels).reshape(shape))
            for suffix, low, high in ((".weight", 0.5, 2), (".bias", -1, 1), (".running_mean", -1, 1),
                                      (".running_var", 0.1, 3))]


def written_norms():
    """Batch norms in simple operations, as exporters write them; eps is one number."""
    def reshaped(net, name):
        return net.node("Reshape", [name, "shape"], name + "_r")

    def conv(seed):
        net = Net(seed)
        net.tensor("eps", np.float32(1e-3))
        net.tensor("shape", np.array([1, 6, 1, 1]))
        return net, net.node("Conv", [net.input("x", (1, 4, 6, 6)), net.weight("conv.weight", 6, 4, 3, 3)], "c")

    def root(net, variance, output="root"):
        return net.node("Sqrt", [net.node("Add", [variance, "eps"], output + "_v")], output)

    def centred(net, y, parts, divide, name=""):
        gamma, beta, mean, spread = parts
        y = net.node("Sub", [y, mean], name + "centred")
        y = net.node("Div" if divide else "Mul", [y, spread], name + "normal")
        y = net.node("Mul", [y, gamma], name + "scaled") if gamma else y
        return net.node("Add", [y, beta], name + "moved")

    # (x - mean) / sqrt(variance + eps) * gamma + beta
    net, y = conv(130)
    parts = [reshaped(net, name) for name in channel_vectors(net, "bn", 6, [6])]
    y = centred(net, y, parts[:3] + [root(net, parts[3])], divide=True)
    net.output(net.node("Relu", [y], "y"), 4)
    net.save("written_norm")

    # ... with what is computed of constants as constants
    net, y = conv(131)
    gamma, beta, mean, _ = channel_vectors(net, "bn", 6, [1, 6, 1, 1])
    net.tensors["deviation"] = np.sqrt(net.tensors.pop("bn.running_var") + np.float32(1e-3))
    y = centred(net, y, [gamma, beta, mean, "deviation"], divide=True)
    net.output(net.node("Relu", [y], "y"), 4)
    net.save("written_norm_deviation")

    # x * m + (beta - mean * m), m = gamma * (1 / sqrt(variance + eps))
    net, y = conv(132)
    gamma, beta, mean, variance = (reshaped(net, name) for name in channel_vectors(net, "bn", 6, [6]))
    net.tensor("one", np.float32(1))
    m = net.node("Mul", [gamma, net.node("Div", ["one", root(net, variance)], "inverse")], "m")
    offset = net.node("Sub", [beta, net.node("Mul", [mean, m], "mm")], "offset")
    y = net.node("Add", [net.node("Mul", [y, m], "scaled"), offset], "moved")
    net.output(net.node("Relu", [y], "y"), 4)
    net.save("written_norm_frozen")

    # behind a dense layer, gamma in the factor
    net = Net(133)
    net.tensor("eps", np.float32(1e-3))
    y = net.node("Gemm", [net.input("x", (3, 4)), net.weight("fc.weight", 5, 4), net.weight("fc.bias", 5)], "g", transB=1)
    gamma, beta, mean, variance = channel_vectors(net, "bn", 5, [5])
    factor = net.node("Mul", [net.node("Reciprocal", [root(net, variance)], "inverse"), gamma], "factor")
    net.output(net.node("Relu", [centred(net, y, [None, beta, mean, factor], divide=False)], "y"), 2)
    net.save("written_norm_dense")

    # nothing to fold into; the output of the graph
    net = Net(134)
    net.tensor("eps", np.float32(1e-3))
    gamma, beta, mean, variance = channel_vectors(net, "bn", 4, [1, 4, 1, 1])
    y = centred(net, net.input("x", (1, 4, 5, 5)), [gamma, beta, mean, root(net, variance)], divide=True)
    net.output(y, 4)
    net.save("written_norm_alone")
    net, y = conv(135)
    gamma, beta, mean, variance = channel_vectors(net, "bn", 6, [1, 6, 1, 1])
    net.output(centred(net, y, [gamma, beta, mean, root(net, variance)], divide=True), 4)
    net.save("written_norm_is_output")

    # two norms, of which one root is both
    net, y = conv(136)
    gamma, beta, mean, variance = channel_vectors(net, "bn", 6, [1, 6, 1, 1])
    deviation = root(net, variance)
    y = centred(net, y, [gamma, beta, mean, deviation], divide=True)
    y = net.node("Conv", [net.node("Relu", [y], "r"), net.weight("conv2.weight", 6, 6, 3, 3)], "c2")
    net.output(net.node("Relu", [centred(net, y, [gamma, beta, mean, deviation], divide=True, name="second_")], "y"), 4)
    net.save("written_norm_shared")

    # the vectors lie along another axis than the channels
    net = Net(137)
    net.tensor("eps", np.float32(1e-3))
    y = net.node("Conv", [net.input("x", (1, 4, 8, 8)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    gamma, beta, mean, variance = channel_vectors(net, "bn", 6, [6])
    net.output(net.node("Relu", [centred(net, y, [gamma, beta, mean, root(net, variance)], divide=True)], "y"), 4)
    net.save("written_norm_other_axis")


def stored_otherwise():
    """Kernels and biases that the graph changes the shape of before it reads them."""
    net = Net(140)
    kernel = net.node("Transpose", [net.weight("fc.weight", 5, 4)], "kernel", perm=[1, 0])
    y = net.node("MatMul", [net.input("x", (3, 4)), kernel], "m")
    net.output(net.node("Relu", [net.bn(y, "bn", 5)], "y"), 2)
    net.save("matmul_stored_transpose_bn")
    net = Net(141)
    net.weight("fc.weight", 4, 4)
    y = net.node("MatMul", [net.input("x", (3, 4)), net.node("Transpose", ["fc.weight"], "kernel")], "m")
    y = net.node("Relu", [net.bn(y, "bn", 4)], "r")
    net.output(net.node("MatMul", [y, "fc.weight"], "y"), 2)
    net.save("matmul_shared_transpose_bn")
    for seed, shared in ((142, False), (143, True)):
        net = Net(seed)
        net.tensor("one", np.float32(0.75))
        net.tensor("six", np.array([6]))
        bias = net.node("Expand", ["one", "six"], "bias")
        x = net.input("x", (1, 4, 6, 6))
        if shared:
            x = net.node("Mul", [x, "one"], "times")
        y = net.node("Conv", [x, net.weight("conv.weight", 6, 4, 3, 3), bias], "c")
        net.output(net.node("Relu", [net.bn(y, "bn", 6)], "y"), 4)
        net.save("conv_shared_filled_bias_bn" if shared else "conv_filled_bias_bn")
    net = Net(144)
    y = net.node("ConvTranspose", [net.input("x", (1, 4, 5, 5)), net.weight("up.weight", 4, 3, 3, 3)], "c", group=2,
                 strides=[2, 2])
    y = net.node("Add", [y, net.weight("up.offset", 1, 6, 1, 1)], "a")
    net.output(net.node("Relu", [net.bn(y, "bn", 6)], "y"), 4)
    net.save("conv_transpose_add_constant_bn")
    # [-1, elements of an example], as view(-1, n) is exported
    net = Net(145)
    x = net.bn(net.input("x", (2, 3, 4, 4)), "bn", 3)
    net.tensor("shape", np.array([-1, 48]))
    x = net.node("Reshape", [x, "shape"], "f")
    net.output(net.node("Gemm", [x, net.weight("fc.weight", 5, 48), net.weight("fc.bias", 5)], "y", transB=1), 2)
    net.save("bn_reshape_gemm")


def frozen_norms():
    """One factor and one summand for each channel, as torchvision's FrozenBatchNorm2d is exported: m = gamma / sqrt(variance +
    eps) and beta - mean * m, computed by the exporter."""
    def frozen(net, y, name, shape, first=False):
        channels = max(shape)
        gamma = net.random.uniform(0.5, 2, channels)
        gamma[1::3] *= -1
        beta, mean = net.random.uniform(-1, 1, channels), net.random.uniform(-1, 1, channels)
        m = gamma / np.sqrt(net.random.uniform(0.1, 3, channels) + 1e-5)
        net.tensor(name + ".m", m.reshape(shape))
        net.tensor(name + ".moved", (beta - mean * m).reshape(shape))
        y = net.node("Mul", [name + ".m", y] if first else [y, name + ".m"], name + "_scaled")
        return net.node("Add", [y, name + ".moved"], name)

    net = Net(150)
    y = net.node("Conv", [net.input("x", (1, 4, 8, 8)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    y = net.node("Relu", [frozen(net, y, "bn", [1, 6, 1, 1])], "r")
    y = net.node("Conv", [y, net.weight("conv2.weight", 6, 6, 3, 3), net.weight("conv2.bias", 6)], "c2", pads=[1, 1, 1, 1])
    net.output(frozen(net, y, "bn2", [6, 1, 1], first=True), 4)
    net.save("frozen_norm")

    net = Net(151)
    y = net.node("Gemm", [net.input("x", (3, 4)), net.weight("fc.weight", 5, 4), net.weight("fc.bias", 5)], "g", transB=1)
    net.output(net.node("Relu", [frozen(net, y, "bn", [5])], "y"), 2)
    net.save("frozen_norm_dense")

    net = Net(152)
    y = net.node("ConvTranspose", [net.input("x", (1, 4, 5, 5)), net.weight("up.weight", 4, 3, 3, 3)], "c", group=2,
                 strides=[2, 2])
    net.output(net.node("Relu", [frozen(net, y, "bn", [1, 6, 1, 1])], "y"), 4)
    net.save("frozen_norm_transpose")

    # exporters store equal constants once; a batch norm behind it takes its way into the same kernel
    net = Net(153)
    y = net.node("Conv", [net.input("x", (1, 4, 8, 8)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    y = net.node("Relu", [frozen(net, y, "bn", [1, 6, 1, 1])], "r")
    y = net.node("Conv", [y, net.weight("conv2.weight", 6, 6, 3, 3)], "c2")
    y = net.node("Add", [net.node("Mul", [y, "bn.m"], "second_scaled"), "bn.moved"], "second")
    net.output(net.node("Relu", [net.bn(y, "bn2", 6)], "y"), 4)
    net.save("frozen_norm_shared")

    # what the convolution yields is read as it is, too; the vector lies along another axis
    net = Net(154)
    y = net.node("Conv", [net.input("x", (1, 4, 8, 8)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    net.output(net.node("Add", [frozen(net, y, "bn", [1, 6, 1, 1]), y], "y"), 4)
    net.save("frozen_norm_two_readers")
    net = Net(155)
    y = net.node("Conv", [net.input("x", (1, 4, 8, 8)), net.weight("conv.weight", 6, 4, 3, 3)], "c")
    net.output(net.node("Relu", [frozen(net, y, "bn", [1, 1, 1, 6])], "y"), 4)
    net.save("frozen_norm_other_axis")


if __name__ == "__main__":
    convolutions()
    transposed_convolutions()
    gemms()
    matmuls()
    forward()
    branches()
    sharing()
    storage()
    scopes()
    training_mode()
    written_norms()
    stored_otherwise()
    frozen_norms()
