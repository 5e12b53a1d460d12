"""PyTorch loads what ckpt writes, with weights_only=True and mmap=True, and computes the stored outputs.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

FOLDER = pathlib.Path(os.environ["CKPT_TESTDATA"]) / "torch"
# Files whose tensors torch.load gives under the names that ckpt gives them.
PLAIN = ("state_dict.pt", "state_dict_legacy.pth", "protocol4.pt", "no_crc.pt", "records_of_1_6.pt", "dtypes.pt",
         "dtypes_legacy.pth", "shapes.pt", "views.pt", "views_legacy.pth", "deflated.pt", "weight_norm.pt")


def convert(source, target, *options):
    command = [os.environ["CKPT_BINARY"], "convert", str(source), str(target), "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return target


class Net(nn.Module):
    """The net of testdata/generators/torch_files.py; `norm` makes a batch norm."""

    def __init__(self, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=norm is None)
        self.bn1 = norm(4) if norm else nn.Identity()
        self.block = nn.Sequential(nn.Conv2d(4, 6, (3, 1), groups=2), norm(6) if norm else nn.Identity(), nn.ReLU())
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.head(self.block(x).mean((2, 3)))


def assert_same(loaded, source):
    assert sorted(loaded) == sorted(source)
    for name, value in source.items():
        assert loaded[name].dtype == value.dtype, name
        assert loaded[name].shape == value.shape, name
        same = loaded[name].contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(same, value.contiguous().reshape(-1).view(torch.uint8)), name


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", PLAIN)
def test_loads(tmp_path, name, mmap):
    written = convert(FOLDER / name, tmp_path / "out.pt", "--keep-training-state")
    assert_same(torch.load(written, weights_only=True, mmap=mmap), torch.load(FOLDER / name, weights_only=False))


def test_strict_load_keeps_the_versions_of_modules(tmp_path):
    state = torch.load(convert(FOLDER / "state_dict.pt", tmp_path / "out.pt"), weights_only=True)
    source = torch.load(FOLDER / "state_dict.pt", weights_only=True)
    assert dict(state._metadata) == dict(source._metadata)
    Net(nn.BatchNorm2d).load_state_dict(state)


@pytest.mark.parametrize("source", ["state_dict.pt", "state_dict_legacy.pth", "whole_module.pt"])
def test_a_folded_file_computes_the_same(tmp_path, source):
    written = convert(FOLDER / source, tmp_path / "folded.pt", "--bn", "fold", "--pair-by-order")
    net = Net(None).double().eval()
    net.load_state_dict({k: v.double() for k, v in torch.load(written, weights_only=True).items()})
    reference = torch.load(FOLDER / "state_dict.reference.pt", weights_only=True)
    output = net(reference["input"].double())
    # One rounding to float32 of each folded weight: 27 products of size 1.
    torch.testing.assert_close(output, reference["output_f64"], rtol=1e-5, atol=1e-6)


def test_the_model_of_a_training_checkpoint(tmp_path):
    written = convert(FOLDER / "parallel_adam.pth", tmp_path / "out.pt")
    Net(nn.BatchNorm2d).load_state_dict(torch.load(written, weights_only=True))


def test_safetensors_and_back(tmp_path):
    through = convert(FOLDER / "state_dict.pt", tmp_path / "out.safetensors")
    assert_same(torch.load(convert(through, tmp_path / "out.pt"), weights_only=True),
                torch.load(FOLDER / "state_dict.pt", weights_only=True))


def test_a_keras_net_becomes_a_file_that_loads(tmp_path):
    source = pathlib.Path(os.environ["CKPT_TESTDATA"]) / "npz" / "keras_net.npz"
    assert torch.load(convert(source, tmp_path / "out.pth"), weights_only=True, mmap=True)


def test_tied_weights_stay_tied(tmp_path):
    weight = torch.randn(300, 40)
    state = {"embed.weight": weight, "head.weight": weight, "head.bias": torch.zeros(300), "mask": torch.zeros(300)}
    torch.save(state, tmp_path / "in.pt")
    written = convert(tmp_path / "in.pt", tmp_path / "out.pt")
    loaded = torch.load(written, weights_only=True)
    assert_same(loaded, state)
    assert loaded["embed.weight"].data_ptr() == loaded["head.weight"].data_ptr()
    assert loaded["head.bias"].data_ptr() != loaded["mask"].data_ptr()
    assert written.stat().st_size < 60000


MODULES = FOLDER.parent / "torch_modules"
sys.path.insert(0, str(FOLDER.parent / "generators"))


def module_of(name):
    """The module that a file of testdata/torch_modules holds, and an input for it."""
    import torch_modules
    torch_modules.project(torch_modules.Conv, torch_modules.Detector)
    loaded = torch.load(MODULES / name, weights_only=False) if "script" not in name and "traced" not in name else None
    if loaded is None:
        loaded = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2), nn.ReLU())
        loaded.load_state_dict(torch.jit.load(MODULES / name).state_dict())
    return loaded["model"] if isinstance(loaded, dict) else loaded


@pytest.mark.parametrize("name", ["detector.pt", "detector_legacy.pt", "cumulative.pt", "group_norm.pt", "scripted.pt",
                                  "traced.pt", "traced_in_training.pt"])
def test_the_state_of_a_pickled_module_loads_strictly(tmp_path, name):
    state = torch.load(convert(MODULES / name, tmp_path / "out.pt"), weights_only=True)
    module = module_of(name)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    module.load_state_dict(state, strict=True)
    assert_same(state, before)


def test_an_epsilon_that_a_pickled_module_records_is_folded(tmp_path):
    """bn.eps is 1e-3; with PyTorch's 1e-5 the kernel differs by far more than rounding."""
    state = torch.load(convert(MODULES / "detector.pt", tmp_path / "out.pt", "--bn", "fold", "--pair-by-name"),
                       weights_only=True)
    stem = module_of("detector.pt").double().eval().stem
    if "stem.bn.weight" in state:
        pytest.skip("not paired by these names")
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    kernel, bias = state["stem.conv.weight"].double(), state["stem.conv.bias"].double()
    got = torch.nn.functional.conv2d(x, kernel, bias, padding=1)
    want = stem.bn(stem.conv(x))
    assert (got - want).abs().max() < 1e-5 * want.abs().max()
    stem.bn.eps = 1e-5
    assert (got - stem.bn(stem.conv(x))).abs().max() > 1e-4 * want.abs().max()


@pytest.mark.parametrize("name", ["arrays.pt", "arrays_protocol5.pt"])
def test_numpy_arrays_are_written_as_tensors(tmp_path, name):
    state = torch.load(convert(MODULES / name, tmp_path / "out.pt"), weights_only=True)
    source = torch.load(MODULES / name, weights_only=False)
    assert sorted(state) == sorted(source)
    for key, value in source.items():
        assert np.array_equal(state[key].numpy(), value), key
