"""npz and npy files as NumPy writes them: every dtype and order, all header versions, and what must be refused.

Makes testdata/npz/ and, for arrays that need pickle, testdata/malformed/npz/.
"""

import ml_dtypes
import numpy as np

import expected
import paths

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64", "complex64", "complex128")


def six_values(dtype):
    """Six values as 2x3 of any dtype; negative and imaginary ones where it has them."""
    dtype = np.dtype(dtype)
    values = np.array([[0, 1, 2], [100, 5, 7]])
    if dtype.kind not in "bu":
        values = values * np.array([1, -1, 1])
    return values.astype(dtype) * dtype.type(1 + 2j) if dtype.kind == "c" else values.astype(dtype)


def keras_net(random):
    """A Keras-named net: conv, BN with both signs of gamma, dense."""
    return {"conv1/kernel": random.randn(3, 5, 4, 6), "conv1/bias": random.randn(6),
            "bn1/gamma": random.uniform(0.5, 1.5, 6) * [1, -1, 1, 1, -1, 1], "bn1/beta": random.randn(6),
            "bn1/moving_mean": random.randn(6), "bn1/moving_variance": random.uniform(0.5, 2, 6),
            "head/kernel": random.randn(6, 5), "head/bias": random.randn(5)}


def archives(folder):
    """The npz files: stored and compressed."""
    random = np.random.RandomState(30)
    net = {name: value.astype(np.float32) for name, value in keras_net(random).items()}
    np.savez(folder / "keras_net.npz", **net)
    np.savez_compressed(folder / "keras_net_compressed.npz", **net)
    np.savez(folder / "dtypes.npz", **{dtype: six_values(dtype) for dtype in DTYPES})
    np.savez(folder / "big_endian.npz", **{dtype: six_values(dtype).astype(np.dtype(dtype).newbyteorder(">"))
                                           for dtype in DTYPES if np.dtype(dtype).itemsize > 1})
    np.savez(folder / "shapes.npz", scalar=np.float32(2.5), zero=np.zeros(0, np.float32), zero_2d=np.zeros((3, 0, 2)),
             fortran=np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
             fortran_vector=np.asfortranarray(np.arange(3)), rank6=np.arange(12.0).reshape(1, 2, 1, 3, 2, 1))
    np.savez(folder / "positional.npz", np.arange(3), np.ones((2, 2)))
    np.savez(folder / "empty.npz")
    np.savez(folder / "strings.npz", bytes=np.array([b"a", b"three"]), text=np.array(["é", "zwei"]))
    for path in sorted(folder.glob("*.npz")):
        expected.from_npz(path)


def bfloat16(folder):
    """ml_dtypes' bfloat16, which NumPy writes as two opaque bytes."""
    values = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    np.savez(folder / "bfloat16.npz", values=values)
    assert np.load(folder / "bfloat16.npz")["values"].view(ml_dtypes.bfloat16).tobytes() == values.tobytes()
    expected.from_npz(folder / "bfloat16.npz")


def header_versions(folder):
    """npy format 1.0, 2.0 and 3.0 of one array."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for version in (1, 2, 3):
        path = folder / f"version{version}.npy"
        with open(path, "wb") as file:
            np.lib.format.write_array(file, array, version=(version, 0))
        assert np.array_equal(np.load(path), array)
        expected.from_npz(path)
    with open(folder / "two_arrays.npy", "wb") as file:
        np.save(file, array)
        np.save(file, array * 2)


def structured(folder):
    """Records and a sub-array: NumPy reads them without pickle, a checkpoint tool has no tensor for them."""
    records = np.array([(1, 2.5, (1, 2)), (3, 4.5, (3, 4))], dtype=[("id", "<i4"), ("x", "<f8"), ("pair", "<f4", (2,))])
    np.savez(folder / "structured.npz", records=records, plain=np.arange(3))
    assert np.array_equal(np.load(folder / "structured.npz")["records"], records)


def pickled(folder):
    """Object arrays: their payload is a pickle, which must never be executed."""
    objects = np.array([{"a": 1}, [1, 2]], dtype=object)
    np.savez(folder / "object.npz", objects=objects, plain=np.arange(3))
    np.save(folder / "object.npy", objects)
    try:
        np.load(folder / "object.npy", allow_pickle=False)
    except ValueError:
        return
    raise AssertionError("NumPy read an object array without pickle")


def main():
    good, bad = paths.folder("npz"), paths.folder("malformed", "npz")
    archives(good)
    bfloat16(good)
    header_versions(good)
    structured(bad)
    pickled(bad)
    print("npz")


if __name__ == "__main__":
    main()
