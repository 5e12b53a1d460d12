"""The safetensors package and NumPy load what ckpt writes.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. The source is an archive that NumPy itself wrote.
"""

import os
import pathlib
import subprocess

import numpy as np
import pytest

SOURCE = pathlib.Path(os.environ["CKPT_TESTDATA"]) / "npz" / "keras_net.npz"


def convert(target):
    subprocess.run([os.environ["CKPT_BINARY"], "convert", "--quiet", str(SOURCE), str(target)], check=True)
    return target


def assert_same(loaded):
    source = dict(np.load(SOURCE))
    assert sorted(loaded) == sorted(source)
    for name, value in source.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value, err_msg=name)


def test_safetensors_loads(tmp_path):
    numpy_side = pytest.importorskip("safetensors.numpy")
    assert_same(numpy_side.load_file(convert(tmp_path / "out.safetensors")))


def test_numpy_loads(tmp_path):
    assert_same(dict(np.load(convert(tmp_path / "out.npz"), allow_pickle=False)))
