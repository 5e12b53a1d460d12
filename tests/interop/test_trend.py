"""`ckpt trend` over runs that PyTorch trained, beside the same numbers by NumPy in float64."""

import json
import os
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")

CKPT = os.environ["CKPT_BINARY"]
EPOCHS = 6
torch.set_num_threads(1)  # small nets: threads cost more than they bring


def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(128, 3))


def train(folder, before=lambda net, epoch: None, after=lambda net, epoch: None):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    states = []
    for epoch in range(1, EPOCHS + 1):
        net.train()
        before(net, epoch)
        for _ in range(10):
            x, y = torch.randn(16, 3, 8, 8) * 2 + 1, torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        after(net, epoch)
        torch.save(net.state_dict(), folder / f"epoch_{epoch}.pt")
        states.append({key: value.double().numpy().copy() for key, value in net.state_dict().items()})
    return states


def trend(folder, *options):
    run = subprocess.run([CKPT, "trend", "--format", "json", *options, folder], capture_output=True, text=True)
    return run.returncode, json.loads(run.stdout)["runs"][0]


def test_numbers_are_those_of_numpy(tmp_path):
    states = train(tmp_path)
    code, run = trend(tmp_path)
    assert code == 0 and run["verdict"] == "moving" and run["findings"] == []
    assert [os.path.basename(step["path"]) for step in run["steps"]] == [f"epoch_{i}.pt" for i in range(1, 7)]
    for norm, scope in zip(run["batch_norm"], ["1", "4"]):
        assert norm["scope"] == scope
        for i in range(1, EPOCHS):
            now, then = states[i], states[i - 1]
            sigma = np.sqrt(then[f"{scope}.running_var"] + 1e-5)
            shift = (now[f"{scope}.running_mean"] - then[f"{scope}.running_mean"]) / sigma
            step = norm["steps"][i]
            assert step["mean_shift"] == pytest.approx(np.sqrt(np.mean(shift**2)), rel=1e-9)
            ratio = now[f"{scope}.running_var"] / then[f"{scope}.running_var"]
            assert step["variance_ratio"] == pytest.approx(np.exp(np.mean(np.log(ratio))), rel=1e-9)
            assert step["initial_share"] == pytest.approx(0.9 ** (10 * (i + 1)), rel=1e-9)


def freeze(net, epoch):
    if epoch > 3:
        for layer in (net[0], net[1]):
            layer.eval()
            layer.requires_grad_(False)


def freeze_and_forget_eval(net, epoch):
    if epoch > 3:
        net[0].requires_grad_(False)
        net[1].requires_grad_(False)


RUNS = {
    "eval mode from epoch 4 on": (
        dict(before=lambda net, epoch: net[1].eval() if epoch > 3 else None),
        "stopped", "BN050", {"stopped_since": "epoch_3.pt"}),
    "statistics are reset in epoch 4 and after": (
        dict(after=lambda net, epoch: net[1].reset_running_stats() if epoch >= 4 else None),
        "reset", "BN052", {"reset_at": "epoch_4.pt"}),
    "momentum 0": (
        dict(before=lambda net, epoch: setattr(net[1], "momentum", 0.0)),
        "never-updated", "BN010", {}),
    "a NaN from epoch 4 on": (
        dict(after=lambda net, epoch: net[1].running_var[2].fill_(float("nan")) if epoch >= 4 else None),
        "non-finite", "BN020", {"non_finite_since": "epoch_4.pt"}),
    "frozen with eval": (dict(before=freeze), "moving", None, {"still_since": "epoch_3.pt"}),
    "frozen, and its mode forgotten": (dict(before=freeze_and_forget_eval), "frozen-drift", "BN051", {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_faults_are_found_where_they_begin(tmp_path, name):
    hooks, verdict, rule, turns = RUNS[name]
    train(tmp_path, **hooks)
    code, run = trend(tmp_path)
    assert run["verdict"] == verdict
    assert [finding["rule"] for finding in run["findings"]] == ([rule] if rule else [])
    assert code == (1 if rule else 0)
    for turn, path in turns.items():
        assert os.path.basename(run["batch_norm"][0][turn]) == path


def test_one_checkpoint_is_no_run_and_a_broken_one_is_passed_over(tmp_path):
    train(tmp_path)
    assert subprocess.run([CKPT, "trend", tmp_path / "epoch_1.pt"], capture_output=True).returncode == 2
    (tmp_path / "epoch_3.pt").write_bytes((tmp_path / "epoch_3.pt").read_bytes()[:500])
    code, run = trend(tmp_path)
    assert code == 3
    assert [step["status"] for step in run["steps"]] == ["ok", "ok", "error", "ok", "ok", "ok"]
    assert run["batch_norm"][0]["steps"][2] is None
    assert run["verdict"] == "moving"
