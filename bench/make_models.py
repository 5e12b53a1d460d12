"""Makes the files of the benchmark: one network of 200 convolutions and batch norms in each format.

usage: make_models.py FOLDER tf|keras3|torch [BLOCKS]
       make_models.py FOLDER large [GIB]
  tf      a.h5, a.npz and the bundle a.ckpt; needs TensorFlow 2.15
  keras3  a.keras, a.onnx, a.safetensors and the sparse file, from a.npz; needs Keras 3, onnx, safetensors
  torch   a.pt, from a.npz; needs PyTorch
  large   large.safetensors of 8 GiB with the same names and layouts; needs NumPy
A second file of each, b.*, differs in one late kernel. 200 blocks are 473 MB, 454 are 1 GiB.
"""

import json
import os
import struct
import sys

import numpy as np

sys.setrecursionlimit(1 << 16)  # Keras walks a deep model layer by layer

BLOCKS, CHANNELS = 200, 256


def arrays(seed):
    """Name -> array, in the naming of tf.layers."""
    random = np.random.default_rng(seed)
    out = {}
    for i in range(BLOCKS):
        suffix = f"_{i}" if i else ""
        out[f"conv2d{suffix}/kernel"] = random.standard_normal((3, 3, CHANNELS, CHANNELS), np.float32) / 48
        out[f"conv2d{suffix}/bias"] = random.standard_normal(CHANNELS, np.float32) / 10
        norm = f"batch_normalization{suffix}"
        out[f"{norm}/gamma"] = 1 + random.standard_normal(CHANNELS, np.float32) / 10
        out[f"{norm}/beta"] = random.standard_normal(CHANNELS, np.float32) / 10
        out[f"{norm}/moving_mean"] = random.standard_normal(CHANNELS, np.float32) / 10
        out[f"{norm}/moving_variance"] = random.uniform(0.5, 2, CHANNELS).astype(np.float32)
    return out


def keras_model(values):
    import tensorflow as tf
    layers = tf.keras.layers
    x = first = tf.keras.Input((None, None, CHANNELS))
    for i in range(BLOCKS):
        suffix = f"_{i}" if i else ""
        x = layers.Conv2D(CHANNELS, 3, padding="same", name=f"conv2d{suffix}")(x)
        x = layers.BatchNormalization(name=f"batch_normalization{suffix}")(x)
        x = layers.ReLU(name=f"relu{suffix}")(x)
    model = tf.keras.Model(first, x)
    for variable in model.weights:
        variable.assign(values[getattr(variable, "path", variable.name).split(":")[0]])
    return model


def make_tf(folder):
    import tensorflow as tf
    values = arrays(1)
    for stem in ("a", "b"):
        if stem == "b":
            values["conv2d_150/kernel"] = values["conv2d_150/kernel"] * np.float32(1.001)
        np.savez(f"{folder}/{stem}.npz", **values)
        names = sorted(values)
        tf.raw_ops.SaveV2(prefix=f"{folder}/{stem}.ckpt", tensor_names=names,
                          shape_and_slices=[""] * len(names), tensors=[values[n] for n in names])
        keras_model(values).save(f"{folder}/{stem}.h5")


def torch_names(values):
    """The same values as a PyTorch module names and stores them."""
    parts = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
             "moving_mean": "running_mean", "moving_variance": "running_var"}
    out = {}
    for name, value in values.items():
        layer, part = name.split("/")
        kind, _, number = layer.replace("conv2d", "conv").replace("batch_normalization", "bn").partition("_")
        out[f"{kind}{number or 0}.{parts[part]}"] = value.transpose(3, 2, 0, 1) if part == "kernel" else value
    return out


def onnx_model(values):
    import onnx
    from onnx import helper, numpy_helper
    state = torch_names(values)
    nodes, x = [], "x"
    for i in range(BLOCKS):
        nodes += [
            helper.make_node("Conv", [x, f"conv{i}.weight", f"conv{i}.bias"], [f"conv{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", [f"conv{i}", *(f"bn{i}.{part}" for part in (
                "weight", "bias", "running_mean", "running_var"))], [f"bn{i}"], epsilon=1e-3),
            helper.make_node("Relu", [f"bn{i}"], [f"relu{i}"])]
        x = f"relu{i}"
    shape = ["n", CHANNELS, "h", "w"]
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "bench", [value("x")], [value(x)],
                              [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in state.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_keras3(folder):
    import onnx
    from safetensors.numpy import save_file
    for stem in ("a", "b"):
        values = dict(np.load(f"{folder}/{stem}.npz"))
        save_file(values, f"{folder}/{stem}.safetensors")
        onnx.save(onnx_model(values), f"{folder}/{stem}.onnx")
        keras_model(values).save(f"{folder}/{stem}.keras")
    make_sparse(f"{folder}/sparse.safetensors", total=20 * 10**9, tensors=2000)


def make_torch(folder):
    import torch
    for stem in ("a", "b"):
        state = torch_names(dict(np.load(f"{folder}/{stem}.npz")))
        torch.save({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in state.items()}, f"{folder}/{stem}.pt")


def make_sparse(path, total, tensors):
    """A file with a real header and a hole for data: costs no disk."""
    each = total // tensors // 4
    header = {f"layer{i}.weight": {"dtype": "F32", "shape": [each],
                                   "data_offsets": [i * each * 4, (i + 1) * each * 4]} for i in range(tensors)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + tensors * each * 4)


def make_large(folder, gib=8):
    """The values of one block over and over."""
    few = arrays(1)
    kinds = {name: few[name].tobytes() for name in few if name.split("/")[0] in ("conv2d", "batch_normalization")}
    blocks = gib * 2**30 // sum(len(data) for data in kinds.values())
    header, at = {}, 0
    for i in range(blocks):
        for name in kinds:
            layer, part = name.split("/")
            end = at + len(kinds[name])
            header[f"{layer}_{i}/{part}" if i else name] = {"dtype": "F32", "shape": list(few[name].shape),
                                                           "data_offsets": [at, end]}
            at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{folder}/large.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i in range(blocks):
            for data in kinds.values():
                file.write(data)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    if sys.argv[2] == "large":
        make_large(sys.argv[1], *map(int, sys.argv[3:]))
    else:
        BLOCKS = int(sys.argv[3]) if len(sys.argv) > 3 else BLOCKS
        {"tf": make_tf, "keras3": make_keras3, "torch": make_torch}[sys.argv[2]](sys.argv[1])
