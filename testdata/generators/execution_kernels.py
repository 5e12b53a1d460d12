"""What PyTorch and ONNX's reference evaluator compute in float64, operation by operation.

    python execution_kernels.py [--out FOLDER]        (requirements-torch-onnx.txt)
"""

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import paths

rng = np.random.default_rng(20261128)
arrays = {}


def random(*shape):
    return rng.standard_normal(shape)


def keep(case, y, **operands):
    arrays[case + "/y"] = np.asarray(y)
    for name, value in operands.items():
        arrays[case + "/" + name] = np.asarray(value)


def t(x):
    return torch.from_numpy(np.asarray(x))


def run_onnx(op, inputs, outputs=1, opset=19, **attributes):
    names = ["i%d" % k if x is not None else "" for k, x in enumerate(inputs)]
    made = ["o%d" % k for k in range(outputs)]
    node = helper.make_node(op, names, made, **attributes)
    kinds = {np.dtype("float64"): TensorProto.DOUBLE, np.dtype("int64"): TensorProto.INT64,
             np.dtype("float32"): TensorProto.FLOAT}
    ins = [helper.make_tensor_value_info(n, kinds[x.dtype], x.shape) for n, x in zip(names, inputs) if x is not None]
    outs = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in made]
    model = helper.make_model(helper.make_graph([node], "g", ins, outs),
                              opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(made, {n: x for n, x in zip(names, inputs) if x is not None})


x, w, b = random(2, 6, 9, 8), random(8, 3, 3, 2), random(8)
keep("conv_groups", F.conv2d(t(x), t(w), t(b), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2), x=x, w=w, b=b)
x, w = random(1, 3, 7, 8), random(4, 3, 3, 2)
for rule in ("SAME_UPPER", "SAME_LOWER"):
    keep("conv_" + rule.lower(), run_onnx("Conv", [x, w], auto_pad=rule, strides=[2, 3])[0], x=x, w=w)
x, w, b = random(2, 4, 5, 4), random(4, 3, 3, 2), random(6)
keep("conv_transpose", F.conv_transpose2d(t(x), t(w), t(b), stride=(3, 2), padding=(1, 0), output_padding=(2, 1),
                                          groups=2, dilation=(1, 2)), x=x, w=w, b=b)
x = random(1, 2, 9, 8)
keep("max_pool_ceil", F.max_pool2d(t(x), 3, stride=2, padding=1, dilation=2, ceil_mode=True), x=x)
keep("avg_pool_ceil", F.avg_pool2d(t(x), 3, stride=(2, 3), padding=1, ceil_mode=True, count_include_pad=False), x=x)
keep("avg_pool_counted", F.avg_pool2d(t(x), 3, stride=(2, 3), padding=1, ceil_mode=True, count_include_pad=True), x=x)

x = random(1, 2, 5, 7)
for mode in ("bilinear", "bicubic"):
    for corners in (False, True):
        keep("resize_%s_%d" % (mode, corners), F.interpolate(t(x), size=(8, 4), mode=mode, align_corners=corners), x=x)
for mode in ("bilinear", "bicubic"):
    keep("resize_%s_antialias" % mode, F.interpolate(t(x), size=(3, 4), mode=mode, antialias=True), x=x)
for place in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners", "half_pixel_symmetric"):
    for mode in ("nearest", "linear", "cubic"):
        # The evaluator counts corners with lengths that are not rounded down, so there they are given.
        size = [None, np.array([1, 2, 8, 4])] if place == "align_corners" else [np.array([1, 1, 1.7, 0.6], np.float32)]
        y = run_onnx("Resize", [x, None, *size], mode=mode,
                     coordinate_transformation_mode=place, nearest_mode="round_prefer_floor", cubic_coeff_a=-0.5,
                     exclude_outside=1 if mode == "cubic" else 0)[0]
        keep("resize_%s_%s" % (place, mode), y, x=x)

x, g, b = random(3, 6, 4, 5), random(6), random(6)
keep("group_norm", F.group_norm(t(x), 3, t(g), t(b), 1e-3), x=x, g=g, b=b)
keep("instance_norm", F.instance_norm(t(x), weight=t(g), bias=t(b), eps=1e-3), x=x, g=g, b=b)
keep("batch_norm_of_batch", F.batch_norm(t(x), None, None, t(g), t(b), True, eps=1e-3), x=x, g=g, b=b)
m, v = random(6), rng.random(6)
keep("batch_norm", F.batch_norm(t(x), t(m), t(v), t(g), t(b), False, eps=1e-3), x=x, g=g, b=b, m=m, v=v)
keep("local_response", F.local_response_norm(t(x), 5, alpha=0.4, beta=0.6, k=1.5), x=x)
g, b = random(4, 5), random(4, 5)
keep("layer_norm", F.layer_norm(t(x), (4, 5), t(g), t(b), 1e-3), x=x, g=g, b=b)
keep("rms_norm", F.rms_norm(t(x), (4, 5), t(g), 1e-3), x=x, g=g)

x = random(3, 4, 5)
keep("logsumexp", torch.logsumexp(t(x), (0, 2)), x=x)
keep("variance", torch.var(t(x), (1,), correction=0), x=x)
keep("log_softmax", F.log_softmax(t(x), 1), x=x)
keep("cumsum", np.flip(np.cumsum(np.flip(x, 1), 1), 1), x=x)
for mode in ("reflect", "symmetric", "edge", "wrap"):
    keep("pad_" + mode, np.pad(x, [(1, 2), (0, 3), (2, 0)], mode=mode), x=x)
keep("slice", x[::2, -1:0:-2, 1:-1], x=x)
a, c = random(2, 1, 3, 4), random(5, 4, 6)
keep("matmul", a @ c, x=a, w=c)
a, c = random(2, 3, 4), random(2, 5, 4)
keep("einsum_product", np.einsum("bij,bkj->bki", a, c), x=a, w=c)
d = random(4, 4)
keep("einsum_diagonal", np.einsum("bij,jj->i", a, d), x=a, w=d)

activations = np.concatenate([np.linspace(-6, 6, 25), [0.0]])
for name, function in {
    "elu": lambda v: F.elu(v, 0.7), "selu": F.selu, "celu": lambda v: F.celu(v, 0.7), "silu": F.silu,
    "mish": F.mish, "gelu": F.gelu, "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"),
    "hard_swish": F.hardswish, "hard_sigmoid": F.hardsigmoid, "softplus": F.softplus, "softsign": F.softsign,
    "log_sigmoid": F.logsigmoid, "sigmoid": torch.sigmoid, "leaky_relu": lambda v: F.leaky_relu(v, 0.2),
    "relu6": F.relu6, "hard_shrink": lambda v: F.hardshrink(v, 1.0), "round": torch.round, "erf": torch.erf,
}.items():
    keep("unary_" + name, function(t(activations)), x=activations)

torch.manual_seed(1)
x = random(3, 5, 4)
for name, make in {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}.items():
    layer = make(4, 6, batch_first=True).double()
    h, c = random(1, 3, 6), random(1, 3, 6)
    with torch.no_grad():
        if name == "lstm":
            y, (last, last_c) = layer(t(x), (t(h), t(c)))
            keep(name, y, last=last[0], cell=last_c[0])
        else:
            y, last = layer(t(x), t(h))
            keep(name, y, last=last[0])
    keep(name, y, x=x, h=h[0], c=c[0], **{k[: -len("_l0")]: p.detach() for k, p in layer.named_parameters()})

np.savez_compressed(paths.folder("execution") / "kernels.npz", **{k: np.ascontiguousarray(v, dtype=np.float64) for k, v in arrays.items()})
