"""safetensors files as its own package writes them.

Makes testdata/safetensors/.  The nets bear PyTorch's names and layouts; their values come from NumPy, no PyTorch ran.
"""

import json

import ml_dtypes
import numpy as np
import safetensors
from safetensors.numpy import save_file

import expected
import paths
from npz_files import six_values

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64", "complex64",
          ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)


def save(path, tensors, metadata=None):
    """Saves, reads back, and writes the list of tensors."""
    save_file(tensors, path, metadata)
    path.chmod(0o644)
    loaded = dict(safetensors.deserialize(path.read_bytes()))
    assert loaded.keys() == tensors.keys()
    assert all(loaded[name]["data"] == value.tobytes() for name, value in tensors.items())
    expected.from_safetensors(path)


def dtypes(folder):
    """Every dtype that the package writes from NumPy; a dtype that it refuses fails here."""
    save(folder / "dtypes.safetensors", {np.dtype(dtype).name: six_values(dtype) for dtype in DTYPES})


def shapes(folder):
    """Scalars and empty tensors, metadata, names that need escapes in JSON."""
    save(folder / "shapes.safetensors",
         {"scalar": np.array(2.5, np.float32), "zero": np.zeros(0, np.float32), "zero_2d": np.zeros((3, 0, 2)),
          'quote"backslash\\': np.arange(3.0), "ünïcode/é": np.arange(2, dtype=np.int8),
          "a.b/c:0": np.ones((1, 1, 1))},
         {"format": "np", "note": 'line\nbreak and "quotes"'})
    save(folder / "empty.safetensors", {}, {"format": "np"})


def batch_norm(random, channels, batches):
    """A PyTorch BatchNorm2d of a trained net."""
    return {"weight": random.uniform(0.5, 1.5, channels).astype(np.float32),
            "bias": (0.3 * random.randn(channels)).astype(np.float32),
            "running_mean": random.randn(channels).astype(np.float32),
            "running_var": random.uniform(0.3, 3, channels).astype(np.float32),
            "num_batches_tracked": np.array(batches, np.int64)}


def state_dict(seed, batches=4000):
    """A ResNet-like state dict: stem, one block with a downsampling branch, head."""
    random = np.random.RandomState(seed)

    def conv(out_channels, in_channels, size):
        return (0.3 * random.randn(out_channels, in_channels, size, size)).astype(np.float32)

    tensors = {"conv1.weight": conv(4, 3, 3), "layer1.0.conv1.weight": conv(6, 4, 3),
               "layer1.0.conv2.weight": conv(6, 6, 3), "layer1.0.downsample.0.weight": conv(6, 4, 1),
               "fc.weight": random.randn(5, 6).astype(np.float32), "fc.bias": random.randn(5).astype(np.float32)}
    for name, channels in (("bn1", 4), ("layer1.0.bn1", 6), ("layer1.0.bn2", 6), ("layer1.0.downsample.1", 6)):
        tensors.update({f"{name}.{key}": value for key, value in batch_norm(random, channels, batches).items()})
    return tensors


def reset_statistics(tensors):
    """Running statistics as they were initialized."""
    for name, value in tensors.items():
        if name.endswith("running_mean"):
            value[:] = 0
        elif name.endswith("running_var"):
            value[:] = 1
    return tensors


def absorb_statistics(tensors):
    """Statistics folded into weight and bias, whose values spread over signs and sizes; then 0 and 1 are right."""
    for name in [n.removesuffix(".running_mean") for n in tensors if n.endswith(".running_mean")]:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        scale = weight * np.resize([4, -1, 0.2, -9], weight.shape) / np.sqrt(tensors[f"{name}.running_var"] + 1e-5)
        bias -= scale * tensors[f"{name}.running_mean"]
        weight[:] = scale
    return reset_statistics(tensors)


def without(tensors, suffixes):
    """The tensors whose name does not end so."""
    return {name: value for name, value in tensors.items() if not name.endswith(suffixes)}


def nets(folder):
    """The same kind of net, sound and in the states that an audit has to tell apart."""
    torch_metadata = {"format": "pt"}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    cases = {
        "torch_good": state_dict(50),
        "torch_tracked_0_but_trained": state_dict(51, batches=0),
        "torch_never_updated_tracked_100": reset_statistics(state_dict(52, batches=100)),
        "torch_never_updated_tracked_0": reset_statistics(state_dict(53, batches=0)),
        "torch_absorbed": without(absorb_statistics(state_dict(54)), "num_batches_tracked"),
        "torch_missing_statistics": without(state_dict(55), statistics),
        "torch_no_counter": without(state_dict(56), "num_batches_tracked"),
    }
    for name, tensors in cases.items():
        save(folder / f"{name}.safetensors", tensors, torch_metadata)
    save(folder / "no_metadata.safetensors", cases["torch_good"])


def sharded(folder):
    """Three files and their index, in the naming of Hugging Face."""
    folder.mkdir(exist_ok=True)
    tensors = state_dict(50)
    names = sorted(tensors)
    count = 3
    weight_map = {}
    for shard in range(count):
        file = f"model-{shard + 1:05d}-of-{count:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard::count]}
        save(folder / file, part, {"format": "pt"})
        weight_map.update({name: file for name in part})
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
             "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def main():
    folder = paths.folder("safetensors")
    dtypes(folder)
    shapes(folder)
    nets(folder)
    sharded(folder / "sharded")
    print("safetensors")


if __name__ == "__main__":
    main()
