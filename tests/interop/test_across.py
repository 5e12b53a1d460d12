"""A model of one framework computes the same in another, loaded from what ckpt wrote.

Each world loads what the other one saved: testdata/across holds a network of each with its inputs (channels last) and
the outputs that its own framework computed in float64.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
WORLD = os.environ.get("CKPT_WORLD", "")
KERAS_NET = TESTDATA / "across" / "keras_net.h5"
TORCH_NET = TESTDATA / "across" / "torch_net.safetensors"
sys.path.insert(0, str(TESTDATA / "generators"))


def ckpt(*arguments, code=0):
    run = subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout


def reference(model):
    return dict(np.load(model.with_suffix(".npz")))


@pytest.mark.skipif(WORLD != "torch", reason="needs PyTorch")
class TestKerasInPyTorch:
    def load(self, path):
        from safetensors import safe_open
        from safetensors.torch import load_file

        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        layers = {}
        for key, text in metadata.items():
            kind, scope = key.removeprefix("ckpt.").split(".", 1)
            value, source = text.split()
            layers.setdefault(scope, {})[kind] = {"value": float(value), "source": source}
        return load_file(path), layers

    def net(self, layers):
        from across_torch import Net

        net = Net()
        for scope, layer in layers.items():
            module = net.get_submodule(scope)
            module.eps, module.momentum = layer["epsilon"]["value"], 1 - layer["momentum"]["value"]
        return net

    def outputs(self, net, arrays):
        import torch

        with torch.no_grad():
            return net.double().eval()(torch.from_numpy(arrays["input"]).double().permute(0, 3, 1, 2)).numpy()

    def test_loads_strictly_and_computes_the_same(self, tmp_path):
        path = tmp_path / "out.safetensors"
        ckpt("convert", KERAS_NET, path, "--names", "torch")
        state, layers = self.load(path)
        assert sorted(layers) == ["conv_bn", "depthwise_bn", "fc_bn"]
        assert all(layer["epsilon"]["source"] == "config" for layer in layers.values())
        net = self.net(layers)
        assert net.conv_bn.eps == 2e-3 and abs(net.conv_bn.momentum - 0.05) < 1e-12
        net.load_state_dict(state, strict=True)
        arrays = reference(KERAS_NET)
        np.testing.assert_allclose(self.outputs(net, arrays), arrays["output_f64"], rtol=1e-9, atol=1e-9)

    def test_a_torch_file_holds_torch_names_without_being_asked(self, tmp_path):
        import torch

        path = tmp_path / "out.pt"
        ckpt("convert", KERAS_NET, path)
        net = self.net({})
        for scope in ("conv_bn", "depthwise_bn", "fc_bn"):
            net.get_submodule(scope).eps = 2e-3
        net.load_state_dict(torch.load(path, weights_only=True), strict=True)
        arrays = reference(KERAS_NET)
        np.testing.assert_allclose(self.outputs(net, arrays), arrays["output_f64"], rtol=1e-9, atol=1e-9)
        report = json.loads(ckpt("diff", KERAS_NET, path, "--format", "json"))
        assert report["summary"]["changed"] == report["summary"]["removed"] == 0

    def test_folded(self, tmp_path):
        import torch

        path = tmp_path / "folded.safetensors"
        ckpt("convert", KERAS_NET, path, "--names", "torch", "--bn", "fold", "--strict")
        state, layers = self.load(path)
        assert not layers
        net = self.net({})
        net.depthwise = torch.nn.Conv2d(4, 8, 3, groups=4)  # gained a bias
        net.conv_bn = net.depthwise_bn = net.fc_bn = torch.nn.Identity()
        net.load_state_dict(state, strict=True)
        arrays = reference(KERAS_NET)
        np.testing.assert_allclose(self.outputs(net, arrays), arrays["output_f64"], rtol=1e-4, atol=1e-4)

    def test_diff_finds_no_difference(self, tmp_path):
        path = tmp_path / "out.safetensors"
        ckpt("convert", KERAS_NET, path, "--names", "torch")
        report = json.loads(ckpt("diff", KERAS_NET, path, "--format", "json"))
        assert report["summary"]["changed"] == report["summary"]["removed"] == 0
        assert all(layer["equal_as_function"] for layer in report["batch_norm"])


@pytest.mark.skipif(WORLD != "tf2.15", reason="needs TensorFlow 2.15")
class TestPyTorchInKeras:
    HINTS = {
        "depthwise.weight": {"layout": "OIHW", "multiplier": 2},
        "fc.weight": {"layout": "OI", "flattened_channels": 8},
    }

    def convert(self, tmp_path):
        hints, path = tmp_path / "hints.json", tmp_path / "out.h5"
        hints.write_text(json.dumps(self.HINTS))
        ckpt("convert", TORCH_NET, path, "--rename", hints, "--epsilon", "1e-4")
        return path

    def test_needs_to_be_told_what_no_name_says(self, tmp_path):
        run = subprocess.run(
            [os.environ["CKPT_BINARY"], "convert", TORCH_NET, tmp_path / "out.h5"], capture_output=True, text=True
        )
        assert run.returncode == 3 and "fc.weight" in run.stderr and "flatten" in run.stderr

    def test_loads_and_computes_the_same(self, tmp_path):
        import across_keras
        from keras2_common import in_float64, run

        across_keras.EPSILON = 1e-4
        model = across_keras.build()
        model.load_weights(self.convert(tmp_path), by_name=True)
        arrays = reference(TORCH_NET)
        wide = in_float64(across_keras.build, model)
        (output,) = run(wide, [arrays["input"].astype(np.float64)])
        np.testing.assert_allclose(output, arrays["output_f64"], rtol=1e-9, atol=1e-9)

    def test_diff_finds_no_difference(self, tmp_path):
        report = json.loads(ckpt("diff", self.convert(tmp_path), TORCH_NET, "--format", "json"))
        assert report["summary"]["changed"] == report["summary"]["removed"] == 0
        counters = [tensor for tensor in report["tensors"] if tensor["status"] == "added"]
        assert len(counters) == 3 and not any(tensor["counts"] for tensor in counters)
