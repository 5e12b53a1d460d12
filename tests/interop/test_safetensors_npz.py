"""The safetensors package and NumPy load what ckpt writes.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. The source is an archive that NumPy itself wrote.
"""

import json
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


def test_statistics_are_those_of_numpy():
    command = [os.environ["CKPT_BINARY"], "inspect", "--stats", "--format", "json", str(SOURCE)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["inputs"][0]
    source = dict(np.load(SOURCE))
    assert len(report["tensors"]) == len(source)
    for tensor in report["tensors"]:
        value, found = source[tensor["stored_as"]].astype(np.float64), tensor["statistics"]
        assert (found["min"], found["max"]) == (value.min(), value.max())
        np.testing.assert_allclose([found["mean"], found["std"]], [value.mean(), value.std()], rtol=1e-12, atol=1e-15)
        assert (found["nan"], found["infinite"]) == (0, 0)
