"""Training checkpoints as PyTorch's trainers save them: what ckpt writes of them loads strictly into the module.

CKPT_BINARY is the program. Each checkpoint is made here, by the real framework; averages by its own class or, for
those of other packages, by the few lines that the package runs (named beside each).
"""

import copy
import os
import random
import subprocess

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def convert(source, target, *options, code=0):
    done = subprocess.run([os.environ["CKPT_BINARY"], "convert", str(source), str(target), *options],
                          capture_output=True, text=True)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(nn.Conv2d(8, 6, 3, bias=False), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(self.layer1(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def trained(seed, steps=6, model=None, after=None):
    torch.manual_seed(seed)
    model = model or Net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 9, 9) * 2 + 1).square().mean().backward()
        optimizer.step()
        if after:
            after(model)
    return model, optimizer


def with_averages(use_buffers=True, seed=3):
    model = Net()
    average = AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9),
                            use_buffers=use_buffers)
    model, optimizer = trained(seed, model=model, after=average.update_parameters)
    return model, average, optimizer


class DataParallel(nn.Module):
    """nn.DataParallel's and DistributedDataParallel's only name."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def joined(state, by):
    return {name.replace(".", by): value for name, value in state.items()}


def wrapped(prefix):
    return lambda model, average, optimizer: {prefix + k: v for k, v in model.state_dict().items()}


def parameters(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def random_states():
    return {"th": torch.get_rng_state(), "py": random.getstate(), "cuda": [torch.get_rng_state()]}


# What is saved, of (model, average, optimizer); whether --ema finds averages of all weights.
CHECKPOINTS = {
    "data_parallel_twice": (wrapped("module.module."), False),
    "compiled_parallel": (wrapped("_orig_mod.module."), False),
    "parallel_compiled": (wrapped("module._orig_mod."), False),
    "compiled_twice": (wrapped("_orig_mod.module._orig_mod."), False),
    "averaged_model": (lambda m, a, o: a.state_dict(), None),
    "torchvision": (lambda m, a, o: {"model": m.state_dict(), "model_ema": a.state_dict(), "optimizer": o.state_dict(),
                                     "epoch": 3}, True),
    # timm/utils/checkpoint_saver.py
    "timm": (lambda m, a, o: {"epoch": 3, "arch": "net", "state_dict": m.state_dict(), "optimizer": o.state_dict(),
                              "version": 2, "state_dict_ema": a.module.state_dict(), "metric": 0.5}, True),
    "random_states": (lambda m, a, o: {"model": m.state_dict(), "ema": a.module.state_dict(), "rng": random_states(),
                                       "torch_rng_state": torch.get_rng_state()}, True),
    # torch_ema and diffusers.EMAModel
    "listed": (lambda m, a, o: {"state_dict": m.state_dict(),
                                "ema": {"decay": 0.9, "num_updates": 6, "collected_params": None,
                                        "shadow_params": list(parameters(a.module).values())}}, True),
    "shadow": (lambda m, a, o: {"model": m.state_dict(), "ema": {"shadow": parameters(a.module), "decay": 0.9}}, True),
    # ldm/modules/ema.py
    "litema": (lambda m, a, o: {"state_dict": {**m.state_dict(), "model_ema.decay": torch.tensor(0.9),
                                               "model_ema.num_updates": torch.tensor(6, dtype=torch.int),
                                               **{"model_ema." + k: v
                                                  for k, v in joined(parameters(a.module), "").items()}}}, True),
    # mmcv/runner/hooks/ema.py
    "ema_hook": (lambda m, a, o: {"state_dict": {**m.state_dict(), **{"ema_" + k: v for k, v in
                                                                      joined(a.module.state_dict(), "_").items()}},
                                  "meta": {"epoch": 1}}, True),
    # ema_pytorch
    "ema_pytorch": (lambda m, a, o: {**{"online_model." + k: v for k, v in m.state_dict().items()},
                                     **{"ema_model." + k: v for k, v in a.module.state_dict().items()},
                                     "initted": torch.tensor(True), "step": torch.tensor(6)}, True),
    "ema_pytorch_in_a_trainer": (lambda m, a, o: {
        "step": 6, "model": m.state_dict(),
        "ema": {**{"online_model." + k: v for k, v in m.state_dict().items()},
                **{"ema_model." + k: v for k, v in a.module.state_dict().items()},
                "initted": torch.tensor(True), "step": torch.tensor(6)}}, True),
    # dino/main_dino.py
    "dino": (lambda m, a, o: {"student": DataParallel(m).state_dict(), "teacher": a.module.state_dict(),
                              "optimizer": o.state_dict(), "epoch": 3}, True),
}


def saved(tmp_path, name, seed=3):
    model, average, optimizer = with_averages(seed=seed)
    path = tmp_path / f"{name}.pt"
    torch.save(CHECKPOINTS[name][0](model, average, optimizer), path)
    return path, model, average


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_strict_load_accepts_the_model_alone(tmp_path, name, fold):
    path, model, average = saved(tmp_path, name)
    expected = (average.module if name == "averaged_model" else model).double().eval()
    convert(path, tmp_path / "out.pt", *(["--bn", "fold", "--pair-by-order"] if fold else []))
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    net = Net()
    if "bn1.weight" not in state:
        net.bn1 = nn.Identity()
    net.layer1 = nn.Sequential(nn.Conv2d(8, 6, 3, bias="layer1.0.bias" in state),
                               nn.BatchNorm2d(6) if "layer1.1.weight" in state else nn.Identity())
    net.load_state_dict(state, strict=True)
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(net.double().eval()(x), expected(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, (_, averaged) in CHECKPOINTS.items() if averaged])
def test_the_averages_are_written_in_the_place_of_the_weights(tmp_path, name):
    path, model, average = saved(tmp_path, name)
    convert(path, tmp_path / "out.pt", "--ema")
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    assert sorted(state) == sorted(model.state_dict())
    for key, value in parameters(average.module).items():
        assert torch.equal(state[key], value), key


def test_mmengine_saves_the_averages_as_the_model(tmp_path):
    model, average, _ = with_averages()
    averaged = {**average.module.state_dict()}
    checkpoint = {"state_dict": averaged, "message_hub": {}, "meta": {"mmengine_version": "0.10.7"},
                  "ema_state_dict": {"steps": torch.tensor(6),
                                     **{"module." + k: v for k, v in model.state_dict().items()}}}
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    for options in [], ["--ema"]:
        convert(tmp_path / "epoch_1.pth", tmp_path / "out.pt", "--force", *options)
        state = torch.load(tmp_path / "out.pt", weights_only=True)
        assert sorted(state) == sorted(averaged)
        assert all(torch.equal(state[key], value) for key, value in averaged.items())


def test_averages_that_were_never_updated_are_not_written(tmp_path):
    model, optimizer = trained(3)
    average = copy.deepcopy(model)
    for norm in (average.bn1, average.layer1[1]):
        norm.reset_running_stats()
    torch.save({"model": model.state_dict(), "ema": average.state_dict()}, tmp_path / "a.pt")
    refused = convert(tmp_path / "a.pt", tmp_path / "out.pt", "--ema", code=3)
    assert "BN010" in refused.stderr and not (tmp_path / "out.pt").exists()
    convert(tmp_path / "a.pt", tmp_path / "out.pt")


def test_half_precision_beside_averages_in_float32(tmp_path):
    model, average, _ = with_averages()
    torch.save({"model": {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()},
                "ema": average.module.state_dict()}, tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "out.pt", "--ema")
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    assert all(torch.equal(state[key], value) for key, value in average.module.state_dict().items()
               if value.is_floating_point())
