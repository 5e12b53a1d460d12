"""Keras 1's mode of a batch norm: 0 uses moving statistics at serving, 2 those of the batch.

Keras 1 runs on no Python of today. The files are written here as its `save_model` laid them out: a config with
"keras_version" 1.2.2 and a group of weights by layer.
"""

import json
import os
import subprocess

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")


def save_as_keras1(path, mode):
    norm = {"name": "bn", "trainable": True, "batch_input_shape": [None, 6], "input_dtype": "float32", "epsilon": 0.001,
            "mode": mode, "axis": -1, "momentum": 0.99, "gamma_regularizer": None, "beta_regularizer": None}
    dense = {"name": "fc", "trainable": True, "output_dim": 3, "init": "glorot_uniform", "activation": "linear", "bias": True,
             "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None,
             "b_constraint": None, "input_dim": 6}
    config = {"class_name": "Sequential", "config": [{"class_name": "BatchNormalization", "config": norm},
                                                     {"class_name": "Dense", "config": dense}]}
    random = np.random.default_rng(5)
    weights = {"bn": {"bn_gamma": random.uniform(0.5, 1.5, 6), "bn_beta": random.normal(size=6),
                      "bn_running_mean": random.normal(size=6), "bn_running_std": random.uniform(0.5, 2, 6)},
               "fc": {"fc_W": random.normal(size=(6, 3)), "fc_b": random.normal(size=3)}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("1.2.2")
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [np.bytes_(name) for name in weights]
        for layer, tensors in weights.items():
            of_layer = group.create_group(layer)
            of_layer.attrs["weight_names"] = [np.bytes_(name) for name in tensors]
            for name, values in tensors.items():
                of_layer.create_dataset(name, data=values.astype(np.float32))
    return path


def ckpt(*arguments):
    return subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("mode", [0, 2])
def test_mode_2_is_training_mode_and_mode_0_is_not(tmp_path, mode):
    model = save_as_keras1(tmp_path / "model.h5", mode)
    audit = ckpt("audit", model, "--format", "json")
    (seen,) = json.loads(audit.stdout)["inputs"]
    found = [(f["rule"], f["severity"]) for f in seen["findings"] if f["rule"] == "BN060"]
    assert len(seen["batch_norm"]) == 1
    assert found == ([("BN060", "error")] if mode == 2 else []), audit.stdout
    assert audit.returncode == (1 if mode == 2 else 0)
    folded = ckpt("convert", "--bn", "fold", model, tmp_path / "folded.h5", "--format", "json")
    assert folded.returncode == (3 if mode == 2 else 0), folded.stdout + folded.stderr
    closed = ckpt("convert", "--bn", "fold", "--close-training-mode", model, tmp_path / "closed.h5", "--format", "json")
    assert closed.returncode == 0, closed.stdout + closed.stderr
    report = json.loads(closed.stdout)
    assert [entry["batch_norm"] for entry in report["changed"]] == (["bn"] if mode == 2 else [])
    assert [entry["batch_norm"] for entry in report["folded"]] == ["bn"]
