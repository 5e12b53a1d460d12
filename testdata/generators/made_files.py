"""Darknet, Caffe, MXNet and TensorFlow.js files, written here from the published facts of the formats.

Makes testdata/{darknet,caffe,mxnet,tfjs}/. None of these frameworks runs: NumPy computes a small net whose batch
norms have made-up statistics, and this script encodes it as each framework would. OpenCV's own readers of Darknet
and Caffe files are the check where OpenCV is installed (CHECK_OPENCV=1): they compute the same outputs.
"""

import json
import os
import shutil
import struct

import numpy as np

import expected
import paths

EPSILON = 1e-5


def conv(x, kernel, pad=0, stride=1):
    """NCHW convolution in float64; kernel (out, in, kh, kw)."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    size = kernel.shape[2]
    height, width = ((d - size) // stride + 1 for d in x.shape[2:])
    out = np.zeros((x.shape[0], kernel.shape[0], height, width))
    for i in range(size):
        for j in range(size):
            part = x[:, :, i:i + stride * height:stride, j:j + stride * width:stride]
            out += np.einsum("nchw,oc->nohw", part, kernel[:, :, i, j].astype(np.float64))
    return out


def norm(x, gamma, beta, mean, variance, epsilon=EPSILON):
    """Batch norm at inference over axis 1."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    gamma, beta, mean, variance = (v.astype(np.float64).reshape(shape) for v in (gamma, beta, mean, variance))
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


class Values:
    """Seeded float32 values."""

    def __init__(self, seed):
        self._random = np.random.RandomState(seed)

    def kernel(self, *shape):
        return (self._random.randn(*shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def vector(self, size, low, high):
        return self._random.uniform(low, high, size).astype(np.float32)

    def statistics(self, size):
        """gamma, beta, mean, variance."""
        return (self.vector(size, 0.5, 1.5), self.vector(size, -0.5, 0.5), self.vector(size, -1, 1),
                self.vector(size, 0.3, 3))


def write_expected(path, tensors):
    """What a reader must find: name -> array."""
    expected.write(f"{path}.expected.json", "NumPy, by the script that wrote the file",
                   [expected.describe(name, tensors[name]) for name in sorted(tensors)])


# Darknet

CFG = """[net]
# made by generators/made_files.py
batch=1
subdivisions=1
width=8
height=8
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=linear

[convolutional]
filters=6
size=1
stride=1
activation=relu

[shortcut]
from=-2
activation=linear

[route]
layers=-1, 1

[convolutional]
filters=5
size=1
stride=1
activation=linear
"""


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def darknet_net(values):
    """The layers of CFG: index -> name -> array, in the order of the file."""
    def with_norm(kernel):
        gamma, beta, mean, variance = values.statistics(kernel.shape[0])
        return {"biases": beta, "scales": gamma, "rolling_mean": mean, "rolling_variance": variance, "weights": kernel}

    def plain(kernel):
        return {"biases": values.vector(kernel.shape[0], -0.5, 0.5), "weights": kernel}

    return {0: with_norm(values.kernel(4, 3, 3, 3)), 1: with_norm(values.kernel(6, 4, 3, 3)),
            2: plain(values.kernel(6, 6, 1, 1)), 5: plain(values.kernel(5, 12, 1, 1))}


def darknet_output(net, x):
    def block(index, x, pad, stride=1):
        layer = net[index]
        y = conv(x, layer["weights"], pad, stride)
        if "scales" in layer:
            return norm(y, layer["scales"], layer["biases"], layer["rolling_mean"], layer["rolling_variance"])
        return y + layer["biases"].reshape(1, -1, 1, 1)
    zero = leaky(block(0, x, 1))
    one = block(1, zero, 1, 2)
    two = np.maximum(block(2, one, 0), 0)
    three = two + one
    return block(5, np.concatenate([three, one], 1), 0)


def darknet(folder):
    values = Values(1)
    net = darknet_net(values)
    names = {f"{index:03}_convolutional/{name}": array for index, layer in net.items() for name, array in layer.items()}
    numbers = b"".join(array.tobytes() for array in names.values())
    (folder / "small.cfg").write_text(CFG)
    (folder / "small.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 64000) + numbers)
    (folder / "old.cfg").write_text(CFG)
    (folder / "old.weights").write_bytes(struct.pack("<iiii", 0, 1, 0, 64000) + numbers)
    first = sum(array.nbytes for array in net[0].values()) + sum(array.nbytes for array in net[1].values())
    (folder / "partial.cfg").write_text(CFG)
    (folder / "partial.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 0, 0) + numbers[:first])
    write_expected(folder / "small.weights", names)
    x = values.kernel(2, 3, 8, 8)
    np.savez(folder / "small.npz", input=x, output=darknet_output(net, x))

    # A batch norm that stands alone: the forks differ in its arrays.
    lone = "[net]\nchannels=3\nheight=4\nwidth=4\n[batchnorm]\n[connected]\noutput=2\nactivation=linear\nbatch_normalize=1\n"
    gamma, beta, mean, variance = values.statistics(3)
    dense = values.kernel(2, 48)
    scales, biases, rolling_mean, rolling_variance = values.statistics(2)
    behind = [biases, dense, scales, rolling_mean, rolling_variance]
    for fork, arrays in (("pjreddie", [gamma, mean, variance]), ("alexeyab", [beta, gamma, mean, variance])):
        (folder / f"lone_{fork}.cfg").write_text(lone)
        (folder / f"lone_{fork}.weights").write_bytes(
            struct.pack("<iiiQ", 0, 2, 0, 0) + b"".join(a.tobytes() for a in arrays + behind))
        listed = {"000_batchnorm/scales": gamma, "000_batchnorm/rolling_mean": mean,
                  "000_batchnorm/rolling_variance": variance, "001_connected/biases": biases,
                  "001_connected/weights": dense, "001_connected/scales": scales,
                  "001_connected/rolling_mean": rolling_mean, "001_connected/rolling_variance": rolling_variance}
        if fork == "alexeyab":
            listed["000_batchnorm/biases"] = beta
        write_expected(folder / f"lone_{fork}.weights", listed)

    # Never trained: Darknet's statistics begin at 0, not at 1.
    untrained = {name: np.zeros_like(a) if "rolling" in name else a for name, a in names.items()}
    (folder / "untrained.cfg").write_text(CFG)
    (folder / "untrained.weights").write_bytes(
        struct.pack("<iiiQ", 0, 2, 0, 0) + b"".join(a.tobytes() for a in untrained.values()))
    return x, folder / "small.npz"


# Protocol buffers, as far as Caffe's messages need them

def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """A length-delimited, varint or float field by the type of `value`."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def blob(array, legacy=False, double=False):
    """BlobProto."""
    array = np.asarray(array, np.float64 if double else np.float32)
    data = field(8 if double else 5, array.tobytes())
    if legacy:
        dims = (1,) * (4 - array.ndim) + array.shape
        return b"".join(field(i + 1, int(d)) for i, d in enumerate(dims)) + data
    return data + field(7, field(1, b"".join(varint(d) for d in array.shape)))


def layer(name, kind, bottoms, tops, blobs=(), params=b"", **blob_options):
    """LayerParameter."""
    message = field(1, name) + field(2, kind)
    message += b"".join(field(3, b) for b in bottoms) + b"".join(field(4, t) for t in tops)
    return field(100, message + b"".join(field(7, blob(b, **blob_options)) for b in blobs) + params)


def caffe_net(values, factor=999.0, double=False):
    """conv, BatchNorm + Scale in place, ReLU, conv, BatchNorm + Scale, dense; the tensors a reader must find."""
    k1, k2, fc = values.kernel(4, 3, 3, 3), values.kernel(6, 4, 3, 3), values.kernel(3, 6 * 4 * 4)
    b2, fc_bias = values.vector(6, -1, 1), values.vector(3, -1, 1)
    one, two = values.statistics(4), values.statistics(6)
    wide = np.float64 if double else np.float32
    inverse = wide(0) if factor == 0 else wide(1 / np.float64(factor))
    tensors = {"conv1/weight": k1, "conv2/weight": k2, "conv2/bias": b2, "fc/weight": fc, "fc/bias": fc_bias}
    stored = {}
    for name, (gamma, beta, mean, variance) in (("bn1", one), ("bn2", two)):
        mean, variance = ((v.astype(wide) * wide(factor or 1)) for v in (mean, variance))
        stored[name] = [mean, variance, np.array([factor])]
        tensors.update({f"{name}/gamma": gamma, f"{name}/beta": beta, f"{name}/mean": mean * inverse,
                        f"{name}/variance": variance * inverse})
    if double:
        tensors = {name: np.asarray(array, np.float64) for name, array in tensors.items()}
    options = {"double": double}
    net = field(1, "made") + layer("data", "Input", [], ["data"], params=field(143, field(1, field(1, b"\1\3\10\10"))))
    net += layer("conv1", "Convolution", ["data"], ["conv1"], [k1],
                 field(106, field(1, 4) + field(2, 0) + field(3, 1) + field(4, 3)), **options)
    net += layer("bn1", "BatchNorm", ["conv1"], ["conv1"], stored["bn1"], field(139, field(1, 1) + field(3, EPSILON)),
                 **options)
    net += layer("scale1", "Scale", ["conv1"], ["conv1"], [one[0], one[1]], field(142, field(4, 1)), **options)
    net += layer("relu1", "ReLU", ["conv1"], ["conv1"])
    net += layer("conv2", "Convolution", ["conv1"], ["conv2"], [k2, b2],
                 field(106, field(1, 6) + field(3, 1) + field(4, 3) + field(6, 2)), **options)
    net += layer("bn2", "BatchNorm", ["conv2"], ["bn2"], stored["bn2"], **options)
    net += layer("scale2", "Scale", ["bn2"], ["scale2"], [two[0], two[1]], field(142, field(4, 1)), **options)
    net += layer("fc", "InnerProduct", ["scale2"], ["fc"], [fc, fc_bias], field(117, field(1, 3)), **options)
    return net, tensors


PROTOTXT = """name: "made"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 bias_term: false pad: 1 kernel_size: 3 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { use_global_stats: true eps: 1e-5 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 6 pad: 1 kernel_size: 3 stride: 2 } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "bn2" }
layer { name: "scale2" type: "Scale" bottom: "bn2" top: "scale2" scale_param { bias_term: true } }
layer { name: "fc" type: "InnerProduct" bottom: "scale2" top: "fc" inner_product_param { num_output: 3 } }
"""


def caffe_output(t, x):
    y = norm(conv(x, t["conv1/weight"], 1), *(t[f"bn1/{n}"] for n in ("gamma", "beta", "mean", "variance")))
    y = conv(np.maximum(y, 0), t["conv2/weight"], 1, 2) + t["conv2/bias"].reshape(1, -1, 1, 1)
    y = norm(y, *(t[f"bn2/{n}"] for n in ("gamma", "beta", "mean", "variance")))
    return y.reshape(len(x), -1) @ t["fc/weight"].T.astype(np.float64) + t["fc/bias"]


def caffe(folder):
    net, tensors = caffe_net(Values(2))
    (folder / "small.caffemodel").write_bytes(net)
    (folder / "small.prototxt").write_text(PROTOTXT)
    write_expected(folder / "small.caffemodel", tensors)
    x = Values(3).kernel(2, 3, 8, 8)
    np.savez(folder / "small.npz", input=x, output=caffe_output(tensors, x))
    for name, options in (("double", {"double": True}), ("untrained", {"factor": 0.0})):
        net, tensors = caffe_net(Values(2), **options)
        (folder / f"{name}.caffemodel").write_bytes(net)
        write_expected(folder / f"{name}.caffemodel", tensors)
    # The old form: V1LayerParameter, shapes of four dimensions.
    values = Values(4)
    kernel, bias, dense = values.kernel(4, 3, 3, 3), values.vector(4, -1, 1), values.kernel(2, 4)
    v1 = field(1, "old") + field(3, "data")
    for name, number, bottom, blobs in (("conv", 4, "data", [kernel, bias]), ("relu", 18, "conv", []),
                                        ("fc", 14, "conv", [dense])):
        v1 += field(2, field(2, bottom) + field(3, name) + field(4, name) + field(5, number) +
                    b"".join(field(6, blob(b, legacy=True)) for b in blobs))
    (folder / "v1.caffemodel").write_bytes(v1)
    write_expected(folder / "v1.caffemodel", {"conv/weight": kernel, "conv/bias": bias, "fc/weight": dense})
    return x, folder / "small.npz"


# TensorFlow.js: the config of a Keras 2 model in JSON, weights cut across small files

def tfjs_config():
    """A functional model: conv, batch norm, ReLU, dense."""
    def keras_layer(kind, name, config, inbound):
        return {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **config},
                "name": name, "inbound_nodes": [[[inbound, 0, 0, {}]]] if inbound else []}
    layers = [
        keras_layer("InputLayer", "input", {"batch_input_shape": [None, 8, 8, 3], "sparse": False}, None),
        keras_layer("Conv2D", "conv", {"filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid",
                                       "data_format": "channels_last", "dilation_rate": [1, 1], "activation": "linear",
                                       "use_bias": False}, "input"),
        keras_layer("BatchNormalization", "bn", {"axis": -1, "momentum": 0.99, "epsilon": 0.001, "center": True,
                                                 "scale": True}, "conv"),
        keras_layer("Activation", "relu", {"activation": "relu"}, "bn"),
        keras_layer("GlobalAveragePooling2D", "pool", {"data_format": "channels_last"}, "relu"),
        keras_layer("Dense", "dense", {"units": 2, "activation": "linear", "use_bias": True}, "pool")]
    return {"class_name": "Model", "config": {"name": "made", "layers": layers, "input_layers": [["input", 0, 0]],
                                              "output_layers": [["dense", 0, 0]]}}


def tfjs_save(folder, name, weights, quantized=None, shard=150):
    """model.json and its weights in files of `shard` bytes; the values a reader must find."""
    quantized = quantized or {}
    entries, data, tensors = [], b"", {}
    for weight, array in weights.items():
        entry = {"name": weight, "shape": list(array.shape), "dtype": array.dtype.name}
        kind = quantized.get(weight)
        if kind == "float16":
            stored = array.astype(np.float16)
            entry["quantization"] = {"dtype": kind, "original_dtype": "float32"}
            array = stored.astype(np.float32)
        elif kind:
            low, levels = float(array.min()), np.iinfo(kind).max
            scale = (float(array.max()) - low) / levels
            stored = np.round((array.astype(np.float64) - low) / scale).astype(kind)
            entry["quantization"] = {"dtype": kind, "min": low, "scale": scale, "original_dtype": "float32"}
            array = (stored.astype(np.float64) * scale + low).astype(array.dtype)
        else:
            stored = array
        entries.append(entry)
        data += stored.tobytes()
        tensors[weight] = array
    names = []
    for i in range(0, len(data), shard):
        names.append(f"group1-shard{i // shard + 1}of{-(-len(data) // shard)}.bin")
        (folder / names[-1]).write_bytes(data[i:i + shard])
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": tfjs_config()}
    model = {"format": "layers-model", "generatedBy": "keras v2.15.0", "convertedBy": None, "modelTopology": topology,
             "weightsManifest": [{"paths": names, "weights": entries}]}
    (folder / name).write_text(json.dumps(model))
    write_expected(folder / name, tensors)


def tfjs(folder):
    values = Values(7)
    gamma, beta, mean, variance = values.statistics(4)
    weights = {"conv/kernel": values.kernel(3, 3, 3, 4), "bn/gamma": gamma, "bn/beta": beta,
               "bn/moving_mean": mean, "bn/moving_variance": variance, "dense/kernel": values.kernel(4, 2),
               "dense/bias": values.vector(2, -1, 1)}
    for name in ("float32", "quantized"):
        (folder / name).mkdir()
    tfjs_save(folder / "float32", "model.json", weights)
    tfjs_save(folder / "quantized", "model.json", weights,
              {"conv/kernel": "uint8", "dense/kernel": "uint16", "bn/gamma": "float16"})


# MXNet

def ndarray(array, version=2):
    """One array of a list; version 0 is the form before there was a magic number."""
    types = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
    head = {0: b"", 1: struct.pack("<I", 0xF993FAC8), 2: struct.pack("<Ii", 0xF993FAC9, 0),
            3: struct.pack("<Ii", 0xF993FACA, 0)}[version]
    shape = struct.pack("<i", array.ndim) + struct.pack(f"<{array.ndim}{'I' if version == 0 else 'q'}", *array.shape)
    return head + shape + struct.pack("<iii", 1, 0, types[array.dtype.name]) + array.tobytes()


def write_params(path, tensors, version=2):
    names = b"".join(struct.pack("<Q", len(n)) + n.encode() for n in tensors)
    arrays = b"".join(ndarray(a, version) for a in tensors.values())
    path.write_bytes(struct.pack("<QQQ", 0x112, 0, len(tensors)) + arrays + struct.pack("<Q", len(tensors)) + names)


def mxnet_symbol(fix_gamma):
    """conv, batch norm, ReLU, conv with bias, batch norm."""
    nodes = []

    def add(op, name, inputs=(), **attrs):
        nodes.append({"op": op, "name": name, "inputs": [[i, 0, 0] for i in inputs],
                      **({"attrs": {k: str(v) for k, v in attrs.items()}} if attrs else {})})
        return len(nodes) - 1

    x = add("null", "data")
    x = add("Convolution", "conv0", [x, add("null", "conv0_weight")], kernel="(3, 3)", num_filter=4, no_bias="True",
            pad="(1, 1)")
    x = add("BatchNorm", "bn0", [x] + [add("null", f"bn0_{n}") for n in ("gamma", "beta", "moving_mean", "moving_var")],
            eps="2e-05", momentum="0.9", fix_gamma=fix_gamma)
    x = add("Activation", "relu0", [x], act_type="relu")
    x = add("Convolution", "conv1", [x, add("null", "conv1_weight"), add("null", "conv1_bias")], kernel="(1, 1)",
            num_filter=6)
    x = add("BatchNorm", "bn1", [x] + [add("null", f"bn1_{n}") for n in ("gamma", "beta", "moving_mean", "moving_var")],
            eps="2e-05", fix_gamma="False")
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[x, 0, 0]],
                       "attrs": {"mxnet_version": ["int", 10901]}})


def mxnet(folder):
    values = Values(11)
    tensors = {"arg:conv0_weight": values.kernel(4, 3, 3, 3), "arg:conv1_weight": values.kernel(6, 4, 1, 1),
               "arg:conv1_bias": values.vector(6, -1, 1)}
    for name, size in (("bn0", 4), ("bn1", 6)):
        gamma, beta, mean, variance = values.statistics(size)
        tensors.update({f"arg:{name}_gamma": gamma, f"arg:{name}_beta": beta, f"aux:{name}_moving_mean": mean,
                        f"aux:{name}_moving_var": variance})
    for name, fix_gamma in (("net", "False"), ("fixed", "True")):
        write_params(folder / f"{name}-0010.params", tensors)
        (folder / f"{name}-symbol.json").write_text(mxnet_symbol(fix_gamma))
        listed = {n.split(":")[1]: a for n, a in tensors.items()}
        if fix_gamma == "True":
            listed["bn0_gamma"] = np.ones(4, np.float32)
        write_expected(folder / f"{name}-0010.params", listed)
    for version in (0, 1, 3):
        write_params(folder / f"version{version}.params", tensors, version)
    kinds = {f"t_{d}": np.arange(6).reshape(2, 3).astype(d) for d in
             ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")}
    write_params(folder / "dtypes.params", kinds)
    write_expected(folder / "dtypes.params", kinds)
    x = values.kernel(2, 3, 8, 8)
    y = norm(conv(x, tensors["arg:conv0_weight"], 1), *(tensors[n] for n in (
        "arg:bn0_gamma", "arg:bn0_beta", "aux:bn0_moving_mean", "aux:bn0_moving_var")), 2e-5)
    y = conv(np.maximum(y, 0), tensors["arg:conv1_weight"]) + tensors["arg:conv1_bias"].reshape(1, -1, 1, 1)
    y = norm(y, *(tensors[n] for n in ("arg:bn1_gamma", "arg:bn1_beta", "aux:bn1_moving_mean", "aux:bn1_moving_var")),
             2e-5)
    np.savez(folder / "net.npz", input=x, output=y)


def check_with_opencv(net, reference):
    """OpenCV's reader of the same file computes what NumPy did."""
    stored = np.load(reference)
    net.setInput(stored["input"])
    found = net.forward()
    worst = np.abs(found - stored["output"]).max() / np.abs(stored["output"]).max()
    print("OpenCV agrees to", worst)
    assert worst < 1e-5


def main():
    made = {}
    for make in (darknet, caffe, tfjs, mxnet):
        folder = paths.folder(make.__name__)
        shutil.rmtree(folder)
        made[make.__name__] = make(paths.folder(make.__name__))
        print(make.__name__)
    if os.environ.get("CHECK_OPENCV"):
        import cv2
        root = paths.testdata()
        check_with_opencv(cv2.dnn.readNetFromDarknet(str(root / "darknet/small.cfg"), str(root / "darknet/small.weights")),
                          root / "darknet/small.npz")
        check_with_opencv(cv2.dnn.readNetFromCaffe(str(root / "caffe/small.prototxt"),
                                                   str(root / "caffe/small.caffemodel")), root / "caffe/small.npz")


if __name__ == "__main__":
    main()
