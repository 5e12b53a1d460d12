"""Single ONNX nodes with drawn sizes and attributes: what a shape rule has to get right.

A case is (operator, inputs, attributes, number of outputs). An input is an array that the graph reads, a Stored array
(an initializer, such as the target of a Reshape), or None for one that is left out.
"""

import numpy as np


class Stored:
    def __init__(self, array):
        self.array = np.asarray(array)


def integers(*values):
    return Stored(np.array(values, np.int64))


class Draw:
    def __init__(self, seed):
        self.random = np.random.RandomState(seed)

    def size(self, low=1, high=7):
        return int(self.random.randint(low, high + 1))

    def sizes(self, rank, low=1, high=7):
        return [self.size(low, high) for _ in range(rank)]

    def pick(self, values):
        return values[self.random.randint(len(values))]

    def chance(self, probability=0.5):
        return self.random.rand() < probability

    def floats(self, *shape):
        return self.random.uniform(0.1, 1, shape).astype(np.float32)

    def axis(self, rank):
        return int(self.random.randint(-rank, rank))

    def some_axes(self, rank):
        count = self.random.randint(1, rank + 1)
        axes = self.random.permutation(rank)[:count]
        return [int(a) - rank if self.chance() else int(a) for a in axes]

    def broadcast(self, shape):
        """A shape that broadcasts with it: sizes of 1 here and there, leading axes gone."""
        mixed = [1 if self.chance(0.3) else d for d in shape]
        return mixed[self.random.randint(len(shape)):] if self.chance(0.4) else mixed

    def window(self, spatial):
        """strides, dilations and padding of a window that fits the data, and its sizes."""
        kernel = [self.size(1, 3) for _ in range(spatial)]
        attributes = {"kernel_shape": kernel}
        if self.chance(0.7):
            attributes["strides"] = self.sizes(spatial, 1, 3)
        if self.chance(0.5):
            attributes["dilations"] = self.sizes(spatial, 1, 2)
        how = self.pick(["none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
        if how == "pads":
            attributes["pads"] = [int(self.random.randint(0, k)) for k in kernel + kernel]
        elif how != "none":
            attributes["auto_pad"] = how
        return attributes

    def convolution(self):
        spatial, groups = self.size(1, 3), self.size(1, 3)
        per_group, out = self.size(1, 3), groups * self.size(1, 3)
        attributes = self.window(spatial) | {"group": groups}
        data = self.floats(self.size(1, 2), groups * per_group, *self.sizes(spatial, 6, 11))
        kernel = self.floats(out, per_group, *attributes["kernel_shape"])
        return "Conv", [data, Stored(kernel)], attributes, 1

    def transposed_convolution(self):
        spatial, groups = self.size(1, 2), self.size(1, 2)
        attributes = self.window(spatial) | {"group": groups}
        strides = attributes.setdefault("strides", [1] * spatial)
        if "auto_pad" not in attributes and self.chance(0.4):
            attributes["output_padding"] = [int(self.random.randint(0, s)) for s in strides]
        data = self.floats(1, groups * 2, *self.sizes(spatial, 4, 8))
        return "ConvTranspose", [data, Stored(self.floats(groups * 2, 3, *attributes["kernel_shape"]))], attributes, 1

    def pool(self):
        spatial, operator = self.size(1, 3), self.pick(["MaxPool", "AveragePool", "LpPool"])
        attributes = self.window(spatial)
        if self.chance() and "auto_pad" not in attributes:
            attributes["ceil_mode"] = 1
        return operator, [self.floats(1, 2, *self.sizes(spatial, 6, 12))], attributes, 1

    def global_pool(self):
        return (self.pick(["GlobalMaxPool", "GlobalAveragePool"]), [self.floats(*self.sizes(self.size(3, 5)))], {}, 1)

    def product(self):
        rows, inner, columns, batch = self.size(), self.size(), self.size(), self.sizes(self.size(0, 2))
        left = self.floats(inner) if self.chance(0.2) else self.floats(*batch, rows, inner)
        right = self.floats(inner) if self.chance(0.2) else self.floats(*(self.broadcast(batch) if batch else []), inner,
                                                                       columns)
        return "MatMul", [left, right], {}, 1

    def gemm(self):
        rows, inner, columns, a, b = self.size(), self.size(), self.size(), int(self.chance()), int(self.chance())
        left = self.floats(*((inner, rows) if a else (rows, inner)))
        right = self.floats(*((columns, inner) if b else (inner, columns)))
        return "Gemm", [left, right, self.floats(columns)], {"transA": a, "transB": b}, 1

    def einsum(self):
        b, i, j, k = self.sizes(4)
        equation, shapes = self.pick([("bij,bjk->bik", [(b, i, j), (b, j, k)]), ("ij->ji", [(i, j)]), ("bij->b", [(b, i, j)]),
                                      ("bij,kj->bki", [(b, i, j), (k, j)]), ("i,j->ij", [(i,), (j,)]), ("ij,ij->", [(i, j)] * 2)])
        return "Einsum", [self.floats(*shape) for shape in shapes], {"equation": equation}, 1

    def normalization(self):
        shape = self.sizes(self.size(3, 5), 2, 6)
        shape[1] = 4
        data, per_channel = self.floats(*shape), [Stored(self.floats(4)) for _ in range(4)]
        axis = self.size(1, len(shape) - 1)
        return self.pick([("BatchNormalization", [data, *per_channel], {}, 1), ("InstanceNormalization", [data, *per_channel[:2]], {}, 1),
                          ("LayerNormalization", [data, Stored(self.floats(*shape[axis:]))], {"axis": axis}, 1),
                          ("GroupNormalization", [data, *per_channel[:2]], {"num_groups": 2}, 1), ("LRN", [data], {"size": 3}, 1)])

    def unary(self):
        operator = self.pick(["Relu", "Sigmoid", "Clip", "Exp", "Not", "Erf", "IsNaN", "HardSwish", "Gelu", "Round", "Softplus"])
        data = self.floats(*self.sizes(self.size(0, 5)))
        return operator, [data > 0.5 if operator == "Not" else data], {}, 1

    def binary(self):
        shape = self.sizes(self.size(1, 4))
        operator = self.pick(["Add", "Mul", "Pow", "Less", "Max", "Mean", "Equal", "PRelu"])
        pair = [self.floats(*shape), self.floats(*self.broadcast(shape))]
        return operator, pair if operator == "PRelu" or self.chance() else pair[::-1], {}, 1

    def select(self):
        shape = self.sizes(self.size(1, 4))
        return "Where", [self.floats(*self.broadcast(shape)) > 0.5, self.floats(*shape), self.floats(*self.broadcast(shape))], {}, 1

    def reduction(self):
        operator, rank, attributes = self.pick(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"]), self.size(1, 4), {}
        if self.chance(0.6):
            attributes["keepdims"] = int(self.chance())
        inputs = [self.floats(*self.sizes(rank))]
        if self.chance(0.8):
            inputs.append(integers(*self.some_axes(rank)))
        elif self.chance():
            attributes["noop_with_empty_axes"] = 1
        return operator, inputs, attributes, 1

    def extreme(self):
        rank = self.size(1, 4)
        return (self.pick(["ArgMax", "ArgMin"]), [self.floats(*self.sizes(rank))],
                {"axis": self.axis(rank), "keepdims": int(self.chance())}, 1)

    def along_an_axis(self):
        rank = self.size(1, 4)
        data = self.floats(*self.sizes(rank))
        if self.chance():
            return "CumSum", [data, Stored(np.int64(self.axis(rank)))], {}, 1
        return self.pick(["Softmax", "LogSoftmax"]), [data], {"axis": self.axis(rank)}, 1

    def reshape(self):
        shape = self.sizes(self.size(1, 4), 1, 5)
        factors = [d for d in shape if d > 1] or [1]
        self.random.shuffle(factors)
        cut = self.random.randint(len(factors) + 1)
        target = [int(np.prod(factors[:cut])), int(np.prod(factors[cut:]))]
        if self.chance():
            target[self.random.randint(2)] = -1
        if self.chance(0.2):
            return "Reshape", [self.floats(*shape), integers(0, -1)], {}, 1
        return "Reshape", [self.floats(*shape), integers(*target)], {}, 1

    def axes(self):
        rank = self.size(1, 4)
        shape = self.sizes(rank)
        which = self.pick(["Flatten", "Unsqueeze", "Squeeze", "Transpose"])
        if which == "Flatten":
            return which, [self.floats(*shape)], {"axis": int(self.random.randint(-rank, rank + 1))}, 1
        if which == "Transpose":
            return which, [self.floats(*shape)], {"perm": [int(a) for a in self.random.permutation(rank)]} if self.chance() else {}, 1
        if which == "Unsqueeze":
            return which, [self.floats(*shape), integers(*self.pick([[0], [-1], [0, 2], [1, -1]]))], {}, 1
        dropped = sorted({a % rank for a in self.some_axes(rank)})
        for axis in dropped:
            shape[axis] = 1
        named = [integers(*[a - rank if self.chance() else a for a in dropped])]
        return which, [self.floats(*shape), *named], {}, 1

    def concatenation(self):
        shape = self.sizes(self.size(1, 4))
        axis = self.random.randint(len(shape))
        parts = []
        for _ in range(self.size(1, 3)):
            shape[axis] = self.size()
            parts.append(self.floats(*shape))
        return "Concat", parts, {"axis": int(axis) - (len(shape) if self.chance() else 0)}, 1

    def split(self):
        shape = self.sizes(self.size(1, 3), 4, 9)
        axis = self.axis(len(shape))
        if self.chance():
            return "Split", [self.floats(*shape)], {"axis": axis, "num_outputs": 3}, 3
        first = self.size(1, 3)
        return "Split", [self.floats(*shape), integers(first, shape[axis] - first)], {"axis": axis}, 2

    def slice(self):
        shape = self.sizes(self.size(1, 4), 1, 9)
        axes = sorted({a % len(shape) for a in self.some_axes(len(shape))})
        steps = [self.pick([1, 2, 3, -1, -2]) for _ in axes]
        ends = [self.pick([-1, 0, 4, 100]) if s > 0 else self.pick([0, 1, -100]) for s in steps]
        starts = [self.pick([0, 1, -3, 2]) if s > 0 else self.pick([-1, 5, 100]) for s in steps]
        return "Slice", [self.floats(*shape), integers(*starts), integers(*ends), integers(*axes), integers(*steps)], {}, 1

    def pad(self):
        rank, mode = self.size(1, 4), self.pick(["constant", "reflect", "edge"])
        pads = [int(self.random.randint(-1 if mode == "constant" else 0, 3)) for _ in range(2 * rank)]
        return "Pad", [self.floats(*self.sizes(rank, 4, 7)), integers(*pads)], {"mode": mode}, 1

    def resize(self):
        shape = [1, 2, *self.sizes(2, 3, 7)]
        if self.chance():
            scales = [1, 1, self.pick([2.0, 1.5, 0.5, 1.7]), self.pick([1.0, 2.0, 0.6])]
            return "Resize", [self.floats(*shape), None, Stored(np.array(scales, np.float32))], {"mode": self.pick(["nearest", "linear"])}, 1
        return "Resize", [self.floats(*shape), None, None, integers(1, 2, *self.sizes(2))], {"mode": "nearest"}, 1

    def gather(self):
        shape, which = self.sizes(self.size(2, 3), 2, 6), self.pick(["Gather", "GatherElements", "GatherND"])
        data = self.floats(*shape)
        if which == "GatherND":
            batch = int(self.chance())
            depth = self.size(1, len(shape) - batch)
            leading = [shape[0]] if batch else []
            return which, [data, Stored(np.zeros([*leading, *self.sizes(self.size(0, 2)), depth], np.int64))], {"batch_dims": batch}, 1
        axis = self.axis(len(shape))
        if which == "GatherElements":
            return which, [data, Stored(np.zeros([self.size(1, d) for d in shape], np.int64))], {"axis": axis}, 1
        return which, [data, Stored(np.zeros(self.sizes(self.size(0, 3)), np.int64))], {"axis": axis}, 1

    def scatter(self):
        shape = self.sizes(self.size(2, 3), 2, 6)
        leading = self.sizes(self.size(1, 2))
        return "ScatterND", [self.floats(*shape), Stored(np.zeros([*leading, 1], np.int64)), self.floats(*leading, *shape[1:])], {}, 1

    def one_hot(self):
        rank = self.size(1, 3)
        inputs = [Stored(np.zeros(self.sizes(rank), np.int64)), Stored(np.int64(self.size())), Stored(np.array([0, 1], np.float32))]
        return "OneHot", inputs, {"axis": int(self.random.randint(-rank - 1, rank + 1))}, 1

    def made_up(self):
        shape = self.sizes(self.size(1, 4))
        start, step = self.size(-3, 3), self.pick([1, 2, 3, -1, -2])
        limit = start + step * self.size(0, 5) - (1 if self.chance() else 0)
        repeats = self.sizes(len(shape), 1, 3)
        wider = [self.size() if d == 1 else d for d in shape]
        return self.pick([("Shape", [self.floats(*shape)], {}, 1), ("Shape", [self.floats(*shape)], {"start": self.axis(len(shape))}, 1),
                          ("ConstantOfShape", [integers(*shape)], {}, 1),
                          ("Range", [Stored(np.int64(v)) for v in (start, limit, step)], {}, 1), ("Cast", [self.floats(*shape)], {"to": 7}, 1),
                          ("Tile", [self.floats(*shape), integers(*repeats)], {}, 1),
                          ("Expand", [self.floats(*shape), integers(*self.sizes(self.size(0, 1)), *wider)], {}, 1)])

    def depth(self):
        block, (rows, columns, depth) = self.size(1, 3), self.sizes(3, 1, 3)
        if self.chance():
            return "SpaceToDepth", [self.floats(1, depth, rows * block, columns * block)], {"blocksize": block}, 1
        return "DepthToSpace", [self.floats(2, depth * block * block, rows, columns)], {"blocksize": block, "mode": self.pick(["DCR", "CRD"])}, 1

    def recurrent(self):
        operator, gates = self.pick([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
        steps, batch, inputs, hidden, both = self.size(), self.size(), self.size(), self.size(), int(self.chance())
        attributes = {"hidden_size": hidden, "direction": "bidirectional" if both else self.pick(["forward", "reverse"])}
        weights = [Stored(self.floats(1 + both, gates * hidden, n)) for n in (inputs, hidden)]
        return operator, [self.floats(steps, batch, inputs), *weights], attributes, 3 if operator == "LSTM" else 2

    def quantized(self):
        shape = self.sizes(self.size(1, 4))
        scale, zero = Stored(np.float32(0.1)), Stored(np.uint8(3))
        if self.chance():
            return "QuantizeLinear", [self.floats(*shape), scale, zero], {}, 1
        return "DequantizeLinear", [(self.floats(*shape) * 100).astype(np.uint8), scale, zero], {}, 1


KINDS = [name for name in vars(Draw) if not name.startswith("_") and
         name not in ("size", "sizes", "pick", "chance", "floats", "axis", "some_axes", "broadcast", "window")]
