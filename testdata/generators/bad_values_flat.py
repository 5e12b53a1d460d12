"""The weights of testdata/bad_values/*.h5 as npz and safetensors, named layer/kind, without graph or optimizer.

keras2_bad_values.py runs first.  The whole net in float16 is made here too: `float16_overflow`, in which a variance of
146335 became infinite.
"""

import h5py
import numpy as np
from safetensors.numpy import load_file, save_file

import expected
import paths

LISTED = ("good", "nan_variance", "inf_mean", "float16_overflow")  # the others differ in one value, and in the h5 list


def read_weights(path):
    """The weights of a Keras HDF5 file by `layer/kind`."""
    weights = {}
    with h5py.File(path) as file:
        for layer in file["model_weights"].attrs["layer_names"]:
            group = file["model_weights"][layer]
            for name in group.attrs["weight_names"]:
                weights[name.split(":")[0]] = group[name][()]
    return weights


def write(folder, case, weights):
    """Both files of one case, each read back."""
    np.savez(folder / f"{case}.npz", **weights)
    save_file(weights, folder / f"{case}.safetensors")
    for loaded in (np.load(folder / f"{case}.npz"), load_file(folder / f"{case}.safetensors")):
        assert all(np.array_equal(loaded[name], value, equal_nan=True) for name, value in weights.items())
    if case in LISTED:
        expected.from_npz(folder / f"{case}.npz")
        expected.from_safetensors(folder / f"{case}.safetensors")


def main():
    folder = paths.folder("bad_values")
    for path in sorted(folder.glob("*.h5")):
        write(folder, path.stem, read_weights(path))
    with np.errstate(over="ignore"):
        half = {name: value.astype(np.float16) for name, value in read_weights(folder / "huge_variance.h5").items()}
    assert np.isinf(half["bn2/moving_variance"][2]) and np.isinf(half["bn2/moving_mean"][2])
    write(folder, "float16_overflow", half)
    print("bad_values, flat")


if __name__ == "__main__":
    main()
