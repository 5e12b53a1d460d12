"""Small random ONNX graphs around batch norms: what feeds them, what reads them, and what moves or mixes channels between.

A graph is a function of its seed. Every operator that is in it computes something the others depend on, so that a fold
over a wrong axis, or past an operator that it must not pass, shows in the outputs.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSETS = (9, 11, 12, 13, 15, 17, 18)
FLOAT = onnx.TensorProto.FLOAT
MOST_ELEMENTS = 4000


class RandomGraph:
    """Values are pairs of name and shape; each method takes one, adds nodes, and returns another."""

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        self.opset = int(self.random.choice(OPSETS))
        self.nodes, self.initializers, self.values, self.shared = [], [], [], {}
        self.count = 0

    def chance(self, probability):
        return self.random.rand() < probability

    def pick(self, values):
        return values[self.random.randint(len(values))]

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def constant(self, array):
        """An initializer, sometimes through an Identity, or a Constant node."""
        array, name = np.asarray(array), self.name("w")
        if self.chance(0.15):
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name)))
            return name
        self.initializers.append(numpy_helper.from_array(array, name))
        if not self.chance(0.12):
            return name
        passed = self.name("i")
        self.nodes.append(helper.make_node("Identity", [name], [passed]))
        return passed

    def integers(self, *values):
        return self.constant(np.array(values, np.int64))

    def floats(self, *shape, low=-1.0, high=1.0):
        """Sometimes a tensor that another node reads already."""
        if (low, high) == (-1.0, 1.0) and shape in self.shared and self.chance(0.12):
            return self.shared[shape]
        self.shared[shape] = self.constant(self.random.uniform(low, high, shape).astype(np.float32))
        return self.shared[shape]

    def node(self, operator, inputs, shape, **attributes):
        output = self.name("v")
        self.nodes.append(helper.make_node(operator, inputs, [output], name=self.name("n"), **attributes))
        self.values.append((output, list(shape)))
        return self.values[-1]

    def batch_norm(self, value):
        name, shape = value
        if len(shape) < 2:
            return value
        channels = shape[1]
        parts = [self.floats(channels), self.floats(channels), self.floats(channels, low=-0.999),
                 self.floats(channels, low=0.1, high=2.0)]
        if self.chance(0.1):
            parts[2] = parts[1]
        return self.node("BatchNormalization", [name, *parts], shape, epsilon=float(self.pick([1e-5, 1e-3, 0.1])))

    def groups_of(self, channels):
        return self.pick([g for g in range(1, channels + 1) if channels % g == 0])

    def convolution(self, value):
        name, shape = value
        if len(shape) < 3:
            return self.gemm(value)
        spatial, groups = shape[2:], self.groups_of(shape[1])
        out = groups * self.pick([1, 2, 3])
        kernel = [min(self.pick([1, 2, 3]), d) for d in spatial]
        pads = [int(self.random.randint(0, 2)) if self.chance(0.4) else 0 for _ in range(2 * len(spatial))]
        inputs = [name, self.floats(out, shape[1] // groups, *kernel)]
        if self.chance(0.5):
            inputs.append(self.floats(out))
        result = [d + pads[i] + pads[len(spatial) + i] - kernel[i] + 1 for i, d in enumerate(spatial)]
        return self.node("Conv", inputs, [shape[0], out, *result], group=groups, pads=pads, kernel_shape=kernel)

    def transposed_convolution(self, value):
        name, shape = value
        if len(shape) < 3:
            return value
        groups, per_group = self.groups_of(shape[1]), self.pick([1, 2, 3])
        kernel = [self.pick([1, 2]) for _ in shape[2:]]
        strides = [self.pick([1, 2]) for _ in shape[2:]]
        result = [(d - 1) * strides[i] + kernel[i] for i, d in enumerate(shape[2:])]
        if max(result) > 12:
            return value
        inputs = [name, self.floats(shape[1], per_group, *kernel)]
        if self.chance(0.5):
            inputs.append(self.floats(groups * per_group))
        return self.node("ConvTranspose", inputs, [shape[0], groups * per_group, *result], group=groups,
                         kernel_shape=kernel, strides=strides)

    def gemm(self, value):
        name, shape = value
        if len(shape) != 2:
            return value
        transposed, of_weights = self.chance(0.1), self.chance(0.5)
        rows, inputs_of_row = shape[::-1] if transposed else shape
        out = self.pick([1, 2, 3, 4, shape[1]])
        inputs = [name, self.floats(*((out, inputs_of_row) if of_weights else (inputs_of_row, out)))]
        bias = self.pick([(out,), (out,), (1, out), (rows, out), (rows, 1), (1,), None])
        if bias is not None or self.opset < 11:
            inputs.append(self.floats(*(bias or (out,))))
        return self.node("Gemm", inputs, [rows, out], alpha=self.pick([1.0, 0.5, 2.0]), beta=self.pick([1.0, 0.5, 2.0]),
                         transA=int(transposed), transB=int(of_weights))

    def matmul(self, value):
        name, shape = value
        if len(shape) < 2:
            return value
        out = self.pick([1, 2, 3, shape[1]])
        if self.chance(0.2):
            product = self.node("MatMul", [self.floats(*[1] * (len(shape) - 2), out, shape[-2]), name],
                                [*shape[:-2], out, shape[-1]])
        else:
            product = self.node("MatMul", [name, self.floats(shape[-1], out)], [*shape[:-1], out])
        if self.chance(0.5):
            return product
        last = product[1][-1]
        inputs = [product[0], self.floats(last) if self.chance(0.8) else self.floats(1, last)]
        return self.node("Add", inputs if self.chance(0.7) else inputs[::-1], product[1])

    def transpose(self, value):
        name, shape = value
        order = [int(axis) for axis in self.random.permutation(len(shape))]
        if self.chance(0.7):
            order = [0] + [int(axis) + 1 for axis in self.random.permutation(len(shape) - 1)]
        return self.node("Transpose", [name], [shape[axis] for axis in order], perm=order)

    def reshape(self, value):
        name, shape = value
        total, kind = int(np.prod(shape)), self.random.randint(7)
        wanted = None
        if kind == 0:
            result, wanted = [shape[0], total // shape[0]], [0, -1]
        elif kind == 1 and len(shape) > 2:
            result, wanted = [shape[0], shape[1], total // shape[0] // shape[1]], [0, 0, -1]
        elif kind == 2 and len(shape) > 1:
            groups = self.groups_of(shape[1])
            result = [shape[0], groups, shape[1] // groups, *shape[2:]]
        elif kind == 3 and len(shape) > 2:
            result = [shape[0], shape[1] * shape[2], *shape[3:]]
        elif kind == 4 and len(shape) > 2:
            result = [shape[0] * shape[1], *shape[2:]]
        elif kind == 5:
            result, wanted = [total // shape[-1], shape[-1]], [-1, shape[-1]]
        else:
            result = [*shape, 1]
        if len(result) > 5:
            return value
        return self.node("Reshape", [name, self.integers(*(wanted or result))], result)

    def shuffle_channels(self, value):
        name, shape = value
        if len(shape) != 4:
            return value
        groups = self.groups_of(shape[1])
        split = [shape[0], groups, shape[1] // groups, *shape[2:]]
        apart = self.node("Reshape", [name, self.integers(*split)], split)
        moved = self.node("Transpose", [apart[0]], [split[i] for i in (0, 2, 1, 3, 4)], perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", [moved[0], self.integers(*shape)], shape)

    def flatten(self, value):
        name, shape = value
        axis = self.pick([1, 1, 1, 0, min(2, len(shape) - 1)])
        return self.node("Flatten", [name], [int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))], axis=axis)

    def activation(self, value):
        name, shape = value
        kind = self.pick(["Relu", "Sigmoid", "LeakyRelu", "Identity", "Neg", "Dropout", "PRelu", "Softmax", "Abs"])
        if kind == "PRelu":
            slope = self.floats(shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else self.floats(1)
            return self.node(kind, [name, slope], shape)
        return self.node(kind, [name], shape, **({"axis": len(shape) - 1} if kind == "Softmax" else {}))

    def pool(self, value):
        name, shape = value
        if len(shape) < 3:
            return value
        spatial = shape[2:]
        kind = self.pick(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"])
        if kind.startswith("Global"):
            return self.node(kind, [name], [*shape[:2], *[1] * len(spatial)])
        if kind == "ReduceMean":
            axes = list(range(2, len(shape))) if self.chance(0.6) else [int(self.random.randint(1, len(shape)))]
            keep = int(self.chance(0.5))
            result = [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]
            if self.opset >= 18:
                return self.node(kind, [name, self.integers(*axes)], result, keepdims=keep)
            return self.node(kind, [name], result, axes=axes, keepdims=keep)
        kernel = [min(2, d) for d in spatial]
        pads = [int(self.random.randint(0, kernel[i % len(spatial)])) if self.chance(0.4) else 0
                for i in range(2 * len(spatial))]
        counted = {"count_include_pad": int(self.chance(0.5))} if kind == "AveragePool" else {}
        result = [d + pads[i] + pads[len(spatial) + i] - kernel[i] + 1 for i, d in enumerate(spatial)]
        return self.node(kind, [name], [*shape[:2], *result], kernel_shape=kernel, pads=pads, **counted)

    def with_constant(self, value):
        name, shape = value
        kind = self.pick(["Add", "Mul", "Sub", "Div"])
        along = self.pick([[1], [shape[-1]], [1] * (len(shape) - 1) + [shape[-1]], None])
        if along is None:
            along = [shape[1], *[1] * (len(shape) - 2)] if len(shape) > 1 else [1]
        inputs = [name, self.floats(*along, low=0.5, high=2.0)]
        return self.node(kind, inputs[::-1] if self.chance(0.3) and kind != "Div" else inputs, shape)

    def with_another(self, value):
        name, shape = value
        others = [other for other, other_shape in self.values if other_shape == shape and other != name]
        if not others:
            return value
        inputs = [name, self.pick(others)]
        return self.node(self.pick(["Add", "Sum", "Mul", "Sub", "Max"]), inputs if self.chance(0.5) else inputs[::-1], shape)

    def concat(self, value):
        name, shape = value
        axis = self.pick([1, 1, 1, len(shape) - 1, 0]) if len(shape) > 1 else 0
        fitting = [(other, s) for other, s in self.values if len(s) == len(shape) and
                   all(a == b for i, (a, b) in enumerate(zip(s, shape)) if i != axis)]
        if not fitting:
            return value
        other, other_shape = self.pick(fitting)
        result = [d + other_shape[i] if i == axis else d for i, d in enumerate(shape)]
        if result[axis] > 12:
            return value
        written = axis if self.chance(0.7) or self.opset < 11 else axis - len(shape)
        return self.node("Concat", [name, other], result, axis=written)

    def pad(self, value):
        name, shape = value
        if self.opset < 11 or len(shape) < 3:
            return value
        rank, mode = len(shape), self.pick(["constant", "reflect", "edge"])
        first = 2 if self.chance(0.85) else 1
        pads = [int(self.random.randint(0, 2)) if i % rank >= first and shape[i % rank] > 1 else 0
                for i in range(2 * rank)]
        inputs = [name, self.integers(*pads)]
        if mode == "constant" and self.chance(0.5):
            inputs.append(self.constant(np.float32(self.pick([0.0, 0.0, 1.0]))))
        return self.node("Pad", inputs, [d + pads[i] + pads[rank + i] for i, d in enumerate(shape)], mode=mode)

    def cut(self, value):
        name, shape = value
        if self.opset < 10 or len(shape) < 2:
            return value
        axis = self.pick([1, len(shape) - 1])
        if shape[axis] < 2:
            return value
        start = int(self.random.randint(0, shape[axis] - 1))
        bounds = [self.integers(number) for number in (start, shape[axis], axis)]
        return self.node("Slice", [name, *bounds], [d - start if i == axis else d for i, d in enumerate(shape)])

    def axes_of_one(self, value):
        name, shape = value
        ones = [axis for axis, d in enumerate(shape) if d == 1]
        if self.chance(0.5) and len(shape) < 5:
            kind, axis = "Unsqueeze", int(self.random.randint(0, len(shape) + 1))
            result = [*shape[:axis], 1, *shape[axis:]]
        elif ones and len(shape) > 2:
            kind, axis = "Squeeze", self.pick(ones)
            result = shape[:axis] + shape[axis + 1:]
        else:
            return value
        if self.opset >= 13:
            return self.node(kind, [name, self.integers(axis)], result)
        return self.node(kind, [name], result, axes=[axis])

    def condition(self, value):
        """Both branches read the value from outside."""
        name, shape = value

        def branch(operator):
            output = self.name("b")
            return helper.make_graph([helper.make_node(operator, [name], [output])], operator, [],
                                     [helper.make_tensor_value_info(output, FLOAT, shape)])

        return self.node("If", [self.constant(np.array(self.chance(0.5)))], shape, then_branch=branch("Identity"),
                         else_branch=branch("Neg"))

    def build(self):
        """The model, and the shape of its input "x"."""
        rank = self.pick([2, 3, 4, 4, 4, 4, 5])
        shape = [self.pick([1, 2]), self.pick([1, 2, 3, 4, 6])] + [int(d) for d in self.random.randint(2, 6, rank - 2)]
        current = ("x", shape)
        self.values.append(current)
        steps = ([self.convolution] * 5 + [self.batch_norm] * 7 +
                 [self.transposed_convolution, self.matmul, self.gemm, self.transpose, self.reshape, self.activation,
                  self.with_another, self.shuffle_channels] * 2 +
                 [self.flatten, self.pool, self.with_constant, self.concat, self.pad, self.cut, self.axes_of_one,
                  self.condition])
        for _ in range(int(self.random.randint(4, 14))):
            current = self.pick(self.values) if self.chance(0.12) else current
            current = self.pick(steps)(current)
            if np.prod(current[1]) > MOST_ELEMENTS:
                break
        read = {name for node in self.nodes for name in node.input}
        outputs = [value for value in self.values[1:] if value[0] not in read or self.chance(0.06)]
        if not outputs:
            outputs = [self.node("Identity", ["x"], shape)]
        declared = self.chance(0.3)

        def info(value):
            return helper.make_tensor_value_info(value[0], FLOAT, value[1])

        inner = [info(value) for value in self.values[1:] if declared and value not in outputs]
        graph = helper.make_graph(self.nodes, "random", [info(("x", shape))], [info(value) for value in outputs],
                                  self.initializers, value_info=inner)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8), shape


def random_model(seed):
    return RandomGraph(seed).build()
