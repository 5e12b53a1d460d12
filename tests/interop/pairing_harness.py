"""Folds the state dict of a module without a graph, loads the result back and compares in float64.

Used by the interop tests and by pairing_battery.py. Needs PyTorch and safetensors only.
"""

import copy
import json
import subprocess

import torch
from safetensors.torch import load_file, save_file
from torch import nn

KERNELS = (nn.Linear, nn.modules.conv._ConvNd)
NORMS = nn.modules.batchnorm._BatchNorm


def norms_of(net):
    return {name: module for name, module in net.named_modules() if isinstance(module, NORMS)}


def randomise(net, x, epsilon, seed):
    """Parameters at random; statistics as a training run on data like `x` leaves them, a little off."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.empty(like.shape, dtype=like.dtype).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for norm in norms_of(net).values():
            norm.eps, norm.momentum = epsilon, None
            if norm.affine:
                norm.weight.copy_(uniform(norm.weight, 0.5, 1.5))
                norm.bias.copy_(uniform(norm.bias, -0.5, 0.5))
            if norm.running_mean is None:
                continue
            norm.running_mean.copy_(uniform(norm.running_mean, -0.5, 0.5))
            norm.running_var.copy_(uniform(norm.running_var, 0.5, 2.0))
        net.train()
        for _ in range(2):
            net(x)
        for norm in norms_of(net).values():
            if norm.running_mean is None:
                continue
            norm.running_mean.mul_(uniform(norm.running_mean, 0.7, 1.3))
            norm.running_var.mul_(uniform(norm.running_var, 0.7, 1.4))
            norm.num_batches_tracked.fill_(1000)
    return net.eval()


def norms_behind_kernels(net, x):
    """By batch norm: the layer whose output it reads, of all those that one layer alone feeds, and that alone
    reads that layer. Told by the tensors that really pass."""
    made, fed, hooks = {}, {}, []

    def kernel_hook(name):
        def hook(_, inputs, output):
            made.setdefault(name, []).append(output)

        return hook

    def norm_hook(name):
        def hook(_, inputs):
            for kernel, outputs in made.items():
                if any(output is inputs[0] for output in outputs):
                    fed.setdefault(name, []).append(kernel)
                    return
            fed.setdefault(name, []).append(None)

        return hook

    for name, module in net.named_modules():
        if isinstance(module, NORMS):
            hooks.append(module.register_forward_pre_hook(norm_hook(name)))
        elif isinstance(module, KERNELS):
            hooks.append(module.register_forward_hook(kernel_hook(name)))
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return {norm: kernels[0] for norm, kernels in fed.items() if len(kernels) == 1 and kernels[0]}


def save(net, path):
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    if path.suffix == ".safetensors":
        seen = set()
        for name, value in state.items():
            if value.data_ptr() in seen:
                state[name] = value.clone()
            seen.add(value.data_ptr())
        save_file(state, path)
    else:
        torch.save(net.state_dict(), path)


def load(path):
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def convert(binary, source, target, *options):
    """The record of a conversion that folds."""
    command = [binary, "convert", source, target, "--bn", "fold", "--force", *options]
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert run.returncode == 0, f"{source}: {run.stderr}"
    record = json.loads(target.with_name(target.name + ".ckpt.json").read_text())
    record["text"] = run.stdout
    return record


def without(norm):
    """What is left of a batch norm once it is folded: timm's have their activation inside."""
    left = [child for name, child in norm.named_children() if name in ("drop", "act")]
    return nn.Sequential(*left) if left else nn.Identity()


def folded_module(net, record):
    folded = copy.deepcopy(net)
    for entry in record["folded"]:
        assert entry["direction"] == "backward"
        for kernel in entry["into"]:
            module = folded.get_submodule(kernel.rpartition(".")[0])
            if module.bias is None:
                channels = net.get_submodule(entry["batch_norm"]).num_features
                module.bias = nn.Parameter(torch.zeros(channels, dtype=module.weight.dtype))
        scope, _, leaf = entry["batch_norm"].rpartition(".")
        setattr(folded.get_submodule(scope), leaf, without(net.get_submodule(entry["batch_norm"])))
    return folded


def tensors_of(output):
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values for tensor in tensors_of(value)]


def error(net, record, target, x):
    """The largest difference of an output, in parts of the largest output."""
    folded = folded_module(net, record)
    state = load(target)
    kept = {name for name in folded.state_dict()}
    missing = [name for name in kept - set(state) if not name.endswith(".bias")]
    assert not missing and not set(state) - kept, (missing, set(state) - kept)
    full = folded.state_dict()  # with its versions, which some modules ask for
    full.update(state)
    folded.load_state_dict(full)
    with torch.no_grad():
        pairs = list(zip(tensors_of(net(x)), tensors_of(folded.eval()(x)), strict=True))
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)
