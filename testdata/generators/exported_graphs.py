"""Graphs that PyTorch's two ONNX exporters made of a module before it was trained, and the trained state dict.

Makes testdata/exported_graphs/.  All norms are as they were made, so that the exporters store their equal tensors once.
folded.npz is what a fold of the state dict has to give, in float64.  served.pt and served.onnx are one network, whose batch
norms the exporter folded.
"""

import onnx
import numpy as np
import torch
from torch import nn

import paths

FOLDER = paths.folder("exported_graphs")
EPSILON = 1e-3
# The kernel that takes each batch norm.
PAIRS = {"n1": "c1", "body.norm": "body.conv", "n2": "c2"}


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4, eps=EPSILON)

    def forward(self, x):
        return torch.relu(self.norm(nn.functional.avg_pool2d(self.conv(x), 2)))


class Net(nn.Module):
    """Pooling between convolution and norm, which exporters do not fold over; `c2` and `n2` are called twice."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 4, 3, bias=False)
        self.n1 = nn.BatchNorm2d(4, eps=EPSILON)
        self.body = Body()
        self.c2 = nn.Conv2d(4, 4, 1)
        self.n2 = nn.BatchNorm2d(4, eps=EPSILON)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        x = torch.relu(self.n1(nn.functional.avg_pool2d(self.c1(x), 2)))
        x = self.body(x)
        for _ in range(2):
            x = torch.relu(self.n2(self.c2(x)))
        return self.out(x.mean((2, 3)))


def randomise(module):
    generator = torch.Generator().manual_seed(7)
    for name, value in module.state_dict().items():
        if not value.dtype.is_floating_point:
            value.fill_(50)
        elif value.dim() == 1 and name.endswith(("weight", "running_var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.25)
        else:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.4)


def fold(state):
    """By the formula, in float64."""
    folded = {name: value.double() for name, value in state.items() if "num_batches" not in name}
    for norm, conv in PAIRS.items():
        gamma, beta, mean, variance = (folded.pop(f"{norm}.{leaf}")
                                       for leaf in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / torch.sqrt(variance + EPSILON)
        bias = folded.get(f"{conv}.bias", torch.zeros_like(mean))
        folded[f"{conv}.weight"] = folded[f"{conv}.weight"] * scale.reshape(-1, 1, 1, 1)
        folded[f"{conv}.bias"] = (bias - mean) * scale + beta
    return folded


def export(module, name, **options):
    path = FOLDER / name
    torch.onnx.export(module, (torch.zeros(1, 3, 16, 16),), str(path), **options)
    model = onnx.load(path)
    for node in model.graph.node:  # where the program lay
        kept = [entry for entry in node.metadata_props if "stack_trace" not in entry.key]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)


class Served(nn.Module):
    """Batch norms that the exporter folds into their convolutions, whose tensors then have names of its own."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(torch.relu(self.bn2(self.conv2(x))).mean((2, 3)))


def export_served():
    module = Served().eval()
    with torch.no_grad():
        randomise(module)
    torch.save(module.state_dict(), FOLDER / "served.pt")
    export(module, "served.onnx", dynamo=False, opset_version=17)
    kinds = [node.op_type for node in onnx.load(FOLDER / "served.onnx").graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Conv") == 2


def main():
    export_served()
    torch.manual_seed(1)
    module = Net().eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)  # the optimising exporter leaves it out
    export(module, "legacy.onnx", dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,
           do_constant_folding=False, opset_version=17)
    export(module, "optimised.onnx", dynamo=True, external_data=False)
    with torch.no_grad():
        randomise(module)
    torch.save(module.state_dict(), FOLDER / "trained.pt")

    folded = fold(module.state_dict())
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5)).double()
    with torch.no_grad():
        wanted = module.double()(x)
        plain = Net().double().eval()
        for name in PAIRS:
            parent, _, leaf = name.rpartition(".")
            setattr(plain.get_submodule(parent), leaf, nn.Identity())
        plain.c1.bias = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        plain.load_state_dict(folded, strict=True)
        assert torch.allclose(plain(x), wanted, rtol=1e-12, atol=1e-12)
    np.savez(FOLDER / "folded.npz", **{name: value.numpy() for name, value in folded.items()})


if __name__ == "__main__":
    main()
