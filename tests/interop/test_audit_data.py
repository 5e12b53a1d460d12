"""`ckpt audit --data`: what the command says of real Keras models, and how it refuses.

CKPT_BINARY is the program, CKPT_TESTDATA the fixtures. Runs under TensorFlow 2.15 and the newest one.
"""

import json
import os
import pathlib
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from tensorflow import keras

DRIFT = pathlib.Path(os.environ.get("CKPT_TESTDATA", "testdata")) / "drift"


def ckpt(*arguments, expect=0):
    command = [os.environ["CKPT_BINARY"], "audit", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def test_numbers_of_each_layer_and_one_finding(tmp_path):
    images = np.load(DRIFT / "data.npz")["images"]
    np.save(tmp_path / "a.npy", images[:40])
    np.save(tmp_path / "b.npy", images[40:])
    expected = json.loads((DRIFT / "expected.json").read_text())["stale"]
    done = ckpt(DRIFT / "stale.h5", "--format", "json", "--data", tmp_path / "a.npy", tmp_path / "b.npy", expect=1)
    audited = json.loads(done.stdout)["inputs"][0]
    assert [finding["rule"] for finding in audited["findings"]] == ["BN071"]
    data = audited["data"]
    assert data["examples"] == 96 and data["judged"] and data["inputs"][0]["max"] == images.max()
    assert [layer["scope"] for layer in data["batch_norm"]] == sorted(expected)
    for layer in data["batch_norm"]:
        for view, name in (("as_served", "served"), ("alone", "alone")):
            assert layer[view]["mean_shift"]["typical"] == pytest.approx(expected[layer["scope"]][name]["mean_shift"], rel=1e-6)
            assert layer[view]["mean_shift"]["noise"] > 0


def test_input_of_another_scale_is_skew(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.load(DRIFT / "data.npz")["images"] * np.float32(1.5) + 30)
    done = ckpt(DRIFT / "good.h5", "--data", tmp_path / "x.npz", expect=1)
    assert "BN070 input-skew: b1" in done.stdout
    assert "\n  clean\n" in ckpt(DRIFT / "good.h5", "--data", DRIFT / "data.npz").stdout


def test_what_cannot_be_run_is_named(tmp_path):
    x = keras.Input((4,), name="x")
    y = keras.layers.Lambda(lambda v: v * 2, name="twice", output_shape=(4,))(keras.layers.Dense(4, name="d")(x))
    keras.Model(x, keras.layers.BatchNormalization(name="b")(y)).save(tmp_path / "lambda.h5")
    np.save(tmp_path / "x.npy", np.ones((40, 4), np.float32))
    done = ckpt(tmp_path / "lambda.h5", "--data", tmp_path / "x.npy", expect=3)
    assert "twice" in done.stderr and "Lambda" in done.stderr


def test_limits_and_data_that_do_not_fit(tmp_path):
    assert "--max-operations" in ckpt("--help").stdout
    ckpt(DRIFT / "good.h5", "--max-operations", "100", "--data", DRIFT / "data.npz", expect=4)
    np.savez(tmp_path / "y.npz", images=np.ones((40, 12, 12, 3), np.float32), labels=np.ones(40))
    assert "labels" in ckpt(DRIFT / "good.h5", "--data", tmp_path / "y.npz", expect=2).stderr
