"""testdata/small_floats/small_floats.npz: float32 numbers, and what ml_dtypes and NumPy make of them in each smaller type.

`numbers` and `<type>` (the words as unsigned integers); `<type>.values` are all values of an 8-bit type as float32.
"""

import ml_dtypes
import numpy as np

import paths

TYPES = {
    "float16": (np.float16, np.uint16),
    "bfloat16": (ml_dtypes.bfloat16, np.uint16),
    "float8_e5m2": (ml_dtypes.float8_e5m2, np.uint8),
    "float8_e4m3fn": (ml_dtypes.float8_e4m3fn, np.uint8),
    "float8_e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, np.uint8),
    "float8_e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, np.uint8),
}


def numbers():
    random = np.random.default_rng(20261129)
    any_bits = random.integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
    near = np.ldexp(random.uniform(0.5, 1, 3000), random.integers(-30, 20, 3000)).astype(np.float32)
    near *= random.choice([-1, 1], 3000).astype(np.float32)
    # Every 8-bit value, the midpoints between neighbours, and what lies just beside them.
    exact = np.concatenate([np.arange(256, dtype=np.uint8).view(t).astype(np.float32)
                            for t, word in TYPES.values() if word is np.uint8])
    exact = np.unique(exact[np.isfinite(exact)])
    middle = ((exact[1:].astype(np.float64) + exact[:-1]) / 2).astype(np.float32)
    beside = [np.nextafter(middle, np.float32(way)) for way in (-np.inf, np.inf)]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 464, 480, 57344, 61440],
                       dtype=np.float32)
    return np.concatenate([special, exact, middle, *beside, near, any_bits[np.isfinite(any_bits)]])


def main():
    given = numbers()
    arrays = {"numbers": given}
    with np.errstate(over="ignore", invalid="ignore"):
        for name, (made, word) in TYPES.items():
            arrays[name] = given.astype(made).view(word)
            if word is np.uint8:
                arrays[name + ".values"] = np.arange(256, dtype=np.uint8).view(made).astype(np.float32)
    np.savez(paths.folder("small_floats") / "small_floats.npz", **arrays)


if __name__ == "__main__":
    main()
