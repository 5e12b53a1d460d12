"""ONNX operators, one instance a case: what the network of each must compute.

Makes testdata/onnx_networks/: for each family of operators and operator set NAME.onnx, in float64 throughout, and NAME.npz
with its inputs ("in_...") and outputs ("out_..."). Outputs are declared without a shape, so that shapes must be found.
Values are those of onnx.reference, or of a formula here where the package has none for that version or is at odds with
the operator's documentation; both are compared where both exist. Shapes are checked against onnx.shape_inference.
"""

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import paths

RANDOM = np.random.RandomState(7)
KINDS = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "u": TensorProto.UINT8, "b": TensorProto.BOOL}


def X(*shape, low=-1.0, high=1.0):
    """An input of the graph."""
    return {"input": RANDOM.uniform(low, high, shape)}


def G(value):
    """An input of the graph with these values."""
    return {"input": np.asarray(value)}


def W(*shape, low=-1.0, high=1.0):
    """A constant."""
    return RANDOM.uniform(low, high, shape)


def I(*values):
    """A constant list of integers."""
    return np.array(values, np.int64)


class Family:
    def __init__(self, name, opset):
        self.name, self.opset = name, opset
        self.nodes, self.inputs, self.tensors, self.outputs = [], {}, {}, {}
        self.counts = {}

    def case(self, op, operands, expected=None, outputs=1, **attributes):
        """`expected` is a list of outputs in place of the package's; "" in `operands` is left out."""
        number = self.counts[op] = self.counts.get(op, 0) + 1
        prefix = f"{op}_{number}"
        names, feeds, tensors = [], {}, {}
        for i, operand in enumerate(operands):
            name = f"{prefix}.{i}"
            if isinstance(operand, str):
                name = operand
            elif isinstance(operand, dict):
                feeds[name] = operand["input"]
            else:
                tensors[name] = operand
            names.append(name)
        yields = [prefix] + [f"{prefix}:{i}" for i in range(1, outputs)]
        node = helper.make_node(op, names, yields, name=prefix, **attributes)
        values = self.reference(node, feeds, tensors, expected)
        if expected is not None:
            for mine, theirs in itertools.zip_longest(expected, values or []):
                if mine is None or theirs is None:
                    continue
                if np.shape(mine) != np.shape(theirs) or not np.allclose(mine, theirs, 1e-9, 1e-12):
                    print(f"{self.name}_{self.opset}: {prefix}: the formula and the package differ")
            values = expected
        self.nodes.append(node)
        self.inputs.update(feeds)
        self.tensors.update(tensors)
        for name, value in zip(yields, values):
            self.outputs[name] = np.asarray(value)
        self.check_shapes(node, feeds, tensors)

    def model(self, nodes, feeds, tensors, outputs, ranks=False):
        def declare(name, value, shape):
            return helper.make_tensor_value_info(name, KINDS[value.dtype.kind] if value.dtype != np.int8
                                                 else TensorProto.INT8, shape)
        graph = helper.make_graph(nodes, "net", [declare(k, v, v.shape) for k, v in feeds.items()],
                                  [declare(k, v, [None] * v.ndim if ranks else None) for k, v in outputs.items()],
                                  [numpy_helper.from_array(v, k) for k, v in tensors.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                 ir_version=8 if self.opset < 20 else 11, producer_name="ckpt-testdata")

    def reference(self, node, feeds, tensors, expected):
        unknown = {name: np.zeros(1) for name in node.output}
        try:
            return ReferenceEvaluator(self.model([node], feeds, tensors, unknown)).run(None, feeds)
        except Exception as error:  # noqa: BLE001 - whatever the package raises where it has no such operator
            if expected is None:
                raise
            print(f"{self.name}_{self.opset}: {node.name}: only the formula ({type(error).__name__})")
            return None

    def check_shapes(self, node, feeds, tensors):
        values = {name: self.outputs[name] for name in node.output}
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model([node], feeds, tensors, values), strict_mode=True)
        except Exception as error:  # noqa: BLE001
            print(f"{self.name}_{self.opset}: {node.name}: no shape inference ({str(error)[:90]})")
            return
        for output in inferred.graph.output:
            if not output.type.tensor_type.HasField("shape"):
                continue
            dims = [d.dim_value if d.HasField("dim_value") else None for d in output.type.tensor_type.shape.dim]
            shape = values[output.name].shape
            if len(dims) != len(shape) or any(d not in (None, s) for d, s in zip(dims, shape)):
                print(f"{self.name}_{self.opset}: {output.name}: inferred {dims}, computed {shape}")

    def save(self):
        model = self.model(self.nodes, self.inputs, self.tensors, self.outputs)
        # The checker wants to see ranks.
        onnx.checker.check_model(self.model(self.nodes, self.inputs, self.tensors, self.outputs, ranks=True))
        folder = paths.folder("onnx_networks")
        onnx.save(model, folder / f"{self.name}_{self.opset}.onnx")
        arrays = {"in_" + k: v for k, v in self.inputs.items()}
        arrays.update({"out_" + k: v for k, v in self.outputs.items()})
        np.savez_compressed(folder / f"{self.name}_{self.opset}.npz", **arrays)


def value(operand):
    return operand["input"] if isinstance(operand, dict) else operand


def pads_of(size, kernel, stride, dilation, i, attributes):
    """Elements before and after the data along spatial axis i."""
    reach = (kernel[i] - 1) * dilation[i] + 1
    auto = attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        total = max((-(-size[i] // stride[i]) - 1) * stride[i] + reach - size[i], 0)
        small = total // 2
        return (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    pads = attributes.get("pads", [0] * (2 * len(kernel)))
    return pads[i], pads[i + len(kernel)]


def windows(x, kernel, attributes):
    """Yields the place of each window and, by axis, the places in the padded data that it covers."""
    size, axes = x.shape[2:], range(len(kernel))
    stride = attributes.get("strides", [1] * len(kernel))
    dilation = attributes.get("dilations", [1] * len(kernel))
    around = [pads_of(size, kernel, stride, dilation, i, attributes) for i in axes]
    counts = []
    for i in axes:
        span = size[i] + sum(around[i]) - ((kernel[i] - 1) * dilation[i] + 1)
        count = span // stride[i] + 1
        if attributes.get("ceil_mode") and span % stride[i] and count * stride[i] < size[i] + around[i][0]:
            count += 1
        counts.append(count)
    covered = [[[at * stride[i] - around[i][0] + k * dilation[i] for k in range(kernel[i])]
                for at in range(counts[i])] for i in axes]
    return around, counts, covered


def pool(x, reduce, kernel_shape, **attributes):
    """`reduce` gets the elements of a window (as rows) and how many of its places count as padding."""
    around, counts, covered = windows(x, kernel_shape, attributes)
    y = np.zeros(x.shape[:2] + tuple(counts))
    for place in np.ndindex(*counts):
        lists = [covered[i][at] for i, at in enumerate(place)]
        inside = [[p for p in one if 0 <= p < x.shape[i + 2]] for i, one in enumerate(lists)]
        counted = [[p for p in one if -around[i][0] <= p < x.shape[i + 2] + around[i][1]]
                   for i, one in enumerate(lists)]
        elements = x[np.ix_(range(x.shape[0]), range(x.shape[1]), *inside)].reshape(x.shape[:2] + (-1,))
        y[(slice(None), slice(None)) + place] = reduce(elements, np.prod([len(c) for c in counted]))
    return y


def conv_transpose(x, w, b=None, group=1, output_shape=None, auto_pad="NOTSET", **attributes):
    """By its definition: all is spread, and cut to size."""
    rank = x.ndim - 2
    stride = attributes.get("strides", [1] * rank)
    dilation = attributes.get("dilations", [1] * rank)
    more = attributes.get("output_padding", [0] * rank)
    pads = attributes.get("pads", [0] * (2 * rank))
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation)]
    full = [(n - 1) * s + r + m for n, s, r, m in zip(x.shape[2:], stride, reach, more)]
    if auto_pad.startswith("SAME") and output_shape is None:
        output_shape = [n * s for n, s in zip(x.shape[2:], stride)]
    if output_shape is not None:
        total = [max(f - o, 0) for f, o in zip(full, output_shape)]
        before = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in total]
    else:
        before = pads[:rank]
        output_shape = [f - a - z for f, a, z in zip(full, pads[:rank], pads[rank:])]
    out, inside = w.shape[1], w.shape[0] // group
    y = np.zeros((x.shape[0], out * group) + tuple(max(f, o + p) for f, o, p in zip(full, output_shape, before)))
    for n, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
        for at in np.ndindex(*x.shape[2:]):
            where = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(at, stride, reach, dilation))
            first = (c // inside) * out
            y[(n, slice(first, first + out)) + where] += x[(n, c) + at] * w[c]
    y = y[(slice(None), slice(None)) + tuple(slice(p, p + o) for p, o in zip(before, output_shape))]
    return y if b is None else y + b.reshape([1, -1] + [1] * rank)


def convolutions(opset):
    f = Family("convolutions", opset)
    f.case("Conv", [X(2, 3, 9), W(4, 3, 3), W(4)], strides=[2], pads=[1, 2])
    f.case("Conv", [X(1, 4, 8, 7), W(6, 2, 3, 2), W(6)], group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 2, 1])
    f.case("Conv", [X(1, 2, 5, 4, 6), W(3, 2, 2, 3, 2)], strides=[1, 2, 2], pads=[0, 1, 0, 1, 1, 1])
    for auto, size in itertools.product(("SAME_UPPER", "SAME_LOWER"), (7, 8)):
        x, w = X(1, 3, size, 9), W(2, 3, 4, 3)
        pads = [pads_of((size, 9), (4, 3), (2, 3), (1, 1), i, {"auto_pad": auto}) for i in (0, 1)]
        padded = np.pad(value(x), [(0, 0), (0, 0)] + pads)
        plain = Family("plain", opset).reference(
            helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 3]), {"x": padded}, {"w": w}, None)
        f.case("Conv", [x, w], expected=plain, auto_pad=auto, strides=[2, 3])
    f.case("Conv", [X(1, 4, 6, 6), W(8, 1, 3, 3)], group=4, auto_pad="VALID", strides=[2, 2])
    transposed = [
        ((2, 3, 5), (3, 4, 3), {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
        ((1, 4, 4, 3), (4, 3, 3, 2), {"group": 2, "strides": [2, 3], "dilations": [2, 1], "pads": [1, 0, 0, 1]}),
        ((1, 2, 3, 2, 3), (2, 3, 2, 2, 2), {"strides": [1, 2, 1]}),
        ((1, 2, 4, 5), (2, 3, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
        ((1, 2, 4, 5), (2, 3, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
        ((1, 2, 4, 5), (2, 3, 3, 4), {"output_shape": [8, 15], "strides": [2, 3]}),
        ((1, 2, 4, 5), (2, 3, 3, 4), {"output_shape": [8, 13], "strides": [2, 3], "auto_pad": "SAME_UPPER"}),
        ((1, 2, 4, 5), (2, 3, 3, 4), {"auto_pad": "VALID", "strides": [2, 3]}),
    ]
    for shape, kernel, attributes in transposed:
        x, w, b = X(*shape), W(*kernel), W(kernel[1] * attributes.get("group", 1))
        f.case("ConvTranspose", [x, w, b], expected=[conv_transpose(value(x), w, b, **attributes)], **attributes)
    f.save()


def poolings(opset):
    f = Family("poolings", opset)
    shapes = [
        ((1, 2, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
        ((1, 2, 8, 7), {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 1, 1]}),
        ((1, 2, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((1, 2, 8, 8), {"kernel_shape": [3, 4], "strides": [2, 3], "auto_pad": "SAME_LOWER"}),
        ((1, 2, 5, 4, 6), {"kernel_shape": [2, 2, 3], "strides": [2, 1, 2]}),
    ]
    ceil = [
        ((1, 2, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1}),
        ((1, 2, 5, 6), {"kernel_shape": [2, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ] if opset >= 10 else []
    for shape, attributes in shapes + ceil:
        x = X(*shape)
        f.case("MaxPool", [x], expected=[pool(value(x), lambda e, n: e.max(-1), **attributes)], **attributes)
        x = X(*shape)
        f.case("AveragePool", [x], expected=[pool(value(x), lambda e, n: e.mean(-1), **attributes)], **attributes)
        if opset >= 7:
            x = X(*shape)
            f.case("AveragePool", [x], expected=[pool(value(x), lambda e, n: e.sum(-1) / n, **attributes)],
                   count_include_pad=1, **attributes)
    for shape, attributes in shapes:
        for p in (1, 2) if opset >= 2 else ():
            x = X(*shape)
            f.case("LpPool", [x], expected=[pool(value(x), lambda e, n: (abs(e) ** p).sum(-1) ** (1 / p), **attributes)],
                   p=p, **attributes)
    if opset >= 10:
        attributes = {"kernel_shape": [2, 3], "strides": [2, 1], "dilations": [2, 2], "pads": [1, 0, 1, 2]}
        x = X(1, 2, 7, 8)
        f.case("MaxPool", [x], expected=[pool(value(x), lambda e, n: e.max(-1), **attributes)], **attributes)
    for shape in ((2, 3, 5), (1, 2, 4, 3)):
        x = value(X(*shape))
        axes = tuple(range(2, len(shape)))
        f.case("GlobalAveragePool", [G(x)], expected=[x.mean(axes, keepdims=True)])
        f.case("GlobalMaxPool", [G(x)], expected=[x.max(axes, keepdims=True)])
        if opset >= 2:
            f.case("GlobalLpPool", [G(x)], expected=[np.sqrt((x ** 2).sum(axes, keepdims=True))])
            f.case("GlobalLpPool", [G(x)], expected=[abs(x).sum(axes, keepdims=True)], p=1)
    f.save()


def along(vector, rank, axis=1):
    return np.asarray(vector).reshape([-1 if i == axis else 1 for i in range(rank)])


def normalisations(opset):
    f = Family("normalisations", opset)
    for shape in ((3, 4), (2, 3, 4, 5)):
        x, c = X(*shape), shape[1]
        gamma, beta, mean, variance = W(c), W(c), W(c), W(c, low=0.2, high=2)
        rank = len(shape)
        y = (value(x) - along(mean, rank)) / np.sqrt(along(variance, rank) + np.float32(1e-3)) * along(gamma, rank)
        attributes = {"is_test": 1} if opset < 7 else {}
        if opset < 6:
            attributes["consumed_inputs"] = [0, 0, 0, 1, 1]
        f.case("BatchNormalization", [x, gamma, beta, mean, variance], expected=[y + along(beta, rank)], epsilon=1e-3,
               **attributes)
    x = X(2, 3, 4)
    parameters = [W(3, 4), W(3, 4), W(3, 4), W(3, 4, low=0.2, high=2)]
    if 7 <= opset < 9:
        y = (value(x) - parameters[2]) / np.sqrt(parameters[3] + np.float32(1e-5)) * parameters[0] + parameters[1]
        f.case("BatchNormalization", [x] + parameters, expected=[y], spatial=0)
    if opset >= 14:
        x, gamma, beta, mean, variance = X(4, 3, 5), W(3), W(3), W(3), W(3, low=0.2, high=2)
        m, v = value(x).mean((0, 2)), value(x).var((0, 2))
        y = (value(x) - along(m, 3)) / np.sqrt(along(v, 3) + np.float32(1e-2)) * along(gamma, 3) + along(beta, 3)
        momentum = np.float64(np.float32(0.8))
        f.case("BatchNormalization", [x, gamma, beta, mean, variance], outputs=3, training_mode=1, epsilon=1e-2,
               momentum=0.8, expected=[y, mean * momentum + m * (1 - momentum), variance * momentum + v * (1 - momentum)])
    x, gamma, beta = X(2, 3, 4, 5), W(3), W(3)
    m, v = value(x).mean((2, 3), keepdims=True), value(x).var((2, 3), keepdims=True)
    attributes = {"consumed_inputs": [0, 0, 0]} if opset < 6 else {}
    f.case("InstanceNormalization", [x, gamma, beta], epsilon=1e-2, **attributes,
           expected=[(value(x) - m) / np.sqrt(v + np.float32(1e-2)) * along(gamma, 4) + along(beta, 4)])
    for size in (3, 4):
        f.case("LRN", [X(1, 7, 3, 2)], size=size, alpha=0.5, beta=0.6, bias=2.0, expected=None)
    f.case("LRN", [X(1, 6, 3, 2)], size=5)
    f.case("LpNormalization", [X(3, 4, 2)], axis=1)
    f.case("LpNormalization", [X(3, 4)], p=1)
    if opset >= 9:
        x = X(2, 3, 4, 5)
        m, s = value(x).mean((0, 2, 3), keepdims=True), value(x).std((0, 2, 3), keepdims=True)
        f.case("MeanVarianceNormalization", [x], expected=[(value(x) - m) / (s + 1e-9)])
        x = X(3, 4)
        m, s = value(x).mean(1, keepdims=True), value(x).std(1, keepdims=True)
        f.case("MeanVarianceNormalization", [x], axes=[1], expected=[(value(x) - m) / (s + 1e-9)])
    if opset >= 17:
        f.case("LayerNormalization", [X(2, 3, 4), W(4), W(4)])
        f.case("LayerNormalization", [X(2, 3, 4), W(3, 4)], axis=1, epsilon=1e-2)
        f.case("LayerNormalization", [X(2, 3, 4), W(3, 4), W(3, 4)], axis=-2)
    if opset >= 21:  # that of operator set 18 is deprecated, and the checker refuses it
        x, groups = X(2, 6, 3, 2), 3
        y = value(x).reshape(2, groups, -1)
        y = ((y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + np.float32(1e-2))).reshape(2, 6, 3, 2)
        of = 6 if opset >= 21 else groups
        gamma, beta = W(of), W(of)
        wide = [np.repeat(p, 6 // of) for p in (gamma, beta)]
        f.case("GroupNormalization", [x, gamma, beta], num_groups=groups, epsilon=1e-2,
               expected=[y * along(wide[0], 4) + along(wide[1], 4)])
    if opset >= 23:
        f.case("RMSNormalization", [X(2, 3, 4), W(4)])
        f.case("RMSNormalization", [X(2, 3, 4), W(3, 4)], axis=1, epsilon=1e-2)
    f.save()


def products(opset):
    f = Family("products", opset)
    def gemm(a, b, c, alpha=1.0, beta=1.0, transA=0, transB=0, **_):
        return [np.float64(np.float32(alpha)) * (a.T if transA else a) @ (b.T if transB else b)
                + (0 if c is None else np.float64(np.float32(beta)) * c)]
    old = {"broadcast": 1} if opset < 7 else {}
    for shapes, attributes in [(((3, 4), (5, 4), (5,)), {"transB": 1, "alpha": 0.3, "beta": 1.7}),
                               (((4, 3), (4, 5), (3, 1)), {"transA": 1, "beta": -2.0}),
                               (((3, 4), (4, 5), (3, 5)), {}), (((3, 4), (4, 5), ()), {"alpha": 2.0})]:
        if opset < 7 and shapes[2] == (3, 1):
            continue
        a, b, c = X(*shapes[0]), W(*shapes[1]), W(*shapes[2]) if shapes[2] else np.array(0.7)
        f.case("Gemm", [a, b, c], expected=gemm(value(a), b, c, **attributes), **attributes,
               **(old if shapes[2] != (3, 5) else {}))
    if opset >= 11:
        f.case("Gemm", [X(3, 4), X(4, 2)], alpha=0.5)
        f.case("Einsum", [X(2, 3, 4), X(2, 4, 5)], equation="bij, bjk -> bik")
        f.case("Einsum", [X(2, 3, 4), W(4, 3)], equation="...ij,ji")
        f.case("Einsum", [X(3, 3)], equation="ii->i")
    if opset >= 12:
        f.case("Einsum", [X(2, 3, 4), X(2, 3, 5)], equation="abc,abd")
    for a, b in (((2, 3, 4), (4, 5)), ((3,), (2, 3, 4)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4,))):
        left, right = X(*a), X(*b)
        f.case("MatMul", [left, right], expected=[np.matmul(value(left), value(right))])
    f.save()


def elementwise(opset):
    f = Family("elementwise", opset)
    plain = ["Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Neg", "Abs", "Floor", "Ceil", "Identity"]
    if opset >= 7:
        plain += ["Sin", "Cos", "Tan", "Atan"]
    if opset >= 9:
        plain += ["Sinh", "Cosh", "Asinh", "Erf", "Sign"]
    if opset >= 11:
        plain += ["Round"]
    if opset >= 14:
        plain += ["HardSwish"]
    if opset >= 18:
        plain += ["Mish"]
    special = {"Round": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.3, 2.7]), "Sign": np.array([-2.0, 0.0, 3.0])}
    formulas = {"Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Tanh": np.tanh,
                "Softplus": lambda x: np.log1p(np.exp(x)), "Softsign": lambda x: x / (1 + abs(x)), "Exp": np.exp,
                "Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Identity": lambda x: x}
    for op in plain:
        x = special.get(op, RANDOM.uniform(-4, 4, (3, 4)))
        f.case(op, [G(x)], expected=[formulas[op](x)] if op in formulas else None)
    for op in ["Log", "Sqrt", "Reciprocal"]:
        x = RANDOM.uniform(0.1, 4, (3, 4))
        f.case(op, [G(x)], expected=[{"Log": np.log, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal}[op](x)])
    if opset >= 7:
        for op in ["Asin", "Acos"] + (["Atanh"] if opset >= 9 else []):
            f.case(op, [X(3, 4)])
    if opset >= 9:
        f.case("Acosh", [X(3, low=1.1, high=3)])
        f.case("Shrink", [X(3, 5, low=-2, high=2)], lambd=0.7, bias=0.2)
        f.case("IsNaN", [G(np.array([1.0, np.nan, np.inf]))])
    if opset >= 10:
        f.case("IsInf", [G(np.array([1.0, np.nan, np.inf, -np.inf]))])
        f.case("IsInf", [G(np.array([1.0, np.nan, np.inf, -np.inf]))], detect_negative=0)
        f.case("IsInf", [G(np.array([1.0, np.nan, np.inf, -np.inf]))], detect_positive=0)
        f.case("ThresholdedRelu", [X(3, 4, low=-3, high=3)], alpha=0.8)
    if opset >= 12:
        f.case("Celu", [X(3, 4, low=-3, high=3)], alpha=1.7)
    if opset >= 20:
        f.case("Gelu", [X(3, 4, low=-3, high=3)])
        f.case("Gelu", [X(3, 4, low=-3, high=3)], approximate="tanh")
    if opset >= 24:
        f.case("Swish", [X(3, 4, low=-3, high=3)], alpha=1.3)
    x = RANDOM.uniform(-3, 3, (3, 4))
    low = np.float64(np.float32(0.2))
    f.case("LeakyRelu", [G(x)], alpha=0.2, expected=[np.where(x < 0, low * x, x)])
    f.case("Elu", [G(x)], alpha=0.5, expected=[np.where(x < 0, 0.5 * np.expm1(x), x)])
    alpha, gamma = (np.float64(np.float32(v)) for v in
                    ((1.6732, 1.0507) if opset < 6 else (1.67326319217681884765625, 1.05070102214813232421875)))
    f.case("Selu", [G(x)], expected=[gamma * np.where(x > 0, x, alpha * np.expm1(x))])
    f.case("Selu", [G(x)], alpha=2.0, gamma=0.5, expected=[0.5 * np.where(x > 0, x, 2 * np.expm1(x))])
    f.case("HardSigmoid", [G(x)], alpha=0.25, beta=0.375, expected=[np.clip(0.25 * x + 0.375, 0, 1)])
    f.case("HardSigmoid", [G(x)], expected=[np.clip(low * x + 0.5, 0, 1)])
    if opset < 11:
        f.case("Clip", [G(x)], min=-0.5, max=1.25, expected=[np.clip(x, -0.5, 1.25)])
        f.case("Clip", [G(x)], max=0.75, expected=[np.minimum(x, 0.75)])
    else:
        f.case("Clip", [G(x), np.array(-0.5), np.array(1.25)])
        f.case("Clip", [G(x), "", np.array(0.75)])
        f.case("Clip", [G(x), np.array(-0.25)])
        f.case("Clip", [G(x), np.array(2.0), np.array(1.0)], expected=[np.full_like(x, 1.0)])
        f.case("Clip", [G(x), G(np.array(-0.5)), G(np.array(1.25))])
    binary = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
    for op, function in binary.items():
        a, b = value(X(2, 3, 4)), value(X(2, 3, 4, low=0.5, high=2))
        f.case(op, [G(a), G(b)], expected=[function(a, b)])
        if opset < 7:  # laid beside the first operand, at the end or from an axis on
            c, d = value(X(4, low=0.5, high=2)), value(X(3, low=0.5, high=2))
            f.case(op, [G(a), c], broadcast=1, expected=[function(a, c)])
            f.case(op, [G(a), d], broadcast=1, axis=1, expected=[function(a, d.reshape(3, 1))])
            e = value(X(2, 3, low=0.5, high=2))
            f.case(op, [G(a), e], broadcast=1, axis=0, expected=[function(a, e.reshape(2, 3, 1))])
        else:
            f.case(op, [G(a), X(3, 1, low=0.5, high=2)])
            f.case(op, [G(np.array([7, -7, 9], np.int64)), I(2, 2, -4)])
    a, b = value(X(3, 4, low=0.3, high=2)), W(3, 4)
    f.case("Pow", [G(a), b], expected=[np.power(a, b)])
    if opset >= 12:
        f.case("Pow", [G(np.array([1, 2, 5], np.int64)), np.array([0.5, 1.5, 2.0])])
    for op, function in {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}.items():
        a, b = value(X(3, 4)), value(X(3, 4))
        f.case(op, [G(a), G(b)], expected=[function(a, b)])
        f.case(op, [G(a)], expected=[a])
        if opset >= 8:
            f.case(op, [X(3, 4), X(4), X(2, 1, 1)])
    a, b, c = value(X(3, 4)), value(X(3, 4)), value(X(3, 4))
    f.case("Mean", [G(a), G(b), G(c)], expected=[(a + b + c) / 3])
    x, slope = value(X(2, 3, 4)), W(3)
    f.case("PRelu", [G(x), slope if opset < 7 else slope.reshape(3, 1)],
           expected=[np.where(x < 0, x * slope.reshape(3, 1), x)])
    f.case("PRelu", [G(x), np.array([0.3])], expected=[np.where(x < 0, x * 0.3, x)])
    t, u = np.array([True, False, True]), np.array([True, True, False])
    for op, function in {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}.items():
        f.case(op, [G(t), G(u)], expected=[function(t, u)])
    f.case("Not", [G(t)], expected=[~t])
    if opset >= 9:
        for op in ["Less", "Greater"]:
            f.case(op, [G(np.array([1.0, 2.0, 3.0])), np.array(2.0)])
        f.case("Where", [G(t), X(2, 3), X(1)])
    if opset >= 11:
        f.case("Equal", [G(np.array([1.0, 2.0, 3.0])), np.array([1.0, 0.0, 3.0])])
        f.case("Mod", [G(np.array([7, -7, 9], np.int64)), I(3, 3, -4)])
        f.case("Mod", [G(np.array([7.5, -7.5])), np.array([2.0, 2.0])], fmod=1)
    if opset >= 12:
        f.case("LessOrEqual", [G(np.array([1.0, 2.0, 3.0])), np.array(2.0)])
        f.case("GreaterOrEqual", [G(np.array([1.0, 2.0, 3.0])), np.array(2.0)])
    f.case("Dropout", [G(x)], expected=[x], **({"is_test": 1} if opset < 7 else {}))
    if opset >= 9:
        f.case("Cast", [G(np.array([1.7, -1.7, 0.0]))], to=TensorProto.INT64)
        f.case("Cast", [G(np.array([1.7, -1.7, 0.0]))], to=TensorProto.BOOL)
        f.case("Cast", [G(np.array([3, 0], np.int64))], to=TensorProto.DOUBLE)
    elif opset < 6:
        f.case("Cast", [G(np.array([1.7, -1.7, 0.0]))], to="INT64", expected=[np.array([1, -1, 0])])
    if opset >= 15:
        f.case("CastLike", [G(np.array([1.7, -1.7])), I(1)])
    f.save()



def reductions(opset):
    f = Family("reductions", opset)
    kinds = {"Mean": np.mean, "Sum": np.sum, "Max": np.max, "Min": np.min, "Prod": np.prod,
             "L1": lambda x, **a: abs(x).sum(**a), "L2": lambda x, **a: np.sqrt((x * x).sum(**a)),
             "SumSquare": lambda x, **a: (x * x).sum(**a), "LogSum": lambda x, **a: np.log(x.sum(**a)),
             "LogSumExp": lambda x, **a: np.log(np.exp(x).sum(**a))}
    for kind, function in kinds.items():
        operand = opset >= (13 if kind == "Sum" else 18)
        for axes, keep in (((1,), 1), ((0, -1) if opset >= 11 else (0, 2), 0), (None, 1)):
            x = value(X(2, 3, 4, low=0.1, high=1))
            attributes = {} if axes is None or operand else {"axes": list(axes)}
            f.case("Reduce" + kind, [G(x)] + ([I(*axes)] if operand and axes is not None else []), keepdims=keep,
                   expected=[function(x, axis=axes, keepdims=bool(keep))], **attributes)
        if operand and kind in ("Mean", "Sum", "Max"):
            x = X(2, 3)
            f.case("Reduce" + kind, [x], noop_with_empty_axes=1, expected=[value(x)])
    for op in ("ArgMax", "ArgMin"):
        f.case(op, [X(2, 3, 4)], axis=1)
        f.case(op, [X(2, 3, 4)], keepdims=0)
        if opset >= 12:
            f.case(op, [G(np.array([[1.0, 3.0, 3.0, 1.0]]))], axis=1, select_last_index=1)
    for op, function in {"Softmax": lambda e: e, "LogSoftmax": np.log}.items():
        for axis in (None, 0, 2) + ((-2,) if opset >= 11 else ()):
            x = value(X(2, 3, 4))
            at = (1 if opset < 13 else -1) if axis is None else axis
            flat = x.reshape(int(np.prod(x.shape[:at])), -1) if opset < 13 else x
            e = np.exp(flat)
            e = function(e / e.sum(-1 if opset < 13 else at, keepdims=True)).reshape(x.shape)
            f.case(op, [G(x)], expected=[e], **({} if axis is None else {"axis": axis}))
    if opset >= 11:
        f.case("CumSum", [X(2, 3), np.array(1)])
        f.case("CumSum", [X(2, 3), np.array(0)], reverse=1)
        f.case("CumSum", [X(2, 3), np.array(-1)], exclusive=1, reverse=1)
    f.save()


def layouts(opset):
    f = Family("layouts", opset)
    x = value(X(2, 3, 4))
    if opset < 5:
        f.case("Reshape", [G(x)], shape=[0, -1], expected=[x.reshape(2, -1)])
    else:
        f.case("Reshape", [G(x), I(0, -1)])
        f.case("Reshape", [G(x), I(4, 3, 2)])
        if opset >= 14:
            f.case("Reshape", [G(np.zeros((0, 3))), I(3, 0)], allowzero=1)
    for axis in (None, 0, 2, 3) + ((-2, -3) if opset >= 11 else ()):
        at = 1 if axis is None else axis
        f.case("Flatten", [G(x)], expected=[x.reshape(int(np.prod(x.shape[:at])), -1)],
               **({} if axis is None else {"axis": axis}))
    thin = value(X(1, 3, 1, 2))
    if opset < 13:
        f.case("Squeeze", [G(thin)], axes=[0, 2], expected=[thin.reshape(3, 2)])
        f.case("Unsqueeze", [G(x)], axes=[0, 3], expected=[x.reshape(1, 2, 3, 1, 4)])
    else:
        f.case("Squeeze", [G(thin), I(0, -2)])
        f.case("Unsqueeze", [G(x), I(-1, 0)])
    f.case("Squeeze", [G(thin)], expected=[thin.reshape(3, 2)])
    f.case("Transpose", [G(x)], expected=[x.T])
    f.case("Transpose", [G(x)], perm=[1, 2, 0], expected=[x.transpose(1, 2, 0)])
    a, b = value(X(2, 5, 4)), W(2, 1, 4)
    f.case("Concat", [G(x), G(a), b], expected=[np.concatenate([x, a, b], 1)], **({"axis": 1} if opset >= 4 else {}))
    f.case("Concat", [G(x), G(x)], axis=2, expected=[np.concatenate([x, x], 2)])
    long = value(X(2, 7))
    parts = [long[:, :3], long[:, 3:4], long[:, 4:]]
    if opset < 13:
        f.case("Split", [G(long)], outputs=3, axis=1, split=[3, 1, 3], expected=parts)
    else:
        f.case("Split", [G(long), I(3, 1, 3)], outputs=3, axis=1, expected=parts)
    if opset >= 18:
        f.case("Split", [G(long)], outputs=3, axis=1, num_outputs=3, expected=[long[:, :3], long[:, 3:6], long[:, 6:]])
    elif opset >= 2:
        f.case("Split", [G(x)], outputs=2, axis=2, expected=[x[:, :, :2], x[:, :, 2:]])
    if opset < 10:
        f.case("Slice", [G(x)], starts=[1, -3], ends=[3, 2**31 - 1], axes=[1, 2], expected=[x[:, 1:3, -3:]])
        f.case("Slice", [G(x)], starts=[0, 1], ends=[1, -1], expected=[x[0:1, 1:-1]])
    else:
        f.case("Slice", [G(x), I(1, -3), I(3, 2**63 - 1), I(1, 2)])
        f.case("Slice", [G(x), I(-1, 3), I(-(2**63), 0), I(1, 2), I(-1, -2)])
        f.case("Slice", [G(x), I(0, 1), I(1, -1)])
    data = value(X(2, 3, 4))
    amounts = [0, 1, 2, 1, 0, 1]
    pairs = [(0, 1), (1, 0), (2, 1)]
    for mode, kind in (("constant", "constant"), ("reflect", "reflect"), ("edge", "edge")) + (
            (("wrap", "wrap"),) if opset >= 19 else ()):
        expected = [np.pad(data, pairs, kind)]
        if opset >= 11:
            f.case("Pad", [G(data), I(*amounts)], mode=mode, expected=expected)
        else:
            f.case("Pad", [G(data)], mode=mode, expected=expected, **{"paddings" if opset < 2 else "pads": amounts})
    if opset >= 11:
        f.case("Pad", [G(data), I(0, 0, -1, 0, 0, 2), np.array(1.5)],
               expected=[np.pad(data, [(0, 0), (0, 0), (0, 2)], constant_values=1.5)[:, :, 1:]])
    else:
        f.case("Pad", [G(data)], value=1.5, expected=[np.pad(data, pairs, constant_values=1.5)],
               **{"paddings" if opset < 2 else "pads": amounts})
    if opset >= 18:
        f.case("Pad", [G(data), I(1, 2), "", I(-1)], expected=[np.pad(data, [(0, 0), (0, 0), (1, 2)])])
    blocks = value(X(1, 8, 2, 3))
    if opset >= 1:
        f.case("DepthToSpace", [G(blocks)], blocksize=2,
               expected=[blocks.reshape(1, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6)])
        space = value(X(1, 2, 4, 6))
        f.case("SpaceToDepth", [G(space)], blocksize=2,
               expected=[space.reshape(1, 2, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3)])
    if opset >= 11:
        f.case("DepthToSpace", [G(blocks)], blocksize=2, mode="CRD",
               expected=[blocks.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6)])
    if opset >= 8:
        f.case("Expand", [X(3, 1), I(2, 1, 4)])
        f.case("Expand", [X(2, 3, 4), I(1, 4)])
        f.case("Tile", [X(2, 3), I(2, 3)])
    f.save()


def selections(opset):
    f = Family("selections", opset)
    x = value(X(3, 4, 2))
    f.case("Gather", [G(x), np.array([[0, 2], [1, 1]])], expected=[x[[[0, 2], [1, 1]]]])
    f.case("Gather", [G(x), np.array(3)], axis=1, expected=[x[:, 3]])
    f.case("Shape", [G(x)], expected=[np.array(x.shape)])
    f.case("Size", [G(x)], expected=[np.array(x.size)])
    if opset >= 9:
        f.case("ConstantOfShape", [I(2, 3)], value=numpy_helper.from_array(np.array([2.5])))
        f.case("ConstantOfShape", [I(2)], value=numpy_helper.from_array(np.array([7], np.int64)))
        f.case("OneHot", [G(np.array([0, 2, 1])), np.array(3), np.array([0.5, 2.0])],
               expected=[0.5 + 1.5 * np.eye(3)[[0, 2, 1]]])
        f.case("OneHot", [G(np.array([[0, 2], [1, 1]])), I(4), np.array([0.0, 1.0])], axis=1,
               expected=[np.eye(4)[[[0, 2], [1, 1]]].transpose(0, 2, 1)])
    if opset >= 11:
        f.case("Gather", [G(x), I(-1, 0)], axis=-1)
        f.case("GatherElements", [X(2, 3), np.array([[1, 0, 1]])], axis=0)
        f.case("GatherND", [G(x), np.array([[0, 1], [2, 3]])])
        f.case("ScatterND", [X(4, 2), np.array([[1], [3]]), X(2, 2)])
        f.case("Range", [np.array(1.0), np.array(7.0), np.array(2.5)])
        f.case("Range", [np.array(5), np.array(-1), np.array(-2)])
    if opset >= 12:
        f.case("GatherND", [G(x), np.array([[1], [0], [3]])], batch_dims=1)
    if opset >= 15:
        f.case("Shape", [G(x)], start=1)
        f.case("Shape", [G(x)], start=-2, end=-1)
    if opset >= 16:
        f.case("ScatterND", [X(4, 2), np.array([[1], [1]]), X(2, 2)], reduction="add")
    f.save()


def resizes(opset):
    f = Family("resizes", opset)
    x = value(X(1, 2, 4, 5))
    if opset < 11:
        nearest = x[:, :, [0, 0, 1, 1, 2, 2, 3, 3]][:, :, :, [0, 0, 1, 2, 2, 3, 4]]  # 7 of 5 by 1.5: floor(i / 1.5)
        op = "Upsample" if opset < 10 else "Resize"
        scales = [1.0, 1.0, 2.0, 1.5]
        if opset < 7:
            f.case(op, [G(x)], expected=[nearest], height_scale=2.0, width_scale=1.5)
        elif opset < 9:
            f.case(op, [G(x)], expected=[nearest], scales=scales)
        else:
            f.case(op, [G(x), np.array(scales, np.float32)], expected=[nearest])
        linear = np.zeros((1, 2, 8, 10))
        for i, j in np.ndindex(8, 10):
            a, b = min(i / 2, 3), min(j / 2, 4)
            i0, j0 = int(a), int(b)
            i1, j1 = min(i0 + 1, 3), min(j0 + 1, 4)
            linear[:, :, i, j] = ((1 - a + i0) * ((1 - b + j0) * x[:, :, i0, j0] + (b - j0) * x[:, :, i0, j1])
                                  + (a - i0) * ((1 - b + j0) * x[:, :, i1, j0] + (b - j0) * x[:, :, i1, j1]))
        mode = "bilinear" if opset < 7 else "linear"
        twice = [1.0, 1.0, 2.0, 2.0]
        if opset < 7:
            f.case(op, [G(x)], expected=[linear], height_scale=2.0, width_scale=2.0, mode=mode)
        elif opset < 9:
            f.case(op, [G(x)], expected=[linear], scales=twice, mode=mode)
        else:
            f.case(op, [G(x), np.array(twice, np.float32)], expected=[linear], mode=mode)
        return f.save()
    scales = [np.array(s, np.float32) for s in ([1, 1, 2, 1.5], [1, 1, 0.75, 0.5])]
    places = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    if opset < 13:
        x = X(1, 2, 4, 5)
        rows = [min(int((i + 0.5) / 2), 3) for i in range(8)]
        columns = [min(int((i + 0.5) / 1.5), 4) for i in range(7)]
        f.case("Resize", [x, np.zeros(0), scales[0]], mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="tf_half_pixel_for_nn", expected=[value(x)[:, :, rows][:, :, :, columns]])
    if opset >= 19:
        places.append("half_pixel_symmetric")
    for place, scale in itertools.product(places, scales):
        for mode in ("nearest", "linear", "cubic"):
            f.case("Resize", [X(1, 2, 4, 5), "", scale] if opset >= 13 else [X(1, 2, 4, 5), np.zeros(0), scale], mode=mode,
                   coordinate_transformation_mode=place)
    empty = "" if opset >= 13 else np.zeros(0, np.float32)
    roi = "" if opset >= 13 else np.zeros(0)
    for rounding in ("round_prefer_ceil", "floor", "ceil"):
        f.case("Resize", [X(1, 2, 4, 5), roi, scales[0]], mode="nearest", nearest_mode=rounding)
    f.case("Resize", [X(1, 2, 4, 5), roi, empty, I(1, 2, 7, 3)], mode="linear")
    f.case("Resize", [X(1, 2, 4, 5), roi, empty, I(1, 2, 7, 3)], mode="nearest",
           coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    f.case("Resize", [X(1, 1, 4, 5), roi, scales[0]], mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)
    if opset >= 18:
        f.case("Resize", [X(1, 2, 4, 6), "", "", I(8, 3)], axes=[2, 3], mode="linear")
        f.case("Resize", [X(1, 1, 8, 6), "", np.array([0.5, 0.5], np.float32)], axes=[2, 3], mode="linear", antialias=1)
        f.case("Resize", [X(1, 1, 8, 6), "", "", I(4, 6)], axes=[2, 3], mode="nearest",
               keep_aspect_ratio_policy="not_larger")
    f.save()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recur(op, x, w, r, b=None, h=None, c=None, backward=False, reset_after=False, functions=(sigmoid, np.tanh, np.tanh)):
    """One direction, by the equations of the documentation; x is [T, N, I]. Yields all outputs, the last, the last cell."""
    units, gates = r.shape[1], {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    wb, rb = (np.zeros(gates * units),) * 2 if b is None else (b[:gates * units], b[gates * units:])
    h = np.zeros((x.shape[1], units)) if h is None else h
    c = np.zeros((x.shape[1], units)) if c is None else c
    outputs = [None] * len(x)
    for t in reversed(range(len(x))) if backward else range(len(x)):
        a, p = x[t] @ w.T + wb, h @ r.T
        part = lambda v, i: v[..., i * units:(i + 1) * units]  # noqa: E731
        if op == "LSTM":
            f, g, out = functions
            i, o, forget = (f(part(a + p + rb, k)) for k in range(3))
            c = forget * c + i * g(part(a + p + rb, 3))
            h = o * out(c)
        elif op == "GRU":
            f, g = functions[:2]
            z, reset = f(part(a + p + rb, 0)), f(part(a + p + rb, 1))
            if reset_after:
                new = g(part(a, 2) + reset * part(p + rb, 2))
            else:
                new = g(part(a, 2) + (reset * h) @ part(r.T, 2) + part(rb, 2))
            h = (1 - z) * new + z * h
        else:
            h = functions[-1](a + p + rb)
        outputs[t] = h
    return np.stack(outputs), h, c


def recurrents(opset):
    f = Family("recurrents", opset)
    time, examples, width, units = 4, 2, 3, 5
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, full, extra in (("forward", False, {}), ("forward", True, {}), ("reverse", True, {}),
                                       ("bidirectional", True, {}), ("bidirectional", False, {"layout": 1}),
                                       ("forward", True, {"activations": {"LSTM": ["HardSigmoid", "Softsign", "Softsign"],
                                                                          "GRU": ["HardSigmoid", "Softsign"],
                                                                          "RNN": ["Relu"]}[op]}),
                                       ("forward", True, {"linear_before_reset": 1} if op == "GRU" else {})):
            if extra.get("layout") and opset < 14:
                continue
            count = 2 if direction == "bidirectional" else 1
            x, w, r = value(X(time, examples, width)), W(count, gates * units, width), W(count, gates * units, units)
            b, h, c = W(count, 2 * gates * units), W(count, examples, units), W(count, examples, units)
            functions = (sigmoid, np.tanh, np.tanh)
            if "activations" in extra:
                soft = lambda v: v / (1 + abs(v))  # noqa: E731
                functions = {"RNN": (None, lambda v: np.maximum(v, 0))}.get(
                    op, (lambda v: np.clip(np.float64(np.float32(0.2)) * v + 0.5, 0, 1), soft, soft))
            results = [recur(op, x, w[d], r[d], *((b[d], h[d], c[d] if op == "LSTM" else None) if full else ()),
                             backward=direction == "reverse" or d == 1, functions=functions,
                             reset_after=bool(extra.get("linear_before_reset"))) for d in range(count)]
            expected = [np.stack([y for y, _, _ in results], 1), np.stack([s for _, s, _ in results]),
                        np.stack([s for _, _, s in results])][:3 if op == "LSTM" else 2]
            data = x
            if extra.get("layout"):
                data = x.transpose(1, 0, 2)
                expected = [expected[0].transpose(2, 0, 1, 3)] + [s.transpose(1, 0, 2) for s in expected[1:]]
            operands = [G(data), w, r] + ([b, "", h] + ([c] if op == "LSTM" else []) if full else [])
            f.case(op, operands, outputs=len(expected), expected=expected, hidden_size=units, direction=direction, **extra)
    f.save()


def quantised(opset):
    f = Family("quantised", opset)
    x = RANDOM.uniform(-3, 3, (2, 3, 4)).astype(np.float32)
    scale, zero = np.array(0.05, np.float32), np.array(100, np.uint8)
    def q(x, s, z, low, high):
        return np.clip(np.rint(np.float64(x) / np.float64(s)) + z, low, high)
    def kept(x):
        return {"input": x}
    f.case("QuantizeLinear", [kept(x), scale, zero], expected=[q(x, scale, 100, 0, 255).astype(np.uint8)])
    signed = np.array(-3, np.int8)
    f.case("QuantizeLinear", [kept(x), scale, signed], expected=[q(x, scale, -3, -128, 127).astype(np.int8)])
    u = RANDOM.randint(0, 256, (2, 3, 4)).astype(np.uint8)
    f.case("DequantizeLinear", [kept(u), scale, zero], expected=[(u.astype(np.float64) - 100) * np.float64(scale)])
    if opset >= 13:
        scales, zeros = np.array([0.1, 0.2, 0.4], np.float32), np.array([3, 100, 200], np.uint8)
        f.case("QuantizeLinear", [kept(x), scales, zeros], axis=1,
               expected=[q(x, along(scales, 3), along(zeros.astype(float), 3), 0, 255).astype(np.uint8)])
        f.case("DequantizeLinear", [kept(u), scales, zeros], axis=-2,
               expected=[(u.astype(np.float64) - along(zeros.astype(float), 3)) * along(np.float64(scales), 3)])
    f.save()


FAMILIES = [(convolutions, (1, 11, 22)), (poolings, (1, 7, 11, 22)), (normalisations, (1, 6, 8, 9, 14, 17, 18, 21, 23)),
            (products, (6, 7, 13)), (elementwise, (1, 6, 7, 10, 13, 24)), (reductions, (1, 11, 13, 18)),
            (layouts, (1, 2, 9, 11, 13, 19)), (selections, (1, 9, 11, 16)), (resizes, (1, 7, 9, 10, 11, 13, 19)),
            (recurrents, (7, 14)), (quantised, (10, 13, 21))]

if __name__ == "__main__":
    for family, opsets in FAMILIES:
        for opset in opsets:
            family(opset)
