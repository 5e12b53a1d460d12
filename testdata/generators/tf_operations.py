"""Every operation that the translator of TensorFlow's graphs knows, with the values that TensorFlow computes.

    tf_operations.py [FOLDER]

Makes testdata/tf_operations/FAMILY/ (or below FOLDER): `saved_model.pb`, a graph of many small cases side by side, and
`values.npz` with `in/INPUT`, `out/OUTPUT` (the signature's keys) and `shape/OPERATION`, the shape of the first result of
every operation that is no constant. Sizes are odd, strides and windows uneven. Float64 wherever TensorFlow has a
kernel for it; TensorFlow 2.15.1.
"""

import inspect
import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
raw = tf.raw_ops
TARGET = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent / "tf_operations"
F32, F64, I32, I64 = np.float32, np.float64, np.int32, np.int64


class Family:
    """A graph whose inputs and outputs are named as they are made."""

    def __init__(self, name):
        self.name, self.graph = name, tf.Graph()
        self.random = np.random.default_rng(sum(name.encode()))
        self.inputs, self.values, self.outputs = {}, {}, {}

    def __enter__(self):
        self.context = self.graph.as_default()
        self.context.__enter__()
        return self

    def x(self, *shape, dtype=F64, low=-2.0, high=2.0, values=None, unknown=()):
        """An input; the sizes of the axes `unknown` are left open in the graph."""
        key = f"x{len(self.inputs)}"
        if values is None:
            values = self.random.uniform(low, high, shape)
            if dtype in (I32, I64):
                values = self.random.integers(int(low), int(high), shape)
        values = np.asarray(values, dtype)
        known = [None if axis in unknown else size for axis, size in enumerate(values.shape)]
        self.inputs[key] = tf1.placeholder(dtype, known, name=key)
        self.values[key] = values
        return self.inputs[key]

    def weights(self, *shape, dtype=F64, low=-1.0, high=1.0):
        return tf.constant(self.random.uniform(low, high, shape).astype(dtype))

    def out(self, name, tensor):
        """One output, or several of one operation."""
        if isinstance(tensor, (list, tuple)):
            for index, part in enumerate(tensor):
                self.out(f"{name}_{index}", part)
        else:
            assert name not in self.outputs, name
            self.outputs[name] = tensor

    def __exit__(self, kind, *_):
        self.context.__exit__(kind, *_)
        if kind is None:
            self.save()

    def save(self):
        folder = TARGET / self.name
        shutil.rmtree(folder, ignore_errors=True)
        feed = {self.inputs[key]: value for key, value in self.values.items()}
        config = tf1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf1.Session(graph=self.graph, config=config) as session:
            operations = [op for op in self.graph.get_operations() if op.type != "Const" and op.outputs]
            computed, firsts = session.run([self.outputs, {op.name: op.outputs[0] for op in operations}], feed)
            tf1.saved_model.simple_save(session, str(folder), self.inputs, self.outputs)
        shutil.rmtree(folder / "variables", ignore_errors=True)
        (folder / "fingerprint.pb").unlink(missing_ok=True)
        arrays = {f"in/{key}": value for key, value in self.values.items()}
        arrays |= {f"out/{key}": np.asarray(value) for key, value in computed.items()}
        arrays |= {f"shape/{name}": np.array(np.shape(value), I64) for name, value in firsts.items()}
        for key, value in computed.items():
            assert np.asarray(value).dtype.kind != "f" or np.isfinite(value).all(), (self.name, key)
        np.savez_compressed(folder / "values.npz", **arrays)
        print(f"{self.name}: {len(self.outputs)} outputs, {len(operations)} operations")


def convolutions():
    with Family("convolutions") as f:
        conv = lambda x, k, strides, padding, **more: raw.Conv2D(input=x, filter=k, strides=strides, padding=padding, **more)
        f.out("valid", conv(f.x(2, 7, 6, 3), f.weights(3, 2, 3, 4), [1, 1, 1, 1], "VALID"))
        f.out("same_stride", conv(f.x(2, 7, 6, 3), f.weights(3, 3, 3, 4), [1, 2, 2, 1], "SAME"))
        f.out("same_even_kernel", conv(f.x(2, 8, 5, 3), f.weights(4, 2, 3, 4), [1, 3, 2, 1], "SAME"))
        f.out("stride_above_kernel", conv(f.x(1, 9, 8, 2), f.weights(1, 2, 2, 3), [1, 2, 3, 1], "SAME"))
        f.out("dilated", conv(f.x(1, 9, 10, 2), f.weights(3, 2, 2, 3), [1, 1, 1, 1], "SAME", dilations=[1, 2, 3, 1]))
        f.out("explicit", conv(f.x(1, 6, 5, 2), f.weights(3, 3, 2, 3), [1, 2, 1, 1], "EXPLICIT",
                               explicit_paddings=[0, 0, 1, 2, 0, 3, 0, 0]))
        f.out("open_batch", conv(f.x(3, 7, 6, 3, unknown=(0,)), f.weights(3, 3, 3, 4), [1, 2, 2, 1], "SAME"))
        f.out("open_sizes", conv(f.x(3, 7, 6, 3, unknown=(0, 1, 2)), f.weights(3, 3, 3, 4), [1, 2, 2, 1], "SAME"))
        f.out("grouped", conv(f.x(2, 6, 5, 4, dtype=F32), f.weights(3, 3, 2, 6, dtype=F32), [1, 1, 1, 1], "SAME"))
        f.out("computed_kernel", conv(f.x(1, 5, 5, 2), f.x(2, 2, 2, 3), [1, 1, 1, 1], "VALID"))

        depthwise = lambda x, k, strides, padding, **more: raw.DepthwiseConv2dNative(
            input=x, filter=k, strides=strides, padding=padding, **more)
        f.out("depthwise", depthwise(f.x(2, 7, 6, 3), f.weights(3, 2, 3, 1), [1, 1, 1, 1], "SAME"))
        f.out("depthwise_multiplier", depthwise(f.x(2, 7, 8, 3), f.weights(3, 3, 3, 2), [1, 2, 2, 1], "SAME"))
        f.out("depthwise_valid", depthwise(f.x(1, 7, 8, 3), f.weights(3, 4, 3, 2), [1, 2, 2, 1], "VALID"))

        f.out("volume_valid", raw.Conv3D(input=f.x(1, 4, 5, 6, 2), filter=f.weights(2, 3, 2, 2, 3),
                                         strides=[1, 1, 1, 1, 1], padding="VALID"))
        f.out("volume_same", raw.Conv3D(input=f.x(1, 5, 4, 7, 2), filter=f.weights(3, 2, 3, 2, 3),
                                        strides=[1, 2, 1, 2, 1], padding="SAME"))

        back = lambda sizes, k, x, strides, padding, **more: raw.Conv2DBackpropInput(
            input_sizes=sizes, filter=k, out_backprop=x, strides=strides, padding=padding, **more)
        f.out("back_same", back([2, 7, 8, 3], f.weights(3, 3, 3, 4), f.x(2, 4, 4, 4), [1, 2, 2, 1], "SAME"))
        f.out("back_same_even", back([2, 8, 6, 3], f.weights(4, 2, 3, 4), f.x(2, 4, 3, 4), [1, 2, 2, 1], "SAME"))
        f.out("back_small_kernel", back([1, 7, 9, 2], f.weights(2, 1, 2, 3), f.x(1, 3, 3, 3), [1, 3, 3, 1], "SAME"))
        f.out("back_valid", back([1, 9, 8, 2], f.weights(3, 2, 2, 3), f.x(1, 4, 4, 3), [1, 2, 2, 1], "VALID"))
        f.out("back_valid_longer", back([1, 10, 9, 2], f.weights(3, 2, 2, 3), f.x(1, 4, 4, 3), [1, 2, 2, 1], "VALID"))
        f.out("back_explicit", back([1, 6, 7, 2], f.weights(3, 3, 2, 3), f.x(1, 4, 4, 3), [1, 2, 2, 1], "EXPLICIT",
                                    explicit_paddings=[0, 0, 1, 2, 1, 1, 0, 0]))
        x = f.x(2, 4, 5, 4, unknown=(0,))
        size = raw.Shape(input=x)
        batch, height, width = (raw.StridedSlice(input=size, begin=[i], end=[i + 1], strides=[1], shrink_axis_mask=1)
                                for i in range(3))
        sizes = raw.Pack(values=[batch, height * 2, width * 2, tf.constant(3)])
        f.out("back_computed_sizes", back(sizes, f.weights(3, 3, 3, 4), x, [1, 2, 2, 1], "SAME"))
        f.out("volume_back", raw.Conv3DBackpropInputV2(
            input_sizes=[1, 5, 6, 7, 2], filter=f.weights(3, 2, 3, 2, 3), out_backprop=f.x(1, 3, 3, 4, 3),
            strides=[1, 2, 2, 2, 1], padding="SAME"))


def pools():
    with Family("pools") as f:
        for name, op in (("max", raw.MaxPool), ("average", raw.AvgPool)):
            pool = lambda x, ksize, strides, padding: (
                op(input=x, ksize=ksize, strides=strides, padding=padding) if name == "max" else
                op(value=x, ksize=ksize, strides=strides, padding=padding))
            f.out(f"{name}_valid", pool(f.x(2, 7, 8, 3), [1, 2, 3, 1], [1, 2, 1, 1], "VALID"))
            f.out(f"{name}_same", pool(f.x(2, 7, 8, 3), [1, 3, 2, 1], [1, 2, 3, 1], "SAME"))
            f.out(f"{name}_negative", pool(f.x(1, 5, 5, 2, low=-3, high=-1), [1, 3, 3, 1], [1, 2, 2, 1], "SAME"))
            f.out(f"{name}_open", pool(f.x(2, 7, 8, 3, unknown=(0, 2)), [1, 2, 2, 1], [1, 2, 2, 1], "SAME"))
        f.out("max_explicit", raw.MaxPool(input=f.x(1, 6, 5, 2, low=-3, high=-1), ksize=[1, 3, 2, 1], strides=[1, 2, 2, 1],
                                          padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 1, 0, 0, 0]))
        f.out("max_v2", raw.MaxPoolV2(input=f.x(1, 6, 5, 2), ksize=[1, 2, 3, 1], strides=[1, 2, 1, 1], padding="SAME"))
        f.out("max_volume", raw.MaxPool3D(input=f.x(1, 5, 6, 7, 2, dtype=F32), ksize=[1, 2, 3, 2, 1], strides=[1, 2, 2, 1, 1],
                                          padding="SAME"))
        f.out("average_volume", raw.AvgPool3D(input=f.x(1, 5, 6, 7, 2, dtype=F32), ksize=[1, 2, 3, 2, 1], strides=[1, 2, 2, 1, 1],
                                              padding="SAME"))
        f.out("max_with_places", raw.MaxPoolWithArgmax(input=f.x(1, 5, 6, 2), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1],
                                                       padding="SAME")[0])


def normalizations():
    with Family("normalizations") as f:
        vectors = lambda n: [f.weights(n, dtype=F32), f.weights(n, dtype=F32), f.weights(n, dtype=F32),
                             f.weights(n, dtype=F32, low=0.1, high=2.0)]
        for version, op in enumerate((raw.FusedBatchNorm, raw.FusedBatchNormV2, raw.FusedBatchNormV3), 1):
            scale, offset, mean, variance = vectors(3)
            y = op(x=f.x(2, 3, 4, 3, dtype=F32), scale=scale, offset=offset, mean=mean, variance=variance,
                   epsilon=0.001 * version, is_training=False)
            f.out(f"fused_v{version}", y[0])
        f.out("fused_mean", y[1])
        scale, offset, mean, variance = vectors(3)
        f.out("fused_volume", raw.FusedBatchNormV3(
            x=f.x(1, 2, 3, 4, 3, dtype=F32), scale=scale, offset=offset, mean=mean, variance=variance,
            data_format="NDHWC", is_training=False)[0])
        f.out("lrn", raw.LRN(input=f.x(2, 3, 2, 7, dtype=F32), depth_radius=2, bias=1.5, alpha=0.3, beta=0.6))
        f.out("lrn_defaults", raw.LRN(input=f.x(1, 2, 2, 5, dtype=F32)))
        f.out("softmax", raw.Softmax(logits=f.x(3, 5)))
        f.out("softmax_rank_3", raw.Softmax(logits=f.x(2, 3, 4)))
        f.out("log_softmax", raw.LogSoftmax(logits=f.x(3, 5)))


def products():
    with Family("products") as f:
        f.out("matmul", raw.MatMul(a=f.x(3, 4), b=f.weights(4, 5)))
        f.out("matmul_a", raw.MatMul(a=f.x(4, 3), b=f.weights(4, 5), transpose_a=True))
        f.out("matmul_b", raw.MatMul(a=f.x(3, 4, unknown=(0,)), b=f.weights(5, 4), transpose_b=True))
        f.out("sparse", raw.SparseMatMul(a=f.x(3, 4, dtype=F32), b=f.weights(4, 5, dtype=F32), a_is_sparse=True))
        f.out("batches", raw.BatchMatMul(x=f.x(2, 3, 4), y=f.x(2, 4, 5)))
        f.out("batches_adjoint", raw.BatchMatMul(x=f.x(2, 4, 3), y=f.x(2, 5, 4), adj_x=True, adj_y=True))
        f.out("batches_broadcast", raw.BatchMatMulV2(x=f.x(2, 1, 3, 4), y=f.weights(6, 4, 5)))
        f.out("batches_adjoint_v2", raw.BatchMatMulV2(x=f.x(2, 3, 4), y=f.weights(2, 5, 4), adj_y=True))
        f.out("batches_v3", raw.BatchMatMulV3(x=f.x(2, 3, 4), y=f.weights(2, 4, 5), Tout=F64))
        f.out("einsum", raw.Einsum(inputs=[f.x(2, 3, 4), f.weights(4, 5)], equation="bij,jk->bik"))
        f.out("einsum_heads", raw.Einsum(inputs=[f.x(2, 3, 4), f.weights(4, 2, 3)], equation="abc,cde->abde"))
        f.out("einsum_ellipsis", raw.Einsum(inputs=[f.x(2, 3, 4), f.x(2, 4, 5)], equation="...ij,...jk->...ik"))
        f.out("einsum_transpose", raw.Einsum(inputs=[f.x(2, 3)], equation="ij->ji"))
        f.out("bias", raw.BiasAdd(value=f.x(2, 3, 4, 5), bias=f.weights(5)))
        f.out("bias_first", raw.BiasAdd(value=f.x(2, 5, 3, 4), bias=f.weights(5), data_format="NCHW"))
        f.out("bias_first_rank_3", raw.BiasAdd(value=f.x(2, 5, 3), bias=f.x(5), data_format="NCHW"))
        f.out("bias_v1", raw.BiasAddV1(value=f.x(2, 5), bias=f.weights(5)))


def unary():
    with Family("unary") as f:
        whole = np.array([-3, -2.5, -1.7, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 1.5, 2.5, 7.3])
        real = ["Abs", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Erfc", "Exp", "Expm1", "Floor", "Neg", "Rint", "Round",
                "Sigmoid", "Sign", "Sin", "Sinh", "Square", "Tan", "Tanh", "Asinh", "Identity", "StopGradient",
                "PreventGradient", "Snapshot", "IsFinite", "IsInf", "IsNan", "OnesLike", "ZerosLike"]
        for name in real:
            op = getattr(raw, name)
            f.out(name, op(**{next(iter(inspect.signature(op).parameters)): f.x(values=whole)}))
        for name in ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu"):
            f.out(name, getattr(raw, name)(features=f.x(values=whole)))
        f.out("LeakyRelu_alpha", raw.LeakyRelu(features=f.x(values=whole), alpha=0.05))
        for name in ("Inv", "Reciprocal", "Log", "Log1p", "Rsqrt", "Sqrt"):
            f.out(name, getattr(raw, name)(x=f.x(4, 3, low=0.1, high=5)))
        for name, low, high in (("Acos", -1, 1), ("Asin", -1, 1), ("Atanh", -0.9, 0.9), ("Acosh", 1, 4)):
            f.out(name, getattr(raw, name)(x=f.x(4, 3, low=low, high=high)))
        f.out("LogicalNot", raw.LogicalNot(x=raw.Less(x=f.x(5), y=f.weights(5))))
        f.out("CheckNumerics", raw.CheckNumerics(tensor=f.x(3, 2), message="checked"))
        f.out("EnsureShape", raw.EnsureShape(input=f.x(3, 2), shape=[None, 2]))
        f.out("IdentityN", raw.IdentityN(input=[f.x(3), f.x(2, 2)]))
        f.out("PlaceholderWithDefault", tf1.placeholder_with_default(tf.constant([1.5, -2.5]), [2]) * 2)
        f.out("Cast_integer", raw.Cast(x=f.x(values=whole), DstT=I32))
        f.out("Cast_boolean", raw.Cast(x=f.x(values=whole), DstT=tf.bool))
        f.out("Cast_real", raw.Cast(x=f.x(6, dtype=I32, low=-9, high=9), DstT=F64))


def binary():
    with Family("binary") as f:
        real = ["Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Maximum", "Minimum", "SquaredDifference", "FloorDiv",
                "FloorMod", "Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"]
        for name in real:
            f.out(name, getattr(raw, name)(x=f.x(2, 3, 4), y=f.weights(4, low=0.3)))
        f.out("broadcast", raw.AddV2(x=f.x(2, 1, 4), y=f.x(3, 1)))
        f.out("open_broadcast", raw.Mul(x=f.x(2, 3, 4, unknown=(0,)), y=f.x(1, 4)))
        f.out("Atan2", raw.Atan2(y=f.x(5), x=f.x(5)))
        f.out("Pow", raw.Pow(x=f.x(2, 3, low=0.1, high=3), y=f.weights(3)))
        f.out("Pow_negative", raw.Pow(x=f.x(2, 3), y=tf.constant(3.0, F64)))
        integers = np.array([-7, -6, -5, 0, 5, 6, 7])
        for name in ("Div", "FloorDiv", "FloorMod", "TruncateDiv", "TruncateMod", "Mod", "Mul", "Sub", "Maximum", "Equal"):
            f.out(name + "_integers", getattr(raw, name)(x=f.x(values=integers, dtype=I32),
                                                         y=tf.constant([3, -3, 2, 4, -3, -4, 7], I32)))
        zeros = np.array([0, 1, 0, -2.5])
        f.out("DivNoNan", raw.DivNoNan(x=f.x(values=[3, 4, 0, 5]), y=f.x(values=zeros)))
        f.out("MulNoNan", raw.MulNoNan(x=f.x(values=[3, 4, 0, 5]), y=f.x(values=zeros)))
        f.out("Xdivy", raw.Xdivy(x=f.x(values=zeros), y=f.x(values=[0, 2, 3, 4])))
        f.out("Xlogy", raw.Xlogy(x=f.x(values=zeros), y=f.x(values=[0, 2, 3, 4])))
        f.out("AddN", raw.AddN(inputs=[f.x(2, 3), f.x(2, 3), f.x(2, 3)]))
        f.out("AddN_one", raw.AddN(inputs=[f.x(2, 3)]))
        less = lambda *shape: raw.Less(x=f.x(*shape), y=tf.constant(0.0, F64))
        f.out("LogicalAnd", raw.LogicalAnd(x=less(9), y=less(9)))
        f.out("LogicalOr", raw.LogicalOr(x=less(9), y=less(9)))
        f.out("Select", raw.Select(condition=less(3, 4), x=f.x(3, 4), y=f.x(3, 4)))
        f.out("Select_rows", raw.Select(condition=less(3), x=f.x(3, 4), y=f.x(3, 4)))
        f.out("Select_square", raw.Select(condition=less(4), x=f.x(4, 4), y=f.x(4, 4)))
        f.out("Select_scalar", raw.Select(condition=less(), x=f.x(3, 4), y=f.x(3, 4)))
        f.out("SelectV2", raw.SelectV2(condition=less(4), t=f.x(4, 4), e=f.x(1, 4)))
        f.out("ClipByValue", raw.ClipByValue(t=f.x(3, 4), clip_value_min=tf.constant(-0.5, F64),
                                             clip_value_max=tf.constant(0.75, F64)))
        f.out("ClipByValue_tensors", raw.ClipByValue(t=f.x(3, 4), clip_value_min=f.x(3, 4, low=-2, high=-1),
                                                     clip_value_max=f.x(3, 4, low=0, high=1)))


def reductions():
    with Family("reductions") as f:
        for name in ("Mean", "Sum", "Max", "Min", "Prod", "EuclideanNorm"):
            op = getattr(raw, name)
            f.out(name, op(input=f.x(2, 3, 4, 5), axis=[1, 2]))
            f.out(name + "_kept", op(input=f.x(2, 3, 4), axis=[-1], keep_dims=True))
            f.out(name + "_all", op(input=f.x(2, 3), axis=[0, 1]))
            f.out(name + "_scalar_axis", op(input=f.x(2, 3), axis=tf.constant(0)))
            if name != "EuclideanNorm":
                f.out(name + "_none", op(input=f.x(2, 3), axis=np.zeros([0], I32)))
        rank = raw.Rank(input=f.x(2, 3, 4))
        x = f.x(2, 3, 4)
        f.out("Sum_all_by_rank", raw.Sum(input=x, axis=raw.Range(start=0, limit=rank, delta=1)))
        less = raw.Less(x=f.x(4, 3), y=tf.constant(0.5, F64))
        f.out("All", raw.All(input=less, axis=[1]))
        f.out("Any", raw.Any(input=less, axis=[0], keep_dims=True))
        f.out("L2Loss", raw.L2Loss(t=f.x(2, 3)))
        f.out("ArgMax", raw.ArgMax(input=f.x(3, 5), dimension=1))
        f.out("ArgMax_first", raw.ArgMax(input=f.x(values=[[1, 3, 3], [2, 2, 1]]), dimension=-1, output_type=I32))
        f.out("ArgMin", raw.ArgMin(input=f.x(3, 5), dimension=0))
        for exclusive in (False, True):
            for reverse in (False, True):
                f.out(f"Cumsum_{exclusive}_{reverse}", raw.Cumsum(x=f.x(2, 4, 3), axis=1, exclusive=exclusive,
                                                                  reverse=reverse))


def shapes():
    with Family("shapes") as f:
        f.out("Shape", raw.Shape(input=f.x(2, 3, 4, unknown=(0,))))
        f.out("Shape_known", raw.Shape(input=f.x(2, 3, 4), out_type=I64))
        f.out("ShapeN", raw.ShapeN(input=[f.x(2, 3, unknown=(0,)), f.x(4, unknown=(0,))]))
        f.out("Size", raw.Size(input=f.x(2, 3, 4, unknown=(1,))))
        f.out("Rank", raw.Rank(input=f.x(2, 3, 4)))
        f.out("Reshape", raw.Reshape(tensor=f.x(2, 3, 4), shape=[4, 6]))
        f.out("Reshape_rest", raw.Reshape(tensor=f.x(2, 3, 4, unknown=(0,)), shape=[-1, 12]))
        f.out("Reshape_scalar", raw.Reshape(tensor=f.x(1, 1), shape=np.zeros([0], I32)))
        x = f.x(2, 3, 4, unknown=(0,))
        batch = raw.StridedSlice(input=raw.Shape(input=x), begin=[0], end=[1], strides=[1], shrink_axis_mask=1)
        f.out("Reshape_computed", raw.Reshape(tensor=x, shape=raw.Pack(values=[batch, 4, 3])))
        rest = raw.Prod(input=raw.StridedSlice(input=raw.Shape(input=x), begin=[1], end=[0], strides=[1], end_mask=1), axis=[0])
        f.out("Reshape_flat", raw.Reshape(tensor=x, shape=raw.Pack(values=[batch, rest])))
        f.out("Fill", raw.Fill(dims=[2, 3], value=tf.constant(1.5, F64)))
        f.out("Fill_computed", raw.Fill(dims=raw.Pack(values=[batch, 3]), value=raw.Sum(input=f.x(3), axis=[0])))
        f.out("Range", raw.Range(start=0, limit=batch, delta=1))
        f.out("Range_known", raw.Range(start=2, limit=11, delta=3))
        f.out("Range_down", raw.Range(start=9, limit=0, delta=-2))
        f.out("BroadcastTo", raw.BroadcastTo(input=f.x(3, 1), shape=[2, 3, 4]))
        f.out("BroadcastTo_computed", raw.BroadcastTo(input=f.x(1, 3), shape=raw.Pack(values=[batch, 3])))
        f.out("Tile", raw.Tile(input=f.x(2, 3), multiples=[2, 3]))
        f.out("Tile_computed", raw.Tile(input=f.x(1, 3), multiples=raw.Pack(values=[batch, 2])))


def axes():
    with Family("axes") as f:
        for axis in (0, 1, -1, -2):
            f.out(f"ExpandDims_{axis}", raw.ExpandDims(input=f.x(2, 3), axis=axis))
        f.out("Squeeze", raw.Squeeze(input=f.x(2, 1, 3, 1)))
        f.out("Squeeze_axes", raw.Squeeze(input=f.x(1, 1, 3, 1), axis=[1, -1]))
        f.out("Transpose", raw.Transpose(x=f.x(2, 3, 4), perm=[2, 0, 1]))
        f.out("Transpose_images", raw.Transpose(x=f.x(2, 3, 4, 5, unknown=(0,)), perm=[0, 3, 1, 2]))
        f.out("ConcatV2", raw.ConcatV2(values=[f.x(2, 3), f.x(2, 1), f.x(2, 2)], axis=1))
        f.out("ConcatV2_last", raw.ConcatV2(values=[f.x(2, 3, 1), f.x(2, 3, 2)], axis=-1))
        f.out("Concat", raw.Concat(concat_dim=0, values=[f.x(2, 3), f.x(1, 3)]))
        for axis in (0, 1, -1):
            f.out(f"Pack_{axis}", raw.Pack(values=[f.x(2, 3), f.x(2, 3)], axis=axis))
        f.out("Unpack", raw.Unpack(value=f.x(3, 2), num=3))
        f.out("Unpack_last", raw.Unpack(value=f.x(3, 2), num=2, axis=-1))
        f.out("Split", raw.Split(axis=1, value=f.x(2, 6), num_split=3))
        f.out("SplitV", raw.SplitV(value=f.x(2, 6), size_splits=[1, 3, 2], axis=1, num_split=3))
        f.out("SplitV_rest", raw.SplitV(value=f.x(7, 2), size_splits=[2, -1], axis=0, num_split=2))
        f.out("DepthToSpace", raw.DepthToSpace(input=f.x(2, 2, 3, 12), block_size=2))
        f.out("SpaceToDepth", raw.SpaceToDepth(input=f.x(2, 4, 6, 3), block_size=2))
        f.out("SpaceToDepth_3", raw.SpaceToDepth(input=f.x(1, 6, 3, 2), block_size=3))


def slices():
    with Family("slices") as f:
        f.out("Slice", raw.Slice(input=f.x(4, 5, 6), begin=[1, 0, 2], size=[2, 5, 3]))
        f.out("Slice_rest", raw.Slice(input=f.x(4, 5), begin=[1, 2], size=[-1, 2]))
        x = f.x(4, 5, unknown=(0,))
        f.out("Slice_computed", raw.Slice(input=x, begin=raw.Pack(values=[f.x(values=1, dtype=I32), 1]),
                                          size=raw.Pack(values=[f.x(values=2, dtype=I32), tf.constant(-1)])))
        take = lambda x, begin, end, strides=None, **masks: raw.StridedSlice(
            input=x, begin=begin, end=end, strides=strides or [1] * (len(begin) if isinstance(begin, list) else 1), **masks)
        f.out("plain", take(f.x(4, 5), [1, 0], [3, 4]))
        f.out("negative", take(f.x(6, 5), [-3, -4], [-1, -1]))
        f.out("beyond", take(f.x(4, 5), [1, -9], [9, 9]))
        f.out("steps", take(f.x(7, 8), [0, 1], [7, 8], [2, 3]))
        f.out("backward", take(f.x(7, 8), [5, -1], [1, 0], [-2, -1]))
        f.out("backward_all", take(f.x(7, 4), [0, 0], [0, 0], [-1, 1], begin_mask=3, end_mask=3))
        f.out("begin_mask", take(f.x(4, 5), [2, 2], [3, 4], begin_mask=1))
        f.out("end_mask", take(f.x(4, 5), [2, 2], [3, 4], end_mask=2))
        f.out("shrink", take(f.x(4, 5), [2, 0], [3, 5], shrink_axis_mask=1))
        f.out("shrink_last", take(f.x(4, 5), [-1, 1], [0, 5], shrink_axis_mask=1))
        f.out("shrink_all", take(f.x(4, 5), [1, -2], [2, -1], shrink_axis_mask=3))
        f.out("new_axis", take(f.x(4, 5), [1, 0, 1], [3, 0, 4], new_axis_mask=2))
        f.out("new_axes_shrink", take(f.x(4, 5, 6), [0, 1, 0, 2], [0, 2, 0, 5], new_axis_mask=5, shrink_axis_mask=2))
        f.out("ellipsis", take(f.x(2, 3, 4, 5), [1, 0, 2], [2, 0, 4], ellipsis_mask=2))
        f.out("ellipsis_shrink", take(f.x(2, 3, 4, 5), [0, 2], [0, 3], ellipsis_mask=1, shrink_axis_mask=2))
        f.out("ellipsis_new", take(f.x(2, 3, 4), [0, 0], [0, 0], ellipsis_mask=1, new_axis_mask=2))
        f.out("ellipsis_empty", take(f.x(4, 5), [1, 0, 2], [3, 0, 4], ellipsis_mask=2))
        f.out("fewer", take(f.x(4, 5, 6), [1], [3]))
        at = f.x(values=[2], dtype=I32)
        f.out("computed_begin", take(f.x(6, 5), at, [5]))
        f.out("computed_end", take(f.x(6, 5), [0], at, begin_mask=1))
        f.out("computed_shrink", take(f.x(6, 5), at, at + 1, shrink_axis_mask=1))
        last = f.x(values=[-1], dtype=I32)
        f.out("computed_shrink_last", take(f.x(6, 5), last, last + 1, shrink_axis_mask=1))
        f.out("ReverseV2", raw.ReverseV2(tensor=f.x(3, 4, 5), axis=[0, -1]))


def paddings():
    with Family("paddings") as f:
        f.out("Pad", raw.Pad(input=f.x(2, 3, 4), paddings=[[0, 0], [1, 2], [0, 3]]))
        f.out("PadV2", raw.PadV2(input=f.x(2, 3), paddings=[[1, 0], [2, 1]], constant_values=tf.constant(-1.5, F64)))
        f.out("PadV2_computed", raw.PadV2(input=f.x(2, 3), paddings=[[1, 0], [2, 1]],
                                          constant_values=raw.Sum(input=f.x(2), axis=[0])))
        f.out("Pad_computed", raw.Pad(input=f.x(2, 3), paddings=f.x(values=[[1, 0], [2, 1]], dtype=I32)))
        f.out("reflect", raw.MirrorPad(input=f.x(2, 4, 5), paddings=[[0, 0], [3, 1], [2, 4]], mode="REFLECT"))
        f.out("symmetric", raw.MirrorPad(input=f.x(2, 4, 5), paddings=[[0, 1], [4, 1], [2, 5]], mode="SYMMETRIC"))
        f.out("to_batch", raw.SpaceToBatchND(input=f.x(2, 4, 5, 3), block_shape=[2, 3], paddings=[[1, 1], [0, 1]]))
        f.out("to_batch_one", raw.SpaceToBatchND(input=f.x(2, 6, 3), block_shape=[3], paddings=[[1, 2]]))
        f.out("to_space", raw.BatchToSpaceND(input=f.x(12, 3, 2, 3), block_shape=[2, 3], crops=[[1, 1], [0, 1]]))
        f.out("to_batch_both", raw.SpaceToBatch(input=f.x(1, 4, 5, 2), paddings=[[0, 0], [1, 0]], block_size=2))
        f.out("to_space_both", raw.BatchToSpace(input=f.x(4, 2, 3, 2), crops=[[0, 1], [1, 0]], block_size=2))
        x = f.x(1, 9, 8, 2)
        apart = raw.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[2, 3], [2, 2]])
        conv = raw.Conv2D(input=apart, filter=f.weights(3, 3, 2, 3), strides=[1, 1, 1, 1], padding="VALID")
        f.out("dilated", raw.BatchToSpaceND(input=conv, block_shape=[2, 2], crops=[[0, 1], [0, 0]]))


def resizing():
    with Family("resizing") as f:
        for name, op in (("nearest", raw.ResizeNearestNeighbor), ("linear", raw.ResizeBilinear), ("cubic", raw.ResizeBicubic)):
            rules = [("", {}), ("_corners", {"align_corners": True}), ("_half", {"half_pixel_centers": True})]
            for rule, flags in rules:
                up = [9, 16] if rule != "_corners" else [9, 13]
                if name == "cubic":
                    up = [8, 16] if rule != "_corners" else [9, 13]
                x = f.x(2, 3 if name != "cubic" or rule == "_corners" else 4, 4, 2)
                f.out(f"{name}{rule}_up", op(images=x, size=up, **flags))
                if name != "cubic":
                    f.out(f"{name}{rule}_down", op(images=f.x(1, 8, 9, 2), size=[3, 4], **flags))
                    f.out(f"{name}{rule}_one", op(images=f.x(1, 5, 4, 2), size=[1, 7], **flags))
                else:
                    height = 8 if rule != "_corners" else 9
                    f.out(f"{name}{rule}_down", op(images=f.x(1, height, 16, 2), size=[height // 2 - 1, 4] if height == 9
                                                   else [4, 4], **flags))
        x = f.x(2, 3, 4, 2, unknown=(0, 1, 2))
        size = raw.StridedSlice(input=raw.Shape(input=x), begin=[1], end=[3], strides=[1]) * tf.constant([2, 2])
        f.out("nearest_twice", raw.ResizeNearestNeighbor(images=x, size=size, half_pixel_centers=True))
        f.out("linear_twice", raw.ResizeBilinear(images=x, size=size, half_pixel_centers=True))


def gathers():
    with Family("gathers") as f:
        f.out("Gather", raw.Gather(params=f.weights(5, 3), indices=f.x(4, dtype=I32, low=0, high=5)))
        f.out("GatherV2", raw.GatherV2(params=f.weights(4, 5, 3), indices=f.x(2, 2, dtype=I64, low=0, high=5), axis=1))
        f.out("GatherV2_last", raw.GatherV2(params=f.x(4, 5), indices=[2, 0, 4], axis=-1))
        f.out("GatherV2_batches", raw.GatherV2(params=f.x(3, 5, 2), indices=f.x(3, 4, dtype=I32, low=0, high=5), axis=1,
                                               batch_dims=1))
        f.out("GatherNd", raw.GatherNd(params=f.x(3, 4, 2), indices=[[0, 1], [2, 3], [1, 1]]))
        f.out("ScatterNd", raw.ScatterNd(indices=[[1], [3], [1]], updates=f.x(3, 2), shape=[5, 2]))
        f.out("ScatterUpdate", raw.TensorScatterUpdate(tensor=f.x(4, 2), indices=[[1], [3]], updates=f.x(2, 2)))
        f.out("ScatterAdd", raw.TensorScatterAdd(tensor=f.x(4, 2), indices=[[1], [1]], updates=f.x(2, 2)))
        hot = lambda axis: raw.OneHot(indices=f.x(values=[0, 3, -1, 4], dtype=I32), depth=4, on_value=tf.constant(2.0, F64),
                                      off_value=tf.constant(-1.0, F64), axis=axis)
        f.out("OneHot", hot(-1))
        f.out("OneHot_first", hot(0))
        f.out("OneHot_computed", raw.OneHot(indices=f.x(values=[0, 1], dtype=I32), depth=3,
                                            on_value=raw.Sum(input=f.x(2), axis=[0]),
                                            off_value=raw.Sum(input=f.x(2), axis=[0])))


def quantization():
    with Family("quantization") as f:
        # No place half way between two steps: there the last bit of float32 decides.
        x = lambda: f.x(129, dtype=F32, low=-8, high=8)
        f.out("arguments", raw.FakeQuantWithMinMaxArgs(inputs=x()))
        f.out("arguments_4", raw.FakeQuantWithMinMaxArgs(inputs=x(), min=-1.3, max=4.1, num_bits=4, narrow_range=True))
        f.out("vars", raw.FakeQuantWithMinMaxVars(inputs=x(), min=-2.7, max=5.3))
        f.out("vars_positive", raw.FakeQuantWithMinMaxVars(inputs=x(), min=0.0, max=6.0, narrow_range=True))
        f.out("vars_beside_zero", raw.FakeQuantWithMinMaxVars(inputs=x(), min=1.0, max=6.0))
        f.out("vars_empty", raw.FakeQuantWithMinMaxVars(inputs=x(), min=0.0, max=0.0))
        f.out("channels", raw.FakeQuantWithMinMaxVarsPerChannel(
            inputs=f.x(7, 3, dtype=F32, low=-8, high=8), min=tf.constant([-1.0, -3.3, 0.0]), max=tf.constant([2.0, 3.3, 5.0])))


def bands():
    with Family("bands") as f:
        band = lambda x, lower, upper: raw.MatrixBandPart(input=x, num_lower=I64(lower), num_upper=I64(upper))
        f.out("causal", band(f.x(2, 4, 5), -1, 0))
        f.out("narrow", band(f.x(5, 4), 1, 2))
        f.out("upper", band(f.x(4, 4), 0, -1))
        f.out("whole", band(f.x(3, 4), -1, -1))
        f.out("integers", band(f.x(4, 3, dtype=I32, low=1, high=9), 1, 0))
        x = f.x(2, 5, 3, unknown=(0,))
        length = raw.StridedSlice(input=raw.Shape(input=x), begin=[1], end=[2], strides=[1], shrink_axis_mask=1)
        ones = raw.Fill(dims=raw.Pack(values=[1, length, length]), value=tf.constant(True))
        mask = band(ones, -1, 0)  # as Keras makes the mask of a causal attention
        f.out("computed", raw.Mul(x=raw.BatchMatMulV2(x=x, y=x, adj_y=True), y=raw.Cast(x=mask, DstT=F64)))


for make in (convolutions, pools, normalizations, products, unary, binary, reductions, shapes, axes, slices, paddings,
             resizing, gathers, quantization, bands):
    make()
