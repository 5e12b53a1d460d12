"""Pickled modules, TorchScript and training checkpoints, with what PyTorch itself says of them.

Makes testdata/torch_modules/.  expected.json has for each file the names in the module's state dict, and of each module
its class, epsilon, momentum and mode.  The classes of `models.detector` exist in this process alone, as those of a
project that the reader does not have.
"""

import copy
import json
import sys
import types
import warnings

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import paths

warnings.filterwarnings("ignore")


class Conv(nn.Module):
    def __init__(self, c_in, c_out, size):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Detector(nn.Module):
    """Epsilon as detectors have it, a plain tensor attribute, one buffer of each kind."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 4, 3)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Conv2d(4, 2, 1)
        self.register_buffer("anchors", torch.arange(4.0))
        self.register_buffer("grid", torch.zeros(2, 2), persistent=False)
        self.stride = torch.tensor([8.0, 16.0])

    def forward(self, x):
        return self.head(self.up(self.stem(x)))


def project(*classes):
    """Gives the classes a module that only this process has."""
    models, detector = types.ModuleType("models"), types.ModuleType("models.detector")
    models.detector = detector
    sys.modules.update({"models": models, "models.detector": detector})
    for each in classes:
        each.__module__, each.__qualname__ = "models.detector", each.__name__
        setattr(detector, each.__name__, each)


def train(module, shape, steps=20):
    module.train()
    with torch.no_grad():
        for _ in range(steps):
            module(torch.randn(shape) * 2 + 1)
    return module


def facts(module):
    modules = {}
    for scope, child in module.named_modules():
        entry = {"class": f"{type(child).__module__}.{type(child).__qualname__}", "training": child.training}
        if isinstance(child, nn.BatchNorm2d):
            entry.update(eps=child.eps, momentum=child.momentum)
        modules[scope] = entry
    return {"state_dict": list(module.state_dict()), "modules": modules}


def pickled(out):
    expected = {}
    detector = train(Detector(), (4, 3, 8, 8)).eval()
    expected["detector.pt"] = facts(detector)
    torch.save({"model": detector, "epoch": 3}, out / "detector.pt")
    expected["detector_legacy.pt"] = facts(detector)
    torch.save(detector, out / "detector_legacy.pt", _use_new_zipfile_serialization=False)

    cumulative = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None))
    expected["cumulative.pt"] = facts(train(cumulative, (4, 3, 8, 8), 3))
    torch.save(cumulative, out / "cumulative.pt")

    slow = train(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=1e-3)), (4, 3, 8, 8), 300)
    expected["slow.pt"] = facts(slow)
    torch.save(slow, out / "slow.pt")

    groups = nn.Sequential()
    groups.add_module("conv1", nn.Conv2d(3, 4, 3))
    groups.add_module("bn1", nn.GroupNorm(2, 4))
    expected["group_norm.pt"] = facts(groups)
    torch.save(groups, out / "group_norm.pt")
    torch.save(groups.state_dict(), out / "group_norm_state.pt")
    lost = nn.Sequential()
    lost.add_module("conv1", nn.Conv2d(3, 4, 3))
    lost.add_module("bn1", nn.BatchNorm2d(4, track_running_stats=False))
    torch.save(lost.state_dict(), out / "untracked_state.pt")
    return expected


def scripts(out):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2), nn.ReLU())
    train(net, (4, 3, 8, 8)).eval()
    example = torch.zeros(2, 3, 8, 8)
    torch.jit.save(torch.jit.script(net), out / "scripted.pt")
    torch.jit.save(torch.jit.trace(net, example), out / "traced.pt")
    training = copy.deepcopy(net).train()
    torch.jit.save(torch.jit.trace(training, example, check_trace=False), out / "traced_in_training.pt")
    return {name: facts(net) for name in ("scripted.pt", "traced.pt", "traced_in_training.pt")}


def arrays(out):
    """The same state dict as NumPy arrays: C and Fortran order, big-endian, 16 bits, protocols 2 and 5."""
    net = train(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (4, 3, 8, 8)).eval()
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    state["0.weight"] = np.asfortranarray(state["0.weight"])
    state["1.running_mean"] = state["1.running_mean"].astype(">f4")
    state["1.bias"] = state["1.bias"].astype(np.float16)
    torch.save(state, out / "arrays.pt")
    torch.save(state, out / "arrays_protocol5.pt", pickle_protocol=5)
    torch.save({"model": net.state_dict(), "losses": np.arange(3.0),
                "rng": {"np": np.random.RandomState(1).get_state(), "th": torch.get_rng_state()},
                "cuda_rng_state": torch.zeros(16, dtype=torch.uint8)}, out / "with_rng.pt")
    values = {name: np.asarray(array, dtype=np.float64).reshape(-1).tolist() for name, array in state.items()}
    return {"arrays.pt": {"values": values}, "with_rng.pt": {"state_dict": list(net.state_dict())}}


def distributed(out):
    from torch.distributed.tensor import DTensor, Replicate, Shard, init_device_mesh
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    whole = torch.arange(12.0).reshape(4, 3)
    part = DTensor.from_local(whole[:2].clone(), mesh, [Shard(0)], run_check=False, shape=torch.Size((4, 3)),
                              stride=(3, 1))
    torch.save({"whole": DTensor.from_local(whole, mesh, [Replicate()]), "part": part, "plain": torch.ones(2)},
               out / "dtensor.pt")
    dist.destroy_process_group()


def main():
    out = paths.folder("torch_modules")
    torch.manual_seed(5)
    torch.set_num_threads(1)
    project(Conv, Detector)
    expected = {**pickled(out), **scripts(out), **arrays(out)}
    distributed(out)
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in out.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
