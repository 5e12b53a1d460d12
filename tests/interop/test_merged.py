"""`ckpt audit --parents`: checkpoints that PyTorch averaged, with the statistics that each recipe leaves."""

import copy
import json
import os
import subprocess

import pytest

torch = pytest.importorskip("torch")
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn  # noqa: E402

torch.set_num_threads(1)
CKPT = os.environ["CKPT_BINARY"]


def model():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(128, 3))


def batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(16, 3, 8, 8, generator=generator) * (1 + seed % 3) + 1 for _ in range(count)]


def train(net, seed, steps=20):
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    net.train()
    for x in batches(steps, seed):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), torch.randint(0, 3, (16,))).backward()
        optimizer.step()
    return net


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parents")
    torch.manual_seed(3)
    base = train(model(), 1)
    nets = [base] + [train(copy.deepcopy(base), seed) for seed in (2, 3, 4)]
    paths = []
    for i, net in enumerate(nets):
        paths.append(folder / f"{'abcd'[i]}.pt")
        torch.save(net.state_dict(), paths[-1])
    return nets, paths


def audit(tmp_path, state, paths):
    path = tmp_path / "merged.pt"
    torch.save(state, path)
    run = subprocess.run([CKPT, "audit", "--format", "json", path, "--parents", *paths],
                         capture_output=True, text=True)
    findings = json.loads(run.stdout)["inputs"][0]["findings"]
    return run.returncode, [finding for finding in findings if finding["rule"] == "BN034"]


def mix(nets, weights):
    states = [net.state_dict() for net in nets]
    return {key: sum(w * state[key].double() for w, state in zip(weights, states)).to(states[0][key].dtype)
            for key in states[0]}


@pytest.mark.parametrize("weights", [(0.25,) * 4, (0.5, 0.3, 0.2, 0), (-0.5, 0.5, 0.5, 0.5), (1 / 3, 2 / 3, 0, 0)])
def test_averaged_statistics_are_found(tmp_path, parents, weights):
    nets, paths = parents
    code, found = audit(tmp_path, mix(nets, weights), paths)
    assert code == 1 and len(found) == 1 and "average of the parents" in found[0]["message"]


def test_swa_without_update_bn_is_found_and_with_it_is_silent(tmp_path, parents):
    nets, paths = parents
    averaged = AveragedModel(nets[0])
    for net in nets:
        averaged.update_parameters(net)
    code, found = audit(tmp_path, averaged.module.state_dict(), paths)
    assert code == 1 and "one parent" in found[0]["message"]
    update_bn(batches(10, 7), averaged)
    assert audit(tmp_path, averaged.module.state_dict(), paths) == (0, [])


def test_an_average_over_buffers_too_is_found(tmp_path, parents):
    nets, paths = parents
    averaged = AveragedModel(nets[0], multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
    for net in nets:
        averaged.update_parameters(net)
    code, found = audit(tmp_path, averaged.module.state_dict(), paths)
    assert code == 1 and "average of the parents" in found[0]["message"]


def test_a_copy_of_a_parent_and_further_training_are_silent(tmp_path, parents):
    nets, paths = parents
    assert audit(tmp_path, nets[2].state_dict(), paths) == (0, [])
    assert audit(tmp_path, train(copy.deepcopy(nets[1]), 9).state_dict(), paths) == (0, [])


def test_a_whole_layer_of_one_parent_keeps_its_statistics(tmp_path, parents):
    nets, paths = parents
    state = mix(nets, (0.25,) * 4)
    for key, value in nets[1].state_dict().items():
        if key.startswith(("0.", "1.")):
            state[key] = value
    _, found = audit(tmp_path, state, paths)
    assert len(found) == 1 and found[0]["subject"] == "4"


def test_half_precision_parents_and_one_that_is_absent(tmp_path, parents):
    nets, paths = parents
    half = {key: value.half() if value.is_floating_point() else value for key, value in mix(nets, (0.25,) * 4).items()}
    assert audit(tmp_path, half, paths)[1] == []  # other types: not compared, and said so
    run = subprocess.run([CKPT, "audit", paths[0], "--parents", tmp_path / "absent.pt"], capture_output=True)
    assert run.returncode == 4
