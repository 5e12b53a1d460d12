"""Batch norms of a PyTorch state dict, folded without a graph: PyTorch loads the result and computes the same."""

import json
import os
import subprocess

import numpy as np
import pytest

if os.environ.get("CKPT_WORLD", "") != "torch":
    pytest.skip("needs PyTorch", allow_module_level=True)

import torch
from safetensors.torch import load_file
from torch import nn


class Named(nn.Module):
    """Layers whose names go together; the kernel of the transposed convolution is [I, O, H, W]."""

    def __init__(self, norms=True):
        super().__init__()

        def norm(layer):
            return layer if norms else nn.Identity()

        bias = not norms
        self.conv1 = nn.Conv2d(3, 6, 3, bias=bias)
        self.bn1 = norm(nn.BatchNorm2d(6))
        self.conv2 = nn.Conv2d(6, 6, 3, groups=2, bias=bias)
        self.bn2 = norm(nn.BatchNorm2d(6))
        self.deconv3 = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=bias)
        self.bn3 = norm(nn.BatchNorm2d(4))
        self.fc4 = nn.Linear(4, 4)
        self.bn4 = norm(nn.BatchNorm1d(4))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = torch.relu(self.bn3(self.deconv3(x)))
        return self.bn4(self.fc4(x.mean((2, 3))))


def sequential(norms=True):
    """Numbered layers: their order is all there is."""

    def norm(layer):
        return layer if norms else nn.Identity()

    return nn.Sequential(
        nn.Conv2d(3, 5, 3), norm(nn.BatchNorm2d(5)), nn.ReLU(),
        nn.Conv2d(5, 7, 3), norm(nn.BatchNorm2d(7)), nn.ReLU(),
        nn.Flatten(), nn.Linear(7 * 4 * 3, 2), norm(nn.BatchNorm1d(2)),
    )  # fmt: skip


def trained(net):
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith("num_batches_tracked"):
                value.fill_(9)
            else:
                value.normal_(0, 0.5)
    return net.double().eval(), torch.randn(2, 3, 8, 7).double()


def fold(net, tmp_path, *options):
    source, target = tmp_path / "in.pt", tmp_path / "out.safetensors"
    torch.save({name: value.float() if value.is_floating_point() else value for name, value in net.state_dict().items()},
               source)  # fmt: skip
    run = subprocess.run(
        [os.environ["CKPT_BINARY"], "convert", source, target, "--bn", "fold", *options], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return load_file(target), run.stdout, json.loads((tmp_path / "out.safetensors.ckpt.json").read_text())


def assert_same(net, folded, state, x):
    folded.load_state_dict(state, strict=True)
    with torch.no_grad():
        np.testing.assert_allclose(folded.double().eval()(x), net(x), rtol=1e-4, atol=1e-5)


def test_by_name_and_by_a_pairing_file(tmp_path):
    net, x = trained(Named())
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps({"pairs": [
        {"batch_norm": "bn1", "into": "conv1.weight"},
        {"batch_norm": "bn2", "into": "conv2.weight"},
        {"batch_norm": "bn3", "into": "deconv3.weight", "layout": "IOHW"},
        {"batch_norm": "bn4", "into": "fc4.weight", "bias": "fc4.bias"},
    ]}))  # fmt: skip
    state, _, record = fold(net, tmp_path, "--pairs", pairs)
    assert_same(net, Named(norms=False), state, x)
    assert {entry["batch_norm"] for entry in record["folded"]} == {"bn1", "bn2", "bn3", "bn4"}


def test_by_name_every_pair_is_printed_once(tmp_path):
    net, x = trained(Named())
    state, text, record = fold(net, tmp_path, "--pair-by-name")
    for norm, kernel in (("bn1", "conv1"), ("bn2", "conv2"), ("bn4", "fc4")):
        lines = [line.split() for line in text.splitlines() if f"{kernel}.weight" in line]
        assert [line[:5] for line in lines] == [["folded", norm, "backward", "into", f"{kernel}.weight"]]
    assert all(entry["evidence"] for entry in record["folded"])
    # The name of a transposed convolution does not go with bn3, and nothing gives its layout.
    assert [entry["batch_norm"] for entry in record["kept"]] == ["bn3"]
    half = Named(norms=False)
    half.deconv3, half.bn3 = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False), nn.BatchNorm2d(4)
    assert_same(net, half, state, x)


def test_by_order(tmp_path):
    net, x = trained(sequential())
    state, _, record = fold(net, tmp_path, "--pair-by-order")
    assert len(record["folded"]) == 3 and not record["kept"]
    assert all("paired by order" in json.dumps(entry["evidence"]) for entry in record["folded"])
    assert_same(net, sequential(norms=False), state, x)


@pytest.mark.parametrize("kind", ("hook", "parametrization"))
@pytest.mark.parametrize("dim", (0, 1, None))
def test_weight_norm_is_computed_before_the_fold(kind, dim, tmp_path):
    net, x = trained(Named())
    old = kind == "hook"
    normalise = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
    for layer in (net.conv1, net.conv2, net.fc4):
        normalise(layer.float(), "weight", dim)
    torch.manual_seed(9)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith(("weight_g", "original0")):
                value.uniform_(0.5, 2)
    net = net.float()
    assert any(name.endswith("weight_g" if old else "original0") for name in net.state_dict())
    state, text, record = fold(net, tmp_path, "--pair-by-name")
    assert "weight norms are computed" in text
    assert {entry["batch_norm"] for entry in record["folded"]} == {"bn1", "bn2", "bn4"}
    half = Named(norms=False)
    half.deconv3, half.bn3 = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False), nn.BatchNorm2d(4)
    assert_same(net.double(), half, state, x)
